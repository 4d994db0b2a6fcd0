"""How does a GPT get to disk and back? In Hugging Face's format, so that both libraries read both's files."""

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
    renamed,
    write_checkpoint,
)
from course_lib.models.gpt import GPT, GPTConfig

# Ours, theirs. GPT-2's own matrices are stored input x output, torch's output x input.
NAMES = {
    "positions.table": "transformer.wpe.weight",
    "embedding.weight": "transformer.wte.weight",
    "last_norm.": "transformer.ln_f.",
}
BLOCK_NAMES = {
    "attention_norm": "ln_1",
    "attention.query_key_value": "attn.c_attn",
    "attention.output_projection": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "expand": "mlp.c_fc",
    "contract": "mlp.c_proj",
}
TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
# Options of theirs that would change what is computed, and the only value that ours computes.
FIXED_OPTIONS = {
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def save_gpt(model: GPT, folder: Path | str, dtype: torch.dtype | None = None, end_token: int | None = None) -> None:
    """Write config.json and model.safetensors as GPT2LMHeadModel.save_pretrained does; dtype None keeps the model's.

    end_token: at which transformers' `generate` ends a text; None: at no token (theirs would be GPT-2's own, 50256).
    """
    sizes = model.config
    config: dict[str, Any] = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": sizes.vocabulary_size,
        "n_positions": sizes.context_size,
        "n_layer": sizes.blocks,
        "n_head": sizes.heads,
        "n_embd": sizes.embedding_size,
        "n_inner": sizes.inner_size,
        "layer_norm_epsilon": sizes.norm_epsilon,
        "embd_pdrop": sizes.dropout,
        "attn_pdrop": sizes.dropout,
        "resid_pdrop": sizes.dropout,
        "bos_token_id": end_token,
        "eos_token_id": end_token,
        **FIXED_OPTIONS,
    }
    tensors = {}
    for name, tensor in model.state_dict().items():
        theirs = name_there(name)
        tensors[theirs] = tensor.T if theirs.endswith(TRANSPOSED) else tensor
    write_checkpoint(Path(folder), config, tensors, dtype)


def load_gpt(folder: Path | str) -> GPT:
    """The GPT in a folder that either library wrote, in float32 and in evaluation mode. Raises UnsuitableCheckpoint."""
    folder = Path(folder)
    model = GPT(config_from(read_json(folder / CONFIG_FILE), folder))
    stored = read_tensors(folder / WEIGHTS_FILE)
    wanted = {name: name_there(name) for name in model.state_dict()}
    tensors = {}
    for name, theirs in wanted.items():
        found = stored.get(theirs, stored.get(theirs.removeprefix("transformer.")))  # older files have no prefix
        if found is None:
            raise UnsuitableCheckpoint(f"{folder / WEIGHTS_FILE} lacks {theirs}; it is no whole GPT-2 checkpoint")
        tensors[name] = (found.T if theirs.endswith(TRANSPOSED) else found).float()
    load_tensors(model, tensors, folder)
    return model.eval()


def name_there(name: str) -> str:
    """Hugging Face's name of one of our tensors, such as "blocks.0.expand.weight"."""
    return renamed(name, NAMES, BLOCK_NAMES, "transformer.h", blocks="blocks.")


def config_from(config: dict[str, Any], folder: Path) -> GPTConfig:
    """Our sizes from their config.json. Raises UnsuitableCheckpoint for options that this model does not compute."""
    if config.get("model_type") != "gpt2":
        raise UnsuitableCheckpoint(f"{folder} holds a {config.get('model_type')!r} model; this loads GPT-2's ('gpt2')")
    refuse_options(config, FIXED_OPTIONS, folder)
    try:
        return GPTConfig(
            vocabulary_size=config["vocab_size"],
            context_size=config["n_positions"],
            blocks=config["n_layer"],
            heads=config["n_head"],
            embedding_size=config["n_embd"],
            dropout=config.get("resid_pdrop", 0.1),
            norm_epsilon=config.get("layer_norm_epsilon", 1e-5),
            inner_size=config.get("n_inner"),
        )
    except KeyError as error:
        raise UnsuitableCheckpoint(f"{folder / CONFIG_FILE} lacks {error}") from None
