"""How does pydoc-gpt learn to write Python documentation? By guessing each next token of all of it (notebook 04)."""

from collections.abc import Mapping
from pathlib import Path

import torch
from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from course_lib.data.byte_pairs import END_OF_TEXT, gpt_tokenizer
from course_lib.data.token_windows import TokenWindows, stack_windows, token_stream
from course_lib.evaluation.compression import bits_per_byte, count_bytes
from course_lib.evaluation.language_model import stream_nats
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.gpt_files import save_gpt
from course_lib.zoo.recipe import Preparation, Recipe

LOOKED_AT = 60_000  # tokens of the validation split, while the model learns


def prepare(recipe: Recipe, corpus: DatasetDict, tokenizer: PreTrainedTokenizerFast) -> Preparation:
    """A fresh model and the texts of the train split, one behind the other, in windows."""
    assert isinstance(recipe.config, GPTConfig)
    windows = TokenWindows(stream_of(tokenizer, corpus, "train"), recipe.window)
    held_out = stream_of(tokenizer, corpus, "validation")[:LOOKED_AT]

    def evaluate(model: GPT) -> Mapping[str, float]:
        nats, tokens = stream_nats(model, held_out)
        return {"nats": nats / tokens}

    loader = DataLoader(windows, batch_size=recipe.batch_size, shuffle=True, drop_last=True, collate_fn=stack_windows)
    return Preparation(GPT(recipe.config), loader, next_token_loss, evaluate)


def next_token_loss(model: nn.Module, windows: Int[Tensor, "batch window"]) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats: each window is one longer than what the model reads, so that no place is idle."""
    logits = model(windows[:, :-1]).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())


def measure(model: GPT, tokenizer: PreTrainedTokenizerFast, corpus: DatasetDict, split: str) -> dict[str, float]:
    """Bits per byte over the whole split, each token with at least half a context before it."""
    nats, tokens = stream_nats(model, stream_of(tokenizer, corpus, split))
    total_bytes = count_bytes(corpus[split]["text"])
    return {"bits_per_byte": bits_per_byte(nats, total_bytes), "nats_per_token": nats / tokens}


def stream_of(tokenizer: PreTrainedTokenizerFast, corpus: DatasetDict, split: str) -> Int[Tensor, " tokens"]:
    """All texts of a split as one stream of tokens, each text closed by the end-of-text token."""
    return token_stream(tokenizer, corpus[split]["text"], int(tokenizer.eos_token_id))


def save(model: GPT, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the weights in float16, and the token that ends a text: transformers' `generate` stops there too."""
    save_gpt(model, folder, torch.float16, end_token=int(tokenizer.eos_token_id))


RECIPE = Recipe(
    name="pydoc-gpt",
    summary="A small GPT (GPT-2's architecture) that has read the documentation of Python and of the packages that the "
    "course stands on. It continues a text in their manner, best after a line such as `str.split(self, sep)`.",
    cannot=(
        "It does not know whether what it writes is true: it invents functions, parameters and defaults.",
        "It answers no questions, follows no instructions and writes no working programs: it has read docstrings only.",
        "It reads 256 tokens at a time (some 800 characters) and speaks nothing but the English of manuals.",
    ),
    config=GPTConfig(vocabulary_size=4096, context_size=256, blocks=6, heads=6, embedding_size=192),
    special_tokens=(END_OF_TEXT,),
    wrap=gpt_tokenizer,
    prepare=prepare,
    measure=measure,
    save=save,
    steps=7_200,
    batch_size=64,
    window=257,
    learning_rate=3e-3,
    warmup_steps=200,
    betas=(0.9, 0.95),
    evaluate_every=900,
)
