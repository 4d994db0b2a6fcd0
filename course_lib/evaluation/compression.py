"""How good is a language model, whatever its tokens? Bits per byte, beside what compressors and counting reach.

A model that predicts text compresses it: -log2 p bits for each symbol. Divided by the text's bytes the number depends
on no tokenizer, so that a network, gzip and a table of counts can be compared. Everybody pays for the end of each
text (a network with its end-of-text token, the others with a zero byte), and these ends are not counted as bytes.
"""

import gzip
import lzma
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt64

END = b"\0"  # no text contains it
Compress = Callable[[bytes], bytes]


def bits_per_byte(total_nats: float, total_bytes: int) -> float:
    """Bits per byte of a summed negative log-likelihood (natural logarithm, as torch's cross_entropy gives).

    Raises ValueError for less than one byte, or nats that are negative or no number.
    """
    if total_bytes < 1:
        raise ValueError(f"total_bytes is {total_bytes}; expected the bytes of the text, at least 1.")
    if not total_nats >= 0:
        raise ValueError(
            f"total_nats is {total_nats}; expected the sum of -log p over all tokens, which is 0 or more. Take the "
            "sum, not the mean (reduction='sum')."
        )
    return total_nats / math.log(2) / total_bytes


def gzip_bits_per_byte(texts: Sequence[str], primed_with: Sequence[str] = ()) -> float:
    """Bits per byte of gzip -9, which looks back 32 KiB, on the texts one after the other.

    With `primed_with`, these texts come first, and only what the file grows by counts.
    """
    return _compressed_bits_per_byte(lambda data: gzip.compress(data, compresslevel=9, mtime=0), texts, primed_with)


def xz_bits_per_byte(texts: Sequence[str], primed_with: Sequence[str] = ()) -> float:
    """Bits per byte of xz -9e, which looks back 64 MiB: primed with training texts it knows them all by heart."""
    return _compressed_bits_per_byte(
        lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), texts, primed_with
    )


def _compressed_bits_per_byte(compress: Compress, texts: Sequence[str], primed_with: Sequence[str]) -> float:
    total_bytes = count_bytes(texts)
    before = _joined(primed_with)
    size = len(compress(before + _joined(texts))) - (len(compress(before)) if before else 0)
    return 8 * size / total_bytes


def count_bytes(texts: Sequence[str]) -> int:
    """The bytes of the texts in UTF-8, their ends not counted. Raises ValueError when there are none."""
    total = sum(len(text.encode()) for text in texts)
    if not total:
        raise ValueError("There is no text to measure on; give at least one that is not empty.")
    return total


def _joined(texts: Sequence[str]) -> bytes:
    return b"".join(text.encode() + END for text in texts)


class ByteNGrams:
    """An n-gram model of bytes with interpolated Kneser-Ney smoothing: counting, done well.

    The probability of a byte w after a context h (the n-1 bytes before it) discounts the counts and gives what is
    saved to the next shorter context h', down to the uniform distribution over 256 bytes:

        p(w | h) = max(c(hw) - D, 0) / c(h) + D · types(h) / c(h) · p(w | h')

    c counts occurrences for the longest contexts; for shorter ones, in how many different ways a gram is preceded. D
    is n1 / (n1 + 2 n2) of each order, from its grams with count 1 and 2; types(h) says how many bytes follow h. Grams
    that begin a text are preceded by zero bytes only; each text ends with one.
    Source: Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling".
    """

    def __init__(self, texts: Sequence[str], order: int = 5) -> None:
        """Count the grams of 1 to `order` bytes. Raises ValueError for an order outside 1 to 8 or no text."""
        if not 1 <= order <= 8:
            raise ValueError(f"order is {order}; expected 1 to 8 bytes, since eight fit one number.")
        count_bytes(texts)  # refuses none
        self.order = order
        self._tables: list[_Table] = []
        grams, counts = np.unique(_grams(texts, order), return_counts=True)
        for length in range(order, 0, -1):
            self._tables.insert(0, _Table(grams, counts, length))
            # A shorter gram is counted once for each byte that precedes it.
            grams, counts = np.unique(grams & _ones(length - 1), return_counts=True)

    def bits_per_byte(self, texts: Sequence[str]) -> float:
        """Bits per byte of the texts, each one's end included in the bits."""
        total_bytes = count_bytes(texts)
        grams, counts = np.unique(_grams(texts, self.order), return_counts=True)  # few differ: each is looked up once
        return bits_per_byte(float(-(counts * np.log(self._probability(grams))).sum()), total_bytes)

    def probabilities(self, context: bytes) -> Float[np.ndarray, "256"]:
        """The probability of each next byte. Of the context, the last n-1 bytes count; zero bytes stand before it."""
        width = self.order - 1
        last = int.from_bytes((END * width + context)[len(context) :], "big")  # 0 of no bytes
        return self._probability(np.uint64(last << 8) + np.arange(256, dtype=np.uint64))

    def _probability(self, grams: UInt64[np.ndarray, "grams"]) -> Float[np.ndarray, "grams"]:
        probability = np.full(len(grams), 1 / 256)
        for table in self._tables:  # from the shortest context to the longest
            probability = table.interpolate(grams, probability)
        return probability


class _Table:
    """The grams of one length with their counts, and the totals of their contexts."""

    def __init__(self, grams: UInt64[np.ndarray, "grams"], counts: Int[np.ndarray, "grams"], length: int) -> None:
        self.length, self.grams, self.counts = length, grams, counts
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        # Where no gram is counted once, as with a few bytes that all follow everything, a half is usual.
        self.discount = once / (once + 2 * twice) if once and twice else 0.5
        self.contexts, first, self.types = np.unique(grams >> np.uint64(8), return_index=True, return_counts=True)
        self.totals = np.add.reduceat(counts, first)

    def interpolate(
        self, grams: UInt64[np.ndarray, "asked"], shorter: Float[np.ndarray, "asked"]
    ) -> Float[np.ndarray, "asked"]:
        """p(w | h) from p(w | h'), for grams of which the last `length` bytes count."""
        grams = grams & _ones(self.length)
        counts = _look_up(self.grams, self.counts, grams)
        totals = _look_up(self.contexts, self.totals, grams >> np.uint64(8))
        types = _look_up(self.contexts, self.types, grams >> np.uint64(8))
        seen = np.maximum(totals, 1)
        discounted = np.maximum(counts - self.discount, 0) / seen + self.discount * types / seen * shorter
        return np.where(totals > 0, discounted, shorter)  # a context never seen says nothing


def _look_up(
    keys: UInt64[np.ndarray, "keys"], values: Int[np.ndarray, "keys"], asked: UInt64[np.ndarray, "asked"]
) -> Int[np.ndarray, "asked"]:
    """The values of the keys asked for, 0 for those not there. The keys are sorted."""
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)


def _grams(texts: Sequence[str], order: int) -> UInt64[np.ndarray, "grams"]:
    """Each byte and end of the texts with the order-1 bytes before it, as one number: the last byte is the lowest."""
    before = order - 1
    data = np.frombuffer(b"".join(END * before + text.encode() + END for text in texts), np.uint8)
    grams = np.zeros(len(data) - before, np.uint64)
    for position in range(order):
        grams = (grams << np.uint64(8)) | data[position : position + len(grams)]
    return grams[_predicted(texts, before)]


def _predicted(texts: Sequence[str], before: int) -> Int[np.ndarray, "grams"]:
    """Where the grams end that predict a byte of a text or its end, not the zero bytes before a text."""
    lengths = np.array([len(text.encode()) + 1 for text in texts], np.int64)
    starts = np.cumsum(lengths + before) - lengths - before
    return np.repeat(starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths) + np.arange(lengths.sum())


def _ones(length: int) -> np.uint64:
    """A mask for the lowest `length` bytes."""
    return np.uint64((1 << 8 * length) - 1)
