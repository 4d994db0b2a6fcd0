"""What may come next, and what do the filters leave of it? The rows, steps and entropies that the laboratory shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.generation.continuing import Continuation
from course_lib.generation.sampling import Sampling, entropy
from course_lib.widgets.causal_model import refuse_unusable

ROWS = 24
# As the filters are called on the page, by their names in `Sampling`.
LABELS = {
    "repetition_penalty": "repetition penalty",
    "temperature": "temperature",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
}


@dataclass(frozen=True)
class Row:
    """One of the likeliest tokens: its probability by the model, and after the filters; which of them cut it off."""

    token: int
    before: float
    after: float
    cut_by: str | None


@dataclass(frozen=True)
class Step:
    """After one filter: how undecided the choice still is, in bits, and how many tokens are left."""

    name: str
    entropy: float
    kept: int


@dataclass(frozen=True)
class View:
    """One distribution under one setting. `steps` begins with the model's own; `rows` are its likeliest tokens.

    others: what all tokens without a row have together, before and after.
    """

    rows: list[Row]
    others: tuple[float, float]
    steps: list[Step]
    vocabulary: int


def likeliest(logits: Float[Tensor, " vocabulary"], count: int = ROWS) -> list[int]:
    """The tokens with the highest scores, highest first; of equals the first in the vocabulary."""
    return logits.sort(descending=True, stable=True).indices[:count].tolist()


def look(logits: Float[Tensor, " vocabulary"], tokens: Sequence[int], sampling: Sampling, count: int = ROWS) -> View:
    """The next token after `tokens`, before and after the filters of `sampling`.

    Raises ValueError for scores that are not numbers, and if there are no tokens.
    """
    refuse_unusable(logits)
    if not tokens:
        raise ValueError("there are no tokens to go on from; begin with at least one, such as the end-of-text token")
    numbers = likeliest(logits, count)
    steps = [_step("model", logits)]
    cut_by: dict[int, str] = {}
    scores = logits
    for name, stage in sampling.stages(logits[None], torch.tensor([list(tokens)])):
        scores = stage[0]
        steps.append(_step(name, scores))
        for number in numbers:
            if number not in cut_by and scores[number] == float("-inf") and logits[number] != float("-inf"):
                cut_by[number] = name
    before, after = logits.softmax(dim=-1), scores.softmax(dim=-1)
    rows = [Row(number, float(before[number]), float(after[number]), cut_by.get(number)) for number in numbers]
    without_row = torch.ones(len(logits), dtype=torch.bool)
    without_row[numbers] = False
    others = float(before[without_row].double().sum()), float(after[without_row].double().sum())
    return View(rows, others, steps, len(logits))


def _step(name: str, scores: Float[Tensor, " vocabulary"]) -> Step:
    return Step(name, max(float(entropy(scores)), 0.0), int((scores > float("-inf")).sum()))


def draw(logits: Float[Tensor, " vocabulary"], tokens: Sequence[int], sampling: Sampling, seed: int) -> int:
    """The next token, drawn as `sampling` says; the same seed draws the same one."""
    scores = sampling.scores(logits[None], torch.tensor([list(tokens)]))
    return int(torch.multinomial(scores.softmax(dim=-1)[0], 1, generator=torch.Generator().manual_seed(seed)))


def best(logits: Float[Tensor, " vocabulary"], tokens: Sequence[int], repetition_penalty: float = 1.0) -> int:
    """The likeliest token: what temperatures near 0 would draw (do_sample=False)."""
    sampling = Sampling(repetition_penalty=repetition_penalty)
    return int(sampling.scores(logits[None], torch.tensor([list(tokens)])).argmax())


def probabilities(continuation: Continuation) -> list[float]:
    """Of each written token under the model itself, before temperature and filters."""
    return [math.exp(value) for value in continuation.log_probabilities]


def described(sampling: Sampling) -> str:
    """A setting in words: `T 0.7, top-k 40`; filters that are off are left out."""
    parts = [f"T {sampling.temperature:g}"]
    parts += [
        f"{LABELS[name]} {value:g}"
        for name in ("top_k", "top_p", "min_p")
        if (value := getattr(sampling, name)) is not None
    ]
    if sampling.repetition_penalty != 1:
        parts.append(f"{LABELS['repetition_penalty']} {sampling.repetition_penalty:g}")
    return ", ".join(parts)
