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

from course_lib.models.bert import BERTConfig
from course_lib.models.gpt import GPTConfig
from course_lib.training.loop import LossFunction


@dataclass(frozen=True)
class Preparation:
    """All that `train` needs but the optimizer; `evaluate` looks at a part of the validation split."""

    model: nn.Module
    loader: DataLoader
    loss: LossFunction
    evaluate: Callable[[Any], Mapping[str, float]]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained on the Python documentation (`course_lib.data.pydocs`).

    window: tokens in a row of a batch. The learning rate rises over warmup_steps, then falls to 0 as half a cosine.
    prepare(recipe, corpus, tokenizer) makes model and data; measure(model, tokenizer, corpus, split) is for the card;
    save(model, tokenizer, folder) writes the weights as they are shipped, in float16.
    """

    name: str
    summary: str
    cannot: tuple[str, ...]
    config: GPTConfig | BERTConfig
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
    evaluate_every: int = 300
    checkpoint_every: int = 100

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
