"""How is one answer written, piece by piece, until it ends? With stop sequences, an end token, or by length (11)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.generation.prefix_cache import PrefixReader
from course_lib.generation.sampling import Sampling, choose
from course_lib.generation.stopping import StopWatch, TextOfTokens
from course_lib.models.modes import evaluating

EndedBy = Literal["end token", "stop sequence", "length", "interruption"]


@dataclass
class Answer:
    """What was written. `text` is what was shown; `tokens` all that were generated, those of a stop sequence too.

    characters: how many of the whole text were there after each token, the end token apart.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    ended_by: EndedBy = "length"

    def tokens_beyond(self, shown: int) -> int:
        """How many tokens stand wholly behind the first `shown` characters: generated, and thrown away."""
        starts = [0, *self.characters[:-1]]
        return sum(start >= shown for start, _ in zip(starts, self.characters, strict=False))


def write(
    reader: PrefixReader,
    tokenizer: Any,
    prompt: Sequence[int],
    answer: Answer,
    *,
    max_new_tokens: int,
    stops: Sequence[str] = (),
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[str]:
    """Yields the answer's pieces as they come, and keeps the `answer` up to date, so that one can stop at any time.

    Without `sampling` each token is the likeliest. Ends at the tokenizer's end token, when a stop sequence is complete,
    or after `max_new_tokens`. Raises ValueError for fewer than one of them, and for a prompt that leaves no room.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    context = reader.context_size
    if context is not None and len(prompt) >= context:
        raise ValueError(
            f"the prompt has {len(prompt)} tokens and the model's context {context}, so there is no room for an "
            "answer; shorten the message, or remember fewer turns"
        )
    room = max_new_tokens if context is None else min(max_new_tokens, context - len(prompt))
    watch, text = StopWatch(stops), TextOfTokens(tokenizer)
    end = tokenizer.eos_token_id
    answer.ended_by = "interruption"  # should it be so
    with evaluating(reader.model):
        scores = reader.read(prompt)
        for number in range(room):
            token = _chosen(scores, [*prompt, *answer.tokens], sampling, generator)
            answer.tokens.append(token)
            if token == end:
                answer.ended_by = "end token"
                break
            written = text.add(token)
            answer.characters.append((answer.characters or [0])[-1] + len(written))
            if piece := watch.add(written):
                answer.text += piece
                yield piece
            if watch.stopped:
                answer.ended_by = "stop sequence"
                return
            if number + 1 < room:
                scores = reader.add(token)
        else:
            answer.ended_by = "length"
    # An unfinished character may still complete a stop sequence; what was held back for one may now be shown.
    piece = watch.add(text.finish()) + watch.finish()
    if watch.stopped:
        answer.ended_by = "stop sequence"
    if piece:
        answer.text += piece
        yield piece


def _chosen(
    scores: Float[Tensor, " vocabulary"],
    before: Sequence[int],
    sampling: Sampling | None,
    generator: torch.Generator | None,
) -> int:
    """The next token: drawn as `sampling` says, or the likeliest."""
    if sampling is None:
        return int(scores.argmax())
    return int(choose(scores[None], torch.tensor([list(before)], device=scores.device), sampling, generator=generator))
