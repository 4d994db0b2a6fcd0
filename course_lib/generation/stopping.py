"""How does a model stop where an answer ends, and not where its length is used up? Stop sequences (notebook 11).

The fourth source document lets the model babble to its full length and cuts afterwards. Here the text is watched while
it grows: generation ends at the token that completes a stop sequence, and no part of it is ever shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

REPLACEMENT = "\ufffd"  # what an unfinished character decodes to


@dataclass(frozen=True)
class Cut:
    """What is left of a text, and whether something was cut off."""

    text: str
    found: bool


def cut_at(text: str, stops: Sequence[str]) -> Cut:
    """The text before the stop sequence that is complete first (of two that end at one place, the longer)."""
    found = [(place + len(stop), place) for stop in stops if (place := text.find(stop)) >= 0]
    return Cut(text[: min(found)[1]], True) if found else Cut(text, False)


def cut_after_generation(text: str, human: str, ai: str) -> str:
    """The answer in a continuation that went on babbling, found as the fourth source document finds it.

    The text before the next message of the human, after the title of the AI if it was repeated, without spaces and
    newlines around it.
    """
    text = cut_at(text, [human]).text
    _, title, answer = text.partition(ai)
    return (cut_at(answer, [ai]).text if title else text).strip()


class StopWatch:
    """Watches a text that comes in pieces. What could be the beginning of a stop sequence is held back.

        watch = StopWatch(["Human:"])
        shown = watch.add("fine.\\nHu") + watch.add("man: ")  # "fine.\\n"; watch.stopped

    Raises ValueError for an empty stop sequence, at which every text would end.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if isinstance(stops, str):
            raise TypeError(f"stops is {stops!r}; give a sequence, such as [{stops!r}]")
        if not all(stops):
            raise ValueError("a stop sequence is empty; every text would end at once. Leave it out")
        self.stops = tuple(stops)
        self.stopped = False
        self._held = ""

    def add(self, piece: str) -> str:
        """What of the text can be shown now that this piece has come. Nothing more once it has stopped."""
        if self.stopped:
            return ""
        text = self._held + piece
        cut = cut_at(text, self.stops)
        if cut.found:
            self.stopped, self._held = True, ""
            return cut.text
        held = max((_overlap(text, stop) for stop in self.stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """What was held back, if the text ends here: it was no stop sequence after all."""
        held, self._held = self._held, ""
        return held


class TextOfTokens:
    """Turns tokens into text one by one: a character of several tokens comes when its last token has come.

    Decoding each token alone would lose the spaces of some tokenizers, and break characters of others.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._context = self._done = 0  # tokens that are decoded again for their neighbours' sake; tokens given out

    def add(self, token: int) -> str:
        """The text that this token completes; "" while a character is unfinished."""
        self._tokens.append(token)
        before, now = self._texts()
        if now.endswith(REPLACEMENT):
            return ""
        return self._give(before, now)

    def finish(self) -> str:
        """An unfinished character at the end, as the sign for one."""
        return self._give(*self._texts())

    def _texts(self) -> tuple[str, str]:
        decode = self._tokenizer.decode
        before = decode(self._tokens[self._context : self._done], clean_up_tokenization_spaces=False)
        return before, decode(self._tokens[self._context :], clean_up_tokenization_spaces=False)

    def _give(self, before: str, now: str) -> str:
        self._context, self._done = self._done, len(self._tokens)
        return now[len(before) :]


def _overlap(text: str, stop: str) -> int:
    """How many of the text's last characters are the stop sequence's first ones."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
