"""Batches of one group of lengths."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.length_groups import LengthGroupedBatchSampler, length_group


def test_groups_are_four_lengths_wide_from_three_on():
    assert [length_group(length) for length in (0, 2, 3, 6, 7, 10, 11, 127)] == [0, 0, 1, 1, 2, 2, 3, 32]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 99))
def test_every_row_comes_once_and_all_but_the_left_over_batches_are_of_one_group(lengths, batch_size, seed):
    sampler = LengthGroupedBatchSampler(lengths, batch_size, seed)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    groups = [[length_group(lengths[row]) for row in batch] for batch in batches]
    filled = sum(count // batch_size for count in Counter(map(length_group, lengths)).values())
    assert all(len(set(batch)) == 1 for batch in groups[:filled])
    left_over = [group for batch in groups[filled:] for group in batch]
    assert left_over == sorted(left_over)
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_the_order_depends_on_seed_and_epoch_alone():
    lengths = [3 + number % 20 for number in range(100)]
    one, two, other = (LengthGroupedBatchSampler(lengths, 8, seed) for seed in (1, 1, 2))
    assert list(one) == list(two) != list(other)
    assert list(one) == list(one)
    two.set_epoch(1)
    assert list(one) != list(two)


def test_there_is_less_padding_than_in_shuffled_batches():
    lengths = [3 + (number * 7) % 50 for number in range(400)]
    batches = list(LengthGroupedBatchSampler(lengths, 8))
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)
    assert padded < 1.15 * sum(lengths)


def test_bad_arguments_are_refused():
    for arguments in (([], 4), ([3], 0), ([3], 4, -1)):
        with pytest.raises(ValueError, match="expected at least one row"):
            LengthGroupedBatchSampler(*arguments)
