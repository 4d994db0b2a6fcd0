"""What does a chat model really get to read, and what does a turn cost? The prompt, the reply, and their tokens."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_MESSAGE = 20_000  # characters


@dataclass(frozen=True)
class Turn:
    """One message and its reply, with the prompt that was really sent. Lengths are in `Counter.unit`.

    Of a turn of `generation.chat.Chat` also: how many of the prompt's tokens were still known from the last one, how
    many generated tokens are not in the reply, how many earlier turns the prompt left out, and what ended the reply.
    """

    message: str
    prompt: str
    reply: str
    prompt_length: int
    reply_length: int
    seconds: float
    reused: int = 0
    thrown_away: int = 0
    forgotten: int = 0
    ended_by: str = ""


Reply = Callable[[str], "str | Iterator[str]"]
PromptBuilder = Callable[[Sequence[Turn], str], str]


def plain_prompt(history: Sequence[Turn], message: str) -> str:
    """All turns one below the other, and the new message last; the model goes on from there."""
    lines = [line for turn in history for line in (f"User: {turn.message}", f"Model: {turn.reply}")]
    return "\n".join([*lines, f"User: {message}", "Model:"])


class Counter:
    """Counts tokens if there is a tokenizer (anything with `encode`), else words. `unit` says which."""

    def __init__(self, tokenizer: Any = None) -> None:
        if tokenizer is not None and not hasattr(tokenizer, "encode"):
            raise TypeError(f"tokenizer needs a method encode(text), got {type(tokenizer).__name__}")
        self.unit = "words" if tokenizer is None else "tokens"
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> int:
        return len(text.split() if self._tokenizer is None else self._tokenizer.encode(text))


def take_turn(
    history: Sequence[Turn],
    message: str,
    *,
    reply: Reply,
    prompt_builder: PromptBuilder,
    count: Counter,
    on_piece: Callable[[str], None] = lambda piece: None,
) -> Turn:
    """Build the prompt, get the reply (piece by piece if it comes so), and count.

    Raises ValueError for an empty message and one that is too long, TypeError for a reply that is no text.
    """
    if not message.strip():
        raise ValueError("the message is empty; type something first")
    if len(message) > LONGEST_MESSAGE:
        raise ValueError(f"the message has {len(message):,} characters, at most {LONGEST_MESSAGE:,} are taken")
    prompt = prompt_builder(history, message)
    if not isinstance(prompt, str):
        raise TypeError(f"prompt_builder must return the prompt as text, got {type(prompt).__name__}")
    began = time.perf_counter()
    said = reply(prompt)
    pieces = []
    for piece in (said,) if isinstance(said, str) else said:
        if not isinstance(piece, str):
            raise TypeError(f"reply must give text, whole or in pieces, got {type(piece).__name__}")
        pieces.append(piece)
        on_piece(piece)
    seconds = time.perf_counter() - began
    answer = "".join(pieces)
    return Turn(message, prompt, answer, count(prompt), count(answer), seconds)
