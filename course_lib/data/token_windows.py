"""How does a long stream of text become equal pieces for a language model? By windows over its tokens (notebook 04)."""

from collections.abc import Iterable, Sequence

import numpy
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast


def token_stream(
    tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], end_token: int, batch_size: int = 1_000
) -> Int[Tensor, " tokens"]:
    """All texts one behind the other, each followed by the end token. Raises ValueError if there is no text."""
    texts = list(texts)
    pieces: list[numpy.ndarray] = []
    for first in range(0, len(texts), batch_size):
        encoded = tokenizer(
            texts[first : first + batch_size], add_special_tokens=False, verbose=False, return_attention_mask=False
        )["input_ids"]
        pieces += [numpy.array([*ids, end_token], dtype=numpy.int32) for ids in encoded]
    if not pieces:
        raise ValueError("there is no text to cut into windows")
    return torch.from_numpy(numpy.concatenate(pieces)).long()


class TokenWindows(Dataset):
    """Windows of `length` tokens over a stream; each begins at a random place within its own stretch.

    So every epoch sees the whole stream about once, and no two epochs see the same windows. The course's training
    loop seeds the drawing by the place in the data, so that a resumed run sees what an undisturbed one would.
    Raises ValueError for a stream that is shorter than one window.
    """

    def __init__(self, stream: Int[Tensor, " tokens"], length: int, random_start: bool = True) -> None:
        if len(stream) < length:
            raise ValueError(f"a stream of {len(stream)} tokens is shorter than one window of {length}")
        self.stream, self.length, self.random_start = stream, length, random_start

    def __len__(self) -> int:
        return len(self.stream) // self.length

    def __getitem__(self, number: int) -> Int[Tensor, " {self.length}"]:
        first = number * self.length
        if self.random_start:
            last = min(first + self.length, len(self.stream) - self.length + 1)
            first = int(torch.randint(first, last, ())) if last > first else first
        return self.stream[first : first + self.length]


def stack_windows(windows: Sequence[Int[Tensor, " length"]]) -> Int[Tensor, "batch length"]:
    """The collate function of a loader of windows."""
    return torch.stack(list(windows))
