"""How does a student get to disk and back? As a DistilBERT, Hugging Face's format for a BERT without segments."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
from course_lib.models.checkpoint_files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    UnsuitableCheckpoint,
    load_tensors,
    read_json,
    read_tensors,
    refuse_options,
    renamed,
    write_checkpoint,
)

# Ours, theirs; the first name that fits the beginning of a tensor's name is replaced.
NAMES = {
    "encoder.embedding.": "distilbert.embeddings.word_embeddings.",
    "encoder.positions.table": "distilbert.embeddings.position_embeddings.weight",
    "encoder.embedding_norm.": "distilbert.embeddings.LayerNorm.",
    "dense.": "vocab_transform.",
    "norm.": "vocab_layer_norm.",
    "bias": "vocab_projector.bias",
}
BLOCK_NAMES = {
    "attention.query_projection": "attention.q_lin",
    "attention.key_projection": "attention.k_lin",
    "attention.value_projection": "attention.v_lin",
    "attention.output_projection": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "feed_forward.expand": "ffn.lin1",
    "feed_forward.contract": "ffn.lin2",
    "feed_forward_norm": "output_layer_norm",
}
# Options of theirs that would change what is computed, and the only value that ours computes. `sinusoidal_pos_embds`
# is none of them: it says what the positions were at first, and whatever they are is in the file.
FIXED_OPTIONS = {"activation": "gelu", "tie_word_embeddings": True}
NORM_EPSILON = 1e-12  # in their code, not in their config


def save_distilbert(model: MaskedLanguageModel, folder: Path | str, dtype: torch.dtype | None = None) -> None:
    """Write config.json and model.safetensors as transformers' DistilBertForMaskedLM has them; dtype None keeps ours.

    In training, theirs has no dropout behind the attention; without dropout both compute the same.
    Raises ValueError for an encoder with segments, a causal one, or another epsilon in the norms than 1e-12.
    """
    sizes = model.encoder.config
    if sizes.segments or model.encoder.causal or sizes.norm_epsilon != NORM_EPSILON:
        raise ValueError(
            "a DistilBERT has no segments, looks both ways, and its norms have an epsilon of 1e-12; got "
            f"segments={sizes.segments}, causal={model.encoder.causal}, norm_epsilon={sizes.norm_epsilon:g}. Make a "
            "student with course_lib.models.student, or save a BERT with course_lib.models.bert_files"
        )
    config: dict[str, Any] = {
        "architectures": ["DistilBertForMaskedLM"],
        "model_type": "distilbert",
        "vocab_size": sizes.vocabulary_size,
        "max_position_embeddings": sizes.context_size,
        "n_layers": sizes.blocks,
        "n_heads": sizes.heads,
        "dim": sizes.embedding_size,
        "hidden_dim": sizes.inner_size,
        "dropout": sizes.dropout,
        "attention_dropout": sizes.dropout,
        "sinusoidal_pos_embds": False,
        **FIXED_OPTIONS,
    }
    write_checkpoint(Path(folder), config, {name_there(n): t for n, t in model.state_dict().items()}, dtype)


def load_distilbert(folder: Path | str) -> MaskedLanguageModel:
    """The masked language model in a folder that either library wrote, in float32 and in evaluation mode.

    Raises UnsuitableCheckpoint, also for a checkpoint without the head that guesses words.
    """
    folder = Path(folder)
    model = MaskedLanguageModel(BERT(config_from(read_json(folder / CONFIG_FILE), folder)))
    stored = read_tensors(folder / WEIGHTS_FILE)
    tensors: dict[str, Tensor] = {}
    for name in model.state_dict():
        there = name_there(name)
        if there not in stored:
            raise UnsuitableCheckpoint(f"{folder / WEIGHTS_FILE} lacks {there}; it is no whole masked language model")
        tensors[name] = stored[there].float()
    load_tensors(model, tensors, folder)
    return model.eval()


def name_there(name: str) -> str:
    """Hugging Face's name of one of our tensors, such as "encoder.blocks.0.attention.query_projection.weight"."""
    return renamed(name, NAMES, BLOCK_NAMES, "distilbert.transformer.layer")


def config_from(config: dict[str, Any], folder: Path) -> BERTConfig:
    """Our sizes from their config.json. Raises UnsuitableCheckpoint for options that this model does not compute."""
    if config.get("model_type") != "distilbert":
        raise UnsuitableCheckpoint(f"{folder} holds a {config.get('model_type')!r} model; this loads 'distilbert'")
    refuse_options(config, FIXED_OPTIONS, folder)
    try:
        return BERTConfig(
            vocabulary_size=config["vocab_size"],
            context_size=config["max_position_embeddings"],
            blocks=config["n_layers"],
            heads=config["n_heads"],
            embedding_size=config["dim"],
            inner_size=config["hidden_dim"],
            segments=0,
            dropout=config.get("dropout", 0.1),
            norm_epsilon=NORM_EPSILON,
        )
    except KeyError as error:
        raise UnsuitableCheckpoint(f"{folder / CONFIG_FILE} lacks {error}") from None
