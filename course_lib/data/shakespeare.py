"""What do language models of a laptop's size read? A million letters of Shakespeare, one token each (notebook 04).

The text that char-rnn and nanoGPT train on, so that losses can be compared with theirs. It is not bundled; it is read
from the mirror folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.data.mirror import locate

FILE = "tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TRAINING_SHARE = 0.9  # the rest is for validation, as in nanoGPT


@dataclass(frozen=True)
class Letters:
    """Two streams of letters as numbers; `alphabet[number]` is the letter."""

    train: Int[Tensor, " train"]
    validation: Int[Tensor, " validation"]
    alphabet: str

    def encode(self, text: str) -> Int[Tensor, " letters"]:
        """The numbers of a text's letters. Raises ValueError for a letter that Shakespeare never used."""
        numbers = {letter: number for number, letter in enumerate(self.alphabet)}
        if strange := sorted(set(text) - set(numbers)):
            raise ValueError(f"the letter {strange[0]!r} is not in the text; the alphabet is {self.alphabet!r}")
        return torch.tensor([numbers[letter] for letter in text], dtype=torch.long)

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of some numbers."""
        return "".join(self.alphabet[number] for number in numbers)


def load_shakespeare() -> Letters:
    """The 1,115,394 letters of tinyshakespeare, 65 different ones, the last tenth for validation.

    Source: Karpathy's char-rnn, data/tinyshakespeare. Raises FileNotFoundError without a mirror folder
    (COURSE_DATA_DIR) that holds it, ValueError for a damaged file.
    """
    return split_letters(locate(FILE, SHA256).read_text(encoding="utf-8"))


def split_letters(text: str) -> Letters:
    """A text as letters, its first nine tenths for training. Raises ValueError for fewer than ten letters."""
    if len(text) < 10:
        raise ValueError(f"a text of {len(text)} letters cannot be split; give at least ten")
    whole = Letters(torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long), "".join(sorted(set(text))))
    numbers = whole.encode(text)
    border = int(TRAINING_SHARE * len(numbers))
    return Letters(numbers[:border], numbers[border:], whole.alphabet)
