"""Which number stands for which word? A word-level vocabulary with four marks of its own (notebooks 01, 02)."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import SupportsInt

PADDING, UNKNOWN, BEGIN, END = 0, 1, 2, 3
MARKS = ("<padding>", "<unknown>", "<begin>", "<end>")


class Vocabulary:
    """The words a model knows, each with its number; the first four numbers are PADDING, UNKNOWN, BEGIN, END.

    `tokens[i]` is the text of number i. A word of the text that happens to be spelled like a mark is an unknown
    word, so that no sentence can smuggle in an END.
    """

    def __init__(self, words: Sequence[str]) -> None:
        """Number `words` in their order, from 4 on. Raises ValueError for a repeated word or a mark among them."""
        repeated = [word for word, count in Counter(words).items() if count > 1]
        if repeated:
            raise ValueError(f"A vocabulary needs each word once; given more than once: {', '.join(repeated[:5])}.")
        reserved = [word for word in words if word in MARKS]
        if reserved:
            raise ValueError(f"{', '.join(reserved)} cannot be a word: the vocabulary adds its four marks itself.")
        self.tokens: tuple[str, ...] = (*MARKS, *words)
        self._number_of = {word: number for number, word in enumerate(self.tokens) if number >= len(MARKS)}

    @classmethod
    def build(cls, sentences: Iterable[str], minimum_count: int = 1, maximum_size: int | None = None) -> "Vocabulary":
        """Collect the words of sentences whose tokens are separated by spaces, the most frequent first.

        Words seen fewer than `minimum_count` times are left out; `maximum_size` bounds `len()`, the four marks
        included. Words of equal count stand in alphabetical order, so the same text gives the same numbers.
        """
        if isinstance(sentences, str):
            raise TypeError("Vocabulary.build expects several sentences; given one string: put it into a list.")
        if maximum_size is not None and maximum_size < len(MARKS):
            raise ValueError(
                f"maximum_size is {maximum_size}; the marks alone take {len(MARKS)}, so give at least that."
            )
        counts: Counter[str] = Counter()
        for sentence in sentences:
            counts.update(sentence.split())
        for mark in MARKS:
            counts.pop(mark, None)
        words = sorted(
            (word for word, count in counts.items() if count >= minimum_count), key=lambda w: (-counts[w], w)
        )
        return cls(words if maximum_size is None else words[: maximum_size - len(MARKS)])

    def encode(self, sentence: str) -> list[int]:
        """The numbers of a sentence's words, without BEGIN and END; a word never seen becomes UNKNOWN."""
        number_of = self._number_of
        return [number_of.get(word, UNKNOWN) for word in sentence.split()]

    def decode(self, ids: Iterable[SupportsInt]) -> str:
        """The sentence of these numbers up to the first END, without PADDING and BEGIN; takes a tensor's row too."""
        words = []
        for number in map(int, ids):
            if number == END:
                break
            if number not in (PADDING, BEGIN):
                words.append(self.token_of(number))
        return " ".join(words)

    def token_of(self, number: int) -> str:
        """The text of one number. Raises IndexError, naming the size, for a number outside the vocabulary."""
        if not 0 <= number < len(self.tokens):
            raise IndexError(f"Number {number} is not in this vocabulary: it has the numbers 0 to {len(self) - 1}.")
        return self.tokens[number]

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, word: str) -> bool:
        return word in self._number_of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary of {len(self)}: {' '.join(self.tokens[:8])} …"

    def to_json(self) -> str:
        """The vocabulary as JSON text; `from_json` gives the same one back."""
        return json.dumps({"marks": MARKS, "words": self.tokens[len(MARKS) :]}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read what `to_json` wrote. Raises ValueError when the text is something else."""
        try:
            content = json.loads(text)
            marks, words = tuple(content["marks"]), content["words"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                'This is not a vocabulary: expected JSON with "marks" and "words", as Vocabulary.to_json writes it.'
            ) from error
        if marks != MARKS or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(
                f"This is not a vocabulary of this version: it should have the marks {MARKS} and a list of words."
            )
        return cls(words)
