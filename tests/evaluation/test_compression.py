import gzip
import lzma
import math
import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation.compression import (
    ByteNGrams,
    bits_per_byte,
    count_bytes,
    gzip_bits_per_byte,
    xz_bits_per_byte,
)

TEXTS = ["abracadabra", "abba", "a cadabra, ab", "Grüße"]
HELD_OUT = ["abra", "barbara äh", "zz top"]


class SlowKneserNey:
    """The formula as it is written in the paper, by dictionaries."""

    def __init__(self, texts: list[str], order: int) -> None:
        self.order = order
        raw: dict[bytes, int] = defaultdict(int)
        for text in texts:
            data = b"\0" * (order - 1) + text.encode() + b"\0"
            for end in range(order, len(data) + 1):
                raw[data[end - order : end]] += 1
        self.counts = {order: dict(raw)}
        for length in range(order - 1, 0, -1):
            preceded: dict[bytes, set[int]] = defaultdict(set)
            for gram in self.counts[length + 1]:
                preceded[gram[1:]].add(gram[0])
            self.counts[length] = {gram: len(before) for gram, before in preceded.items()}

    def probability(self, context: bytes, byte: int) -> float:
        context = (b"\0" * (self.order - 1) + context)[len(context) :]
        return self._probability(context, byte)

    def _probability(self, context: bytes, byte: int) -> float:
        length = len(context) + 1
        shorter = self._probability(context[1:], byte) if context else 1 / 256
        counts = self.counts[length]
        followers = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == context}
        if not followers:
            return shorter
        once, twice = (sum(count == n for count in counts.values()) for n in (1, 2))
        discount = once / (once + 2 * twice) if once and twice else 0.5
        total = sum(followers.values())
        return max(followers.get(byte, 0) - discount, 0) / total + discount * len(followers) / total * shorter


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_n_grams_equal_the_formula_written_out(order):
    fast, slow = ByteNGrams(TEXTS, order), SlowKneserNey(TEXTS, order)
    for context in (b"", b"a", b"ab", b"abra", b"cadab", b"never seen", "Grü".encode()):
        expected = [slow.probability(context, byte) for byte in range(256)]
        np.testing.assert_allclose(fast.probabilities(context), expected, rtol=1e-12)
    bits = -sum(
        math.log2(slow.probability(text.encode()[:end], byte))
        for text in HELD_OUT
        for end, byte in enumerate(text.encode() + b"\0")
    )
    assert fast.bits_per_byte(HELD_OUT) == pytest.approx(bits / count_bytes(HELD_OUT), rel=1e-12)


@settings(max_examples=50)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.integers(1, 8), st.binary(max_size=12))
def test_the_probabilities_of_all_bytes_sum_to_one(texts, order, context):
    if not any(texts):
        return
    probabilities = ByteNGrams(texts, order).probabilities(context)
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert (probabilities > 0).all()


def test_contexts_do_not_cross_from_one_text_to_the_next():
    texts = ["xa", "xb", "ya", "yb"] * 5
    model = ByteNGrams(texts, 3)
    assert model.bits_per_byte(texts) == pytest.approx(model.bits_per_byte(texts[::-1]), rel=1e-12)
    assert model.bits_per_byte(["xa"] * 7) == pytest.approx(model.bits_per_byte(["xa"]), rel=1e-12)


def test_a_text_seen_often_costs_little_and_its_end_is_learned():
    model = ByteNGrams(["the same sentence"] * 50)
    assert model.bits_per_byte(["the same sentence"]) < 0.15
    assert model.probabilities(b"the same sentence")[0] > 0.9
    assert model.bits_per_byte(["%$§&"]) > 6


def test_longer_contexts_predict_better_where_there_is_enough_text():
    words = random.Random(0).choices(["alpha ", "beta ", "gamma ", "delta "], k=4000)
    train, test = ["".join(words[:3900])], ["".join(words[3900:])]
    bits = [ByteNGrams(train, order).bits_per_byte(test) for order in (1, 2, 5)]
    assert bits == sorted(bits, reverse=True)
    # Four words, equally frequent: two bits for each, and little for the letters after its first.
    assert 2 * 97 / count_bytes(test) < bits[-1] < 2.5 * 100 / count_bytes(test)


def test_bits_per_byte_is_nats_over_bytes():
    assert bits_per_byte(8 * math.log(2), 8) == pytest.approx(1)
    assert bits_per_byte(0.0, 3) == 0
    uniform = 100 * math.log(256)
    assert bits_per_byte(uniform, 100) == pytest.approx(8)


def test_compressors_are_measured_in_bits_of_their_output():
    text = "a text that is repeated. " * 20
    data = text.encode() + b"\0"
    assert gzip_bits_per_byte([text]) == 8 * len(gzip.compress(data, 9)) / len(text)
    assert xz_bits_per_byte([text]) == 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) / len(text)


def test_priming_counts_only_what_the_file_grows_by():
    text = "".join(map(chr, random.Random(2).choices(range(97, 123), k=3000)))
    for measure in (gzip_bits_per_byte, xz_bits_per_byte):
        assert measure([text]) > 4.6, "random letters hold log2 26 = 4.7 bits"
        assert measure([text], primed_with=[text]) < 0.3


def test_bytes_are_counted_in_utf_8_without_ends():
    assert count_bytes(["ab", "ü", ""]) == 4


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        bits_per_byte(1.0, 0)
    for nats in (-1.0, math.nan):
        with pytest.raises(ValueError, match="not the mean"):
            bits_per_byte(nats, 3)
    for order in (0, 9):
        with pytest.raises(ValueError, match="1 to 8 bytes"):
            ByteNGrams(TEXTS, order)
    for call in (count_bytes, ByteNGrams, gzip_bits_per_byte, xz_bits_per_byte, ByteNGrams(TEXTS).bits_per_byte):
        with pytest.raises(ValueError, match="no text to measure on"):
            call([""])
