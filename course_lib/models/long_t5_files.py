"""How does a LongT5 get to disk and back? In Hugging Face's format, so that both libraries read both's files."""

from pathlib import Path
from typing import Any

import torch

from course_lib.models.checkpoint_files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    UnsuitableCheckpoint,
    load_tensors,
    read_json,
    read_tensors,
    refuse_options,
    write_checkpoint,
)
from course_lib.models.long_t5 import LongT5, LongT5Config

# Ours, theirs, of the parts of a block.
ENCODER_NAMES = {"attention_norm": "layer.0.layer_norm", "feed_forward_norm": "layer.1.layer_norm"}
ENCODER_FEED_FORWARD, DECODER_FEED_FORWARD = "layer.1.DenseReluDense", "layer.2.DenseReluDense"
DECODER_NAMES = {
    "self_attention_norm": "layer.0.layer_norm",
    "cross_attention_norm": "layer.1.layer_norm",
    "feed_forward_norm": "layer.2.layer_norm",
}
ATTENTIONS = {
    "transient-global": "layer.0.TransientGlobalSelfAttention",
    "local": "layer.0.LocalSelfAttention",
    "full": "layer.0.SelfAttention",
    "self_attention": "layer.0.SelfAttention",
    "cross_attention": "layer.1.EncDecAttention",
}
MATRICES = {"query": "q", "key": "k", "value": "v", "output": "o", "summary_norm": "global_input_layer_norm"}
FEED_FORWARD = {"gate": "wi_0", "expand": "wi_1", "contract": "wo"}
# Options of theirs that would change what is computed, and the only value that ours computes.
FIXED_OPTIONS = {"feed_forward_proj": "gated-gelu", "is_encoder_decoder": True}


def save_long_t5(
    model: LongT5, folder: Path | str, dtype: torch.dtype | None = None, pad_token: int = 0, end_token: int = 1
) -> None:
    """Write config.json and model.safetensors as transformers does; dtype None keeps the model's.

    A model with full attention is written as the T5 that it is. pad_token also starts an answer, end_token ends it.
    """
    sizes = model.config
    full = sizes.attention == "full"
    config: dict[str, Any] = {
        "architectures": ["T5ForConditionalGeneration" if full else "LongT5ForConditionalGeneration"],
        "model_type": "t5" if full else "longt5",
        "vocab_size": sizes.vocabulary_size,
        "d_model": sizes.embedding_size,
        "d_kv": sizes.head_size,
        "d_ff": sizes.inner_size,
        "num_layers": sizes.encoder_blocks,
        "num_decoder_layers": sizes.decoder_blocks,
        "num_heads": sizes.heads,
        "relative_attention_num_buckets": sizes.buckets,
        "relative_attention_max_distance": sizes.max_distance,
        "dropout_rate": sizes.dropout,
        "layer_norm_epsilon": sizes.norm_epsilon,
        "tie_word_embeddings": sizes.scaled_output,
        "n_positions": sizes.context_size,
        "pad_token_id": pad_token,
        "decoder_start_token_id": pad_token,
        "eos_token_id": end_token,
        "local_radius": sizes.block - 1,
        "global_block_size": sizes.summary_of,
        **FIXED_OPTIONS,
    }
    if not full:
        config["encoder_attention_type"] = sizes.attention
    tensors = {name_there(name, sizes.attention): tensor for name, tensor in model.state_dict().items()}
    if sizes.tied:
        tensors["lm_head.weight"] = tensors["shared.weight"].clone()
    write_checkpoint(Path(folder), config, tensors, dtype)


def load_long_t5(folder: Path | str) -> LongT5:
    """The LongT5 (or T5) in a folder that either library wrote, in float32 and in evaluation mode.

    Raises UnsuitableCheckpoint.
    """
    folder = Path(folder)
    stored = read_tensors(folder / WEIGHTS_FILE)
    config = config_from(read_json(folder / CONFIG_FILE), folder, tied=_tied(stored))
    model = LongT5(config)
    tensors = {}
    for name in model.state_dict():
        theirs = name_there(name, config.attention)
        if theirs not in stored:
            raise UnsuitableCheckpoint(f"{folder / WEIGHTS_FILE} lacks {theirs}; it is no whole LongT5 checkpoint")
        tensors[name] = stored[theirs].float()
    load_tensors(model, tensors, folder)
    return model.eval()


def _tied(stored: dict[str, torch.Tensor]) -> bool:
    output, embedding = stored.get("lm_head.weight"), stored.get("shared.weight")
    return output is None or embedding is None or torch.equal(output, embedding)


def name_there(name: str, attention: str) -> str:
    """Hugging Face's name of one of our tensors, such as "encoder.blocks.0.attention.query.weight"."""
    whole = {
        "embedding.weight": "shared.weight",
        "output.weight": "lm_head.weight",
        "encoder.positions.table.weight": f"encoder.block.0.{ATTENTIONS[attention]}.relative_attention_bias.weight",
        "encoder.summary_positions.table.weight": (
            f"encoder.block.0.{ATTENTIONS[attention]}.global_relative_attention_bias.weight"
        ),
        "decoder.positions.table.weight": "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    }
    if name in whole:
        return whole[name]
    if ".last_norm." in name:
        return name.replace("last_norm", "final_layer_norm")
    stack, _, number, rest = name.split(".", 3)
    start, (layer, *inner) = f"{stack}.block.{number}", rest.split(".")
    norms = ENCODER_NAMES if stack == "encoder" else DECODER_NAMES
    if layer in norms:
        return f"{start}.{norms[layer]}.weight"
    if layer == "feed_forward":
        where = ENCODER_FEED_FORWARD if stack == "encoder" else DECODER_FEED_FORWARD
        return f"{start}.{where}.{FEED_FORWARD[inner[0]]}.weight"
    where = ATTENTIONS[attention if stack == "encoder" else layer]
    return f"{start}.{where}.{MATRICES[inner[0]]}.weight"


def config_from(config: dict[str, Any], folder: Path, tied: bool = True) -> LongT5Config:
    """Our sizes from their config.json. Raises UnsuitableCheckpoint for options that this model does not compute."""
    kind = config.get("model_type")
    if kind not in ("longt5", "t5"):
        raise UnsuitableCheckpoint(f"{folder} holds a {kind!r} model; this loads LongT5's and T5's ('longt5', 't5')")
    # Left out, this option means T5's first version, which has no gate.
    refuse_options({"feed_forward_proj": "relu", **config}, FIXED_OPTIONS, folder)
    try:
        return LongT5Config(
            vocabulary_size=config["vocab_size"],
            embedding_size=config["d_model"],
            encoder_blocks=config["num_layers"],
            decoder_blocks=config.get("num_decoder_layers") or config["num_layers"],
            heads=config["num_heads"],
            head_size=config["d_kv"],
            inner_size=config["d_ff"],
            attention="full" if kind == "t5" else config.get("encoder_attention_type", "local"),
            block=config.get("local_radius", 127) + 1,
            summary_of=config.get("global_block_size", 16),
            buckets=config.get("relative_attention_num_buckets", 32),
            max_distance=config.get("relative_attention_max_distance", 128),
            dropout=config.get("dropout_rate", 0.1),
            norm_epsilon=config.get("layer_norm_epsilon", 1e-6),
            tied=tied,
            scaled_output=config.get("tie_word_embeddings", True),
            context_size=config.get("n_positions", 512 if kind == "t5" else 4_096),
        )
    except KeyError as error:
        raise UnsuitableCheckpoint(f"{folder / CONFIG_FILE} lacks {error}") from None
