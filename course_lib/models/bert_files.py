"""How does a BERT get to disk and back? In Hugging Face's format, so that both libraries read both's files."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.models.bert import BERT, BERTConfig, Classifier, MaskedLanguageModel
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
    "encoder.embedding.": "bert.embeddings.word_embeddings.",
    "encoder.positions.table": "bert.embeddings.position_embeddings.weight",
    "encoder.segments.": "bert.embeddings.token_type_embeddings.",
    "encoder.embedding_norm.": "bert.embeddings.LayerNorm.",
    "dense.": "cls.predictions.transform.dense.",
    "norm.": "cls.predictions.transform.LayerNorm.",
    "bias": "cls.predictions.bias",
    "pooler.": "bert.pooler.dense.",
    "to_labels.": "classifier.",
}
BLOCK_NAMES = {
    "attention.query_projection": "attention.self.query",
    "attention.key_projection": "attention.self.key",
    "attention.value_projection": "attention.self.value",
    "attention.output_projection": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.expand": "intermediate.dense",
    "feed_forward.contract": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
# Options of theirs that would change what is computed, and the only value that ours computes.
FIXED_OPTIONS = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
HEADS = {MaskedLanguageModel: "BertForMaskedLM", Classifier: "BertForSequenceClassification"}


def save_bert(model: MaskedLanguageModel | Classifier, folder: Path | str, dtype: torch.dtype | None = None) -> None:
    """Write config.json and model.safetensors as transformers does; dtype None keeps the model's.

    Raises ValueError for an encoder that their files cannot express: a causal one, and one without segments.
    """
    if model.encoder.causal:
        raise ValueError("a causal encoder is no BERT: transformers would load it as one that looks both ways")
    sizes = model.encoder.config
    if not sizes.segments:
        raise ValueError(
            "transformers' BERT has at least one segment, this encoder none: save it as a DistilBERT, with "
            "course_lib.models.distilbert_files.save_distilbert"
        )
    config: dict[str, Any] = {
        "architectures": [HEADS[type(model)]],
        "model_type": "bert",
        "vocab_size": sizes.vocabulary_size,
        "max_position_embeddings": sizes.context_size,
        "num_hidden_layers": sizes.blocks,
        "num_attention_heads": sizes.heads,
        "hidden_size": sizes.embedding_size,
        "intermediate_size": sizes.inner_size,
        "type_vocab_size": sizes.segments,
        "layer_norm_eps": sizes.norm_epsilon,
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.dropout,
        **FIXED_OPTIONS,
    }
    if isinstance(model, Classifier):
        config["id2label"] = {str(number): f"LABEL_{number}" for number in range(model.labels)}
        config["label2id"] = {f"LABEL_{number}": number for number in range(model.labels)}
    write_checkpoint(Path(folder), config, {name_there(n): t for n, t in model.state_dict().items()}, dtype)


def load_masked_language_model(folder: Path | str) -> MaskedLanguageModel:
    """The masked language model in a folder that either library wrote, in float32 and in evaluation mode.

    Raises UnsuitableCheckpoint, also for a checkpoint without the head that guesses words.
    """
    folder = Path(folder)
    model = MaskedLanguageModel(BERT(config_from(read_json(folder / CONFIG_FILE), folder)))
    _fill(model, folder, may_lack=())
    return model.eval()


def load_classifier(folder: Path | str, labels: int | None = None) -> Classifier:
    """A classifier from a folder: as it was saved, or (with `labels`) with a new head on a pre-trained encoder.

    Raises UnsuitableCheckpoint.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG_FILE)
    if labels is None and "BertForSequenceClassification" not in config.get("architectures", []):
        raise UnsuitableCheckpoint(f"{folder} holds no classifier; give labels=… to put a new head on its encoder")
    encoder = BERT(config_from(config, folder))
    if labels is None:
        model = Classifier(encoder, len(config.get("id2label", {0: "", 1: ""})))
        _fill(model, folder, may_lack=())
    else:
        model = Classifier(encoder, labels)
        _fill(model, folder, may_lack=("pooler.", "to_labels."))
    return model.eval()


def _fill(model: nn.Module, folder: Path, may_lack: tuple[str, ...]) -> None:
    stored = read_tensors(folder / WEIGHTS_FILE)
    own = model.state_dict()
    tensors: dict[str, Tensor] = {}
    for name in own:
        found = _find(stored, name_there(name))
        if found is not None and (not name.startswith(may_lack or ("\0",)) or found.shape == own[name].shape):
            tensors[name] = found.float()
        elif may_lack and name.startswith(may_lack):
            tensors[name] = own[name]
        else:
            raise UnsuitableCheckpoint(f"{folder / WEIGHTS_FILE} lacks {name_there(name)}; it is no whole checkpoint")
    load_tensors(model, tensors, folder)


def _find(stored: dict[str, Tensor], name: str) -> Tensor | None:
    # Encoders saved alone have no prefix; checkpoints of TensorFlow days call a norm's numbers gamma and beta.
    old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    for known in (name, old, name.removeprefix("bert."), old.removeprefix("bert.")):
        if known in stored:
            return stored[known]
    return None


def name_there(name: str) -> str:
    """Hugging Face's name of one of our tensors, such as "encoder.blocks.0.attention.query_projection.weight"."""
    return renamed(name, NAMES, BLOCK_NAMES, "bert.encoder.layer")


def config_from(config: dict[str, Any], folder: Path) -> BERTConfig:
    """Our sizes from their config.json. Raises UnsuitableCheckpoint for options that this model does not compute."""
    if config.get("model_type") != "bert":
        raise UnsuitableCheckpoint(f"{folder} holds a {config.get('model_type')!r} model; this loads BERT's ('bert')")
    refuse_options(config, FIXED_OPTIONS, folder)
    try:
        return BERTConfig(
            vocabulary_size=config["vocab_size"],
            context_size=config["max_position_embeddings"],
            blocks=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            embedding_size=config["hidden_size"],
            inner_size=config["intermediate_size"],
            segments=config.get("type_vocab_size", 2),
            dropout=config.get("hidden_dropout_prob", 0.1),
            norm_epsilon=config.get("layer_norm_eps", 1e-12),
        )
    except KeyError as error:
        raise UnsuitableCheckpoint(f"{folder / CONFIG_FILE} lacks {error}") from None
