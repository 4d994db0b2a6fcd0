"""Where does a prompt end and a response begin, in tokens? Found in the text as a whole (notebook 12).

The border is found by the characters that each token stands for: tokenising the prompt alone can give another number of
tokens, since neighbours merge across the border.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.data.alpaca_format import Conversation, Exchange, Segment, alpaca_prompt, next_turn, segments


@dataclass(frozen=True)
class Turn:
    """One turn as tokens, the end token last; those from `border` on belong to the response."""

    tokens: list[int]
    border: int
    field: tuple[int, int]  # from which token to which the instruction and its input go


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


def prompt_tokens(tokenizer: Any, history: Sequence[Exchange], instruction: str, input: str = "") -> list[int]:
    """What a model reads before it answers: the same tokens as in training, earlier turns with their end tokens."""
    turns = tokenised(tokenizer, [Conversation(tuple(history))])[0] if history else []
    before = [token for turn in turns for token in turn.tokens]
    prompt = (next_turn if history else alpaca_prompt)(instruction, input)
    own = tokenizer(prompt, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return [*begin_tokens(tokenizer), *before, *own]


def _turn(segment: Segment, tokens: list[int], offsets: list[tuple[int, int]], end: int) -> Turn:
    first, last = segment.field
    field = (bisect_left(offsets, first, key=lambda offset: offset[0]), first_of_response(offsets, last))
    return Turn([*tokens, end], first_of_response(offsets, len(segment.prompt)), field)
