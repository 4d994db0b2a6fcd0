"""Which rows does a model learn instructions from? Conversations as tokens, and as labels those it is to guess.

These are the responses, and the token that ends each of them.
"""

import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from course_lib.data.alpaca_format import Conversation
from course_lib.data.instruction_tokens import Turn, begin_tokens, tokenised
from course_lib.data.masking import NOT_ASKED

AT_ONCE = 4_000  # conversations
LEAST_KEPT = 0.5  # of an instruction and its input; with less left of them, the response answers something else

Row = tuple[Int[Tensor, " _"], Int[Tensor, " _"]]  # tokens and labels


class InstructionRows(Dataset):
    """Conversations as tokens and labels: NOT_ASKED for prompts, unless `train_on_inputs`.

    Too long ones are shortened: whole turns are left out from the end; of a single turn, the end of its instruction and
    input, up to half of it. A response is never cut: a row whose response does not fit is dropped. `shortened` and
    `dropped` count them.
    Raises ValueError for a tokenizer without an end token, and if no row is left; UnusableInstruction as `segments`.
    """

    def __init__(
        self,
        tokenizer: Any,
        conversations: Sequence[Conversation],
        longest: int,
        *,
        train_on_inputs: bool = False,
    ) -> None:
        begin = begin_tokens(tokenizer)
        tokens = array("q")  # a number takes 8 bytes, in a list five times as many
        prompts: list[tuple[int, int]] = []  # from where to where
        ends = [0]
        self.shortened = self.dropped = 0
        for each in _tokenised_in_parts(tokenizer, conversations):
            fitting = _fitted(each, longest - len(begin))
            self.dropped += not fitting
            self.shortened += bool(fitting) and fitting != each
            if not fitting:
                continue
            tokens.extend(begin)
            for turn in fitting:
                prompts.append((len(tokens), len(tokens) + turn.border))
                tokens.extend(turn.tokens)
            ends.append(len(tokens))
        if len(ends) == 1:
            raise ValueError(
                f"none of the {len(conversations)} rows fits into {longest} tokens; allow more, or shorten them"
            )
        self._tokens = torch.frombuffer(tokens, dtype=torch.long).clone()
        self._labels = self._tokens.clone()
        if not train_on_inputs:
            for first, border in prompts:
                self._labels[first:border] = NOT_ASKED
        self._labels[torch.tensor(ends[:-1])] = NOT_ASKED  # nothing stands before it to guess it from
        self._ends = ends
        self.lengths = [end - start for start, end in itertools.pairwise(ends)]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Row:
        """Tokens, and as labels the same tokens where they are to be guessed."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} rows, got {number}")
        number %= len(self)
        place = slice(self._ends[number], self._ends[number + 1])
        return self._tokens[place], self._labels[place]


def _tokenised_in_parts(tokenizer: Any, conversations: Sequence[Conversation]) -> Iterator[list[Turn]]:
    """As `tokenised`, some at a time: the offsets of all at once would fill the memory."""
    for first in range(0, len(conversations), AT_ONCE):
        yield from tokenised(tokenizer, conversations[first : first + AT_ONCE])


def _fitted(turns: list[Turn], longest: int) -> list[Turn]:
    """What fits of a conversation; [] if not even its first response does."""
    lengths = [len(turn.tokens) for turn in turns]
    if sum(lengths) <= longest:
        return turns
    kept = list(turns)
    while len(kept) > 1 and sum(len(turn.tokens) for turn in kept) > longest:
        kept.pop()
    excess = len(kept[0].tokens) - longest
    if len(kept) > 1 or excess <= 0:
        return kept
    start, stop = kept[0].field
    if excess > (1 - LEAST_KEPT) * (stop - start):
        return []
    tokens = kept[0].tokens[: stop - excess] + kept[0].tokens[stop:]
    return [replace(kept[0], tokens=tokens, border=kept[0].border - excess, field=(start, stop - excess))]
