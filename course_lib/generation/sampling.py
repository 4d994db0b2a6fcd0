"""Where does variety come from? Temperature, and what is cut off before a token is drawn (notebook 04).

Each function takes the scores of all next tokens and returns changed scores; a token that is cut off gets -inf. They
are transformers' logits processors and warpers, to the last bit that matters, in sight.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Logits = Float[Tensor, "batch vocabulary"]


def at_temperature(logits: Logits, temperature: float) -> Logits:
    """logits / T. T < 1 sharpens the distribution, T > 1 flattens it, T = 1 leaves it.

    Source: Ackley, Hinton, Sejnowski 1985, section 2. Raises ValueError unless T > 0.
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature must be > 0, got {temperature}; for the likeliest token at every step use do_sample=False"
        )
    return logits / temperature


def only_top_k(logits: Logits, k: int) -> Logits:
    """The k likeliest tokens stay (and those that tie with the last of them).

    Source: Fan, Lewis, Dauphin 2018, section 5.4. Raises ValueError for k < 1.
    """
    if k < 1:
        raise ValueError(f"top_k must be at least 1, got {k}; leave it out to keep all tokens")
    smallest = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < smallest, float("-inf"))


def only_top_p(logits: Logits, p: float) -> Logits:
    """The smallest set of likeliest tokens stays whose probabilities reach p together: the nucleus.

    Source: Holtzman et al. 2020, section 3.1. Raises ValueError outside 0 < p <= 1.
    """
    if not 0 < p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {p}; 1 keeps all tokens")
    ascending, order = logits.sort(dim=-1)
    cut = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - p  # what lies below the nucleus
    cut[:, -1] = False  # the likeliest token always stays
    return logits.masked_fill(cut.scatter(1, order, cut), float("-inf"))


def only_min_p(logits: Logits, min_p: float) -> Logits:
    """Tokens stay that are at least min_p times as likely as the likeliest one.

    Source: Nguyen et al. 2024, section 3. Raises ValueError outside 0 <= min_p <= 1.
    """
    if not 0 <= min_p <= 1:
        raise ValueError(f"min_p must be in [0, 1], got {min_p}; 0 keeps all tokens")
    probabilities = logits.softmax(dim=-1)
    cut = probabilities < min_p * probabilities.amax(dim=-1, keepdim=True)
    return logits.masked_fill(cut.scatter(1, logits.argmax(dim=-1, keepdim=True), False), float("-inf"))


def against_repetition(logits: Logits, tokens: Int[Tensor, "batch length"], penalty: float) -> Logits:
    """Scores of tokens that occurred already become smaller: divided by the penalty, or multiplied if negative.

    Source: Keskar et al. 2019, section 4.1. Raises ValueError unless the penalty is positive.
    """
    if not penalty > 0:
        raise ValueError(f"repetition_penalty must be > 0, got {penalty}; 1 changes nothing, 1.2 is usual")
    seen = logits.gather(1, tokens)
    return logits.scatter(1, tokens, torch.where(seen < 0, seen * penalty, seen / penalty))


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. None leaves a filter out.

    Raises ValueError for settings that cannot be, when it is made.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for _ in self.stages(torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.long)):
            pass  # each filter refuses its own bad values

    def stages(self, logits: Logits, tokens: Int[Tensor, "batch length"]) -> Iterator[tuple[str, Logits]]:
        """The scores after each step in turn, by its name; the order is that of transformers' `generate`."""
        if self.repetition_penalty != 1:
            yield "repetition_penalty", (logits := against_repetition(logits, tokens, self.repetition_penalty))
        yield "temperature", (logits := at_temperature(logits, self.temperature))
        if self.top_k is not None:
            yield "top_k", (logits := only_top_k(logits, self.top_k))
        if self.top_p is not None:
            yield "top_p", (logits := only_top_p(logits, self.top_p))
        if self.min_p is not None:
            yield "min_p", (logits := only_min_p(logits, self.min_p))

    def scores(self, logits: Logits, tokens: Int[Tensor, "batch length"]) -> Logits:
        """The scores after all steps; their softmax is the distribution that is drawn from."""
        *_, (_, last) = self.stages(logits, tokens)
        return last


def choose(
    logits: Logits,
    tokens: Int[Tensor, "batch length"],
    sampling: Sampling,
    *,
    do_sample: bool = True,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "batch 1"]:
    """The next token of each row, after its `tokens`: drawn as `sampling` says, or the likeliest (of equals the first).

    The likeliest one depends on the repetition penalty alone: the other steps keep the order.
    """
    if do_sample:
        return torch.multinomial(sampling.scores(logits, tokens).softmax(dim=-1), 1, generator=generator)
    greedy = Sampling(repetition_penalty=sampling.repetition_penalty)
    return greedy.scores(logits, tokens).argmax(dim=-1, keepdim=True)


def entropy(logits: Float[Tensor, "*batch vocabulary"]) -> Float[Tensor, "*batch"]:
    """How undecided a distribution is, in bits: 0 for one certain token, log2 V for V equal ones.

    Source: Shannon 1948, section 6.
    """
    log_probabilities = logits.log_softmax(dim=-1)
    terms = log_probabilities.exp() * log_probabilities.masked_fill(log_probabilities == float("-inf"), 0.0)
    return -terms.sum(dim=-1) / torch.log(torch.tensor(2.0))


def distinct_n(texts: list[list[int]], n: int) -> float:
    """The share of different n-grams among all n-grams of the texts; 1 means that nothing is repeated.

    Source: Li et al. 2016, section 5.2. Raises ValueError if no text has n tokens.
    """
    grams = [tuple(text[start : start + n]) for text in texts for start in range(len(text) - n + 1)]
    if n < 1 or not grams:
        raise ValueError(f"no text has {n} tokens in a row, so there are no {n}-grams to count")
    return len(set(grams)) / len(grams)
