"""On what can a search be tried, without a model? On a decoder that is a table, and that knows how it was used."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.examples import Example, answer_to

Words = list[int]
LIKELY, UNLIKELY = 4.0, -9.0  # added to scores that are normal random numbers


class MisuseError(ValueError):
    """A decoder was asked for what it cannot say. The message tells the learner what it was asked for."""


class ToyDecoder:
    """Called as `next_scores(words_so_far)`, it gives the log-probabilities of the next word, [vocabulary].

    table: log-probabilities by place, word before and next word; the last place stands for all later ones.
    It remembers what it was asked. `misuse` is None, or the key of what it was misused for first: "wrong_start" (the
    words do not begin with `start`), "last_word_only", "after_end" (it was asked what follows `end`), "no_limit" (it
    was asked more than `patience` times), or "no_words" (something that is no list of words).
    """

    def __init__(
        self, table: Float[Tensor, "place vocabulary vocabulary"], start: int, end: int, patience: int
    ) -> None:
        self.table, self.start, self.end, self.patience = table, start, end, patience
        self.asked: list[Words] = []
        self.misuse: str | None = None
        self.said = ""

    def __call__(self, words_so_far: Any) -> Float[Tensor, " vocabulary"]:
        words = words_so_far.tolist() if isinstance(words_so_far, Tensor) else words_so_far
        vocabulary = self.table.shape[-1]
        if not isinstance(words, list | tuple) or not words or not all(_is_word(word, vocabulary) for word in words):
            self._refuse("no_words", f"it needs a list of words, each from 0 to {vocabulary - 1}, got {words!r:.100}")
        if words[0] != self.start:
            forgot = len(self.asked) > 0 and len(words) == 1
            self._refuse(
                "last_word_only" if forgot else "wrong_start",
                f"the words so far must begin with start={self.start}, got {list(words)}",
            )
        if self.end in words:
            self._refuse("after_end", f"nothing follows end={self.end}, got {list(words)}")
        self.asked.append(list(words))
        if len(self.asked) > self.patience:
            self._refuse("no_limit", f"it was asked {len(self.asked)} times and the search has not ended")
        return self.scores(words)

    def scores(self, words: Sequence[int]) -> Float[Tensor, " vocabulary"]:
        """The same for our own use: not remembered, not checked."""
        place = min(len(words), len(self.table)) - 1
        return self.table[place, words[-1]].clone()

    def log_probability(self, words: Sequence[int]) -> float:
        """Of these words after `start`, one after the other."""
        so_far = [self.start, *words]
        return sum(self.scores(so_far[: place + 1])[word].item() for place, word in enumerate(words))

    def forget(self) -> None:
        """Start anew: nothing was asked."""
        self.asked, self.misuse, self.said = [], None, ""

    def outcomes(self, limit: int) -> dict[tuple[int, ...], float]:
        """All that can be written in `limit` words, each with its log-probability: up to `end`, or cut off."""
        others = [word for word in range(self.table.shape[-1]) if word != self.end]
        found = {(*words, self.end) for length in range(limit) for words in product(others, repeat=length)}
        found |= set(product(others, repeat=limit))
        return {words: self.log_probability(words) for words in sorted(found)}

    def _refuse(self, misuse: str, said: str) -> None:
        if self.misuse is None:
            self.misuse, self.said = misuse, said
        raise MisuseError(said)


def toy_decoder(
    path: Sequence[int],
    vocabulary: int,
    *,
    start: int,
    end: int,
    patience: int,
    seed: int = 0,
    ends: float = 0.0,
    likely: float = LIKELY,
) -> ToyDecoder:
    """A decoder with random scores to which `path` is likely: `likely` is added to each of its words.

    `ends` is added to the score of `end` everywhere else. `start` is never said.
    """
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(max(len(path), 1), vocabulary, vocabulary, generator=generator)
    scores[:, :, start] += UNLIKELY
    scores[:, :, end] += ends
    for place, (before, word) in enumerate(zip([start, *path], path, strict=False)):
        scores[place, before, word] += likely
    return ToyDecoder(scores.log_softmax(-1), start, end, patience)


def asked_of(function: Callable[..., Any], decoder: ToyDecoder, failed: str, **arguments: Any) -> tuple[Any, Example]:
    """What `function(decoder, ...)` gives, and the example as it is shown: the probabilities in the decoder's place.

    Raises PropertyFailed where the decoder was misused, whatever the function made of that, with the misuse as mistake.
    """
    shown: Example = {"P[place, word before, next]": decoder.table.exp(), **arguments}
    decoder.forget()
    try:
        output = answer_to(function, {"next_scores": decoder, **arguments})
    except AnswerRaised as raised:
        if decoder.misuse is None:
            raised.example = shown
            raise
        output = "nothing: it was stopped"
    if decoder.misuse is not None:
        raise PropertyFailed(failed, f"next_scores: {decoder.said}", shown, output, decoder.misuse)
    return output, shown


def _is_word(word: Any, vocabulary: int) -> bool:
    return isinstance(word, int) and not isinstance(word, bool) and 0 <= word < vocabulary
