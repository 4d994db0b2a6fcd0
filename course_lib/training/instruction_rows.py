"""Which tokens of an instruction is a model asked to guess? Those of the responses, and the token that ends them.

The border between prompt and response is found by the characters that each token stands for, in the text as a whole:
tokenising the prompt alone can give another number of tokens, since neighbours merge across the border.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from course_lib.data.alpaca_format import Conversation, Segment, segments
from course_lib.data.masking import NOT_ASKED

LEAST_KEPT = 0.5  # of an instruction and its input; with less left of them, the response answers something else

Row = tuple[Int[Tensor, " _"], Int[Tensor, " _"]]  # tokens and labels


@dataclass(frozen=True)
class Turn:
    """One turn as tokens, the end token last; those from `border` on belong to the response."""

    tokens: list[int]
    border: int
    field: tuple[int, int]  # from which token to which the instruction and its input go


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
        turns = tokenised(tokenizer, conversations)
        begin = begin_tokens(tokenizer)
        tokens: list[int] = []
        prompts: list[tuple[int, int]] = []  # from where to where
        ends = [0]
        self.shortened = self.dropped = 0
        for each in turns:
            fitting = _fitted(each, longest - len(begin))
            self.dropped += not fitting
            self.shortened += bool(fitting) and fitting != each
            if not fitting:
                continue
            tokens += begin
            for turn in fitting:
                prompts.append((len(tokens), len(tokens) + turn.border))
                tokens += turn.tokens
            ends.append(len(tokens))
        if len(ends) == 1:
            raise ValueError(
                f"none of the {len(turns)} rows fits into {longest} tokens; allow more, or give shorter responses"
            )
        self._tokens = torch.tensor(tokens)
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


def tokenised(tokenizer: Any, conversations: Sequence[Conversation]) -> list[list[Turn]]:
    """Each conversation's turns as tokens. The end token's text in a message stays text: it ends nothing."""
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no end-of-text token, so a model could not learn where a response ends; set "
            "tokenizer.eos_token to one of its tokens, or add one"
        )
    written = [segments(conversation.exchanges) for conversation in conversations]
    flat = [segment for each in written for segment in each]
    if not flat:
        return []
    encoded = tokenizer(
        [segment.prompt + segment.response for segment in flat],
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        split_special_tokens=True,
        verbose=False,
    )
    turns = iter(
        _turn(segment, tokens, offsets, int(tokenizer.eos_token_id))
        for segment, tokens, offsets in zip(flat, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    )
    return [[next(turns) for _ in each] for each in written]


def begin_tokens(tokenizer: Any) -> list[int]:
    """The token that a tokenizer sets before every text, as LLaMA's does, or none."""
    begins = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return [int(tokenizer.bos_token_id)] if begins else []


def first_of_response(offsets: Sequence[tuple[int, int]], border: int) -> int:
    """The first token that holds a character of the response, which begins at the character `border`.

    A token that holds characters of both sides belongs to the response: else its first word would never be learned.
    """
    return bisect_right(offsets, border, key=lambda offset: offset[1])


def _turn(segment: Segment, tokens: list[int], offsets: list[tuple[int, int]], end: int) -> Turn:
    first, last = segment.field
    field = (bisect_left(offsets, first, key=lambda offset: offset[0]), first_of_response(offsets, last))
    return Turn([*tokens, end], first_of_response(offsets, len(segment.prompt)), field)


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
    return [Turn(tokens, kept[0].border - excess, (start, stop - excess))]
