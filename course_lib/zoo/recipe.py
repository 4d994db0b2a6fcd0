"""What is a recipe? All that decides what a trained model will be: sizes, data, steps, rates. Nothing else does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here
from tokenizers import Tokenizer
from torch import nn
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from course_lib.data import pydocs
from course_lib.data.byte_pairs import load_byte_pairs, train_byte_pairs
from course_lib.training.loop import LossFunction
from course_lib.zoo.baselines import compression_baselines
from course_lib.zoo.cards import bundled_folder


@dataclass(frozen=True)
class Preparation:
    """All that `train` needs but the optimizer; `evaluate` looks at a part of the validation split."""

    model: nn.Module
    loader: DataLoader
    loss: LossFunction
    evaluate: Callable[[Any], Mapping[str, float]]


class TooFewTexts(ValueError):  # noqa: N818 - it reads as what happened
    """The texts do not hold as many different byte pairs as the vocabulary wants."""


def pairs_of_the_texts(recipe: "Recipe", corpus: DatasetDict) -> Tokenizer:
    """Byte pairs learned from the train split, as many as the recipe's vocabulary. Raises TooFewTexts."""
    pairs = train_byte_pairs(corpus["train"]["text"], recipe.config.vocabulary_size, recipe.special_tokens)
    if (found := len(pairs.get_vocab())) != recipe.config.vocabulary_size:
        raise TooFewTexts(f"the texts give only {found} of {recipe.config.vocabulary_size} tokens: take more of them")
    return pairs


def pairs_of_the_parent(recipe: "Recipe", corpus: DatasetDict) -> Tokenizer:
    """The tokenizer of the first model that the recipe starts from: only about the same tokens can both speak."""
    return load_byte_pairs(bundled_folder(recipe.parents[0]))


def documentation(bytes_per_origin: int | None) -> DatasetDict:
    """The Python documentation of this machine, or for a trial only so many bytes of each package."""
    return pydocs.load_pydocs(bytes_per_origin=bytes_per_origin)


@dataclass(frozen=True)
class Recipe:
    """How a model of the course is trained.

    window: tokens in a row of a batch; at most, if not full_windows. The learning rate rises over warmup_steps, then
    falls to 0 as half a cosine.
    prepare(recipe, corpus, tokenizer) makes model and data; measure(model, tokenizer, corpus, split) is for the card;
    save(model, tokenizer, folder) writes the weights as they are shipped, in float16.

    corpus(bytes_per_origin) loads the texts: the columns "text" of the splits "train", "validation" and "test", named
    by version(corpus). pairs(recipe, corpus) is the tokenizer, learned or taken from a parent. parents: the models of
    the course that this one starts from or learns from. beside(corpus, split): what the card sets beside the measures.
    """

    name: str
    summary: str
    cannot: tuple[str, ...]
    config: Any
    special_tokens: tuple[str, ...]
    wrap: Callable[[Tokenizer, int | None], PreTrainedTokenizerFast]
    prepare: Callable[["Recipe", DatasetDict, PreTrainedTokenizerFast], Preparation]
    measure: Callable[[Any, PreTrainedTokenizerFast, DatasetDict, str], dict[str, float]]
    save: Callable[[Any, PreTrainedTokenizerFast, Path], None]
    steps: int
    batch_size: int
    window: int
    learning_rate: float
    warmup_steps: int
    betas: tuple[float, float]
    weight_decay: float = 0.1
    full_windows: bool = True
    evaluate_every: int = 300
    checkpoint_every: int = 100
    corpus: Callable[[int | None], DatasetDict] = documentation
    version: Callable[[DatasetDict], str] = pydocs.version
    pairs: Callable[["Recipe", DatasetDict], Tokenizer] = pairs_of_the_texts
    parents: tuple[str, ...] = ()
    beside: Callable[[DatasetDict, str], dict[str, float]] = compression_baselines

    def warmup(self, steps: int) -> int:
        """The steps of the warm-up: fewer if there are few steps in all."""
        return min(self.warmup_steps, steps // 10)

    def optimizer(self, model: nn.Module) -> AdamW:
        """AdamW; weight decay pulls at the matrices alone, not at biases and norms."""
        parameters = list(model.parameters())
        matrices = [parameter for parameter in parameters if parameter.dim() == 2]
        others = [parameter for parameter in parameters if parameter.dim() != 2]
        groups = [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return AdamW(groups, lr=self.learning_rate, betas=self.betas, fused=True)
