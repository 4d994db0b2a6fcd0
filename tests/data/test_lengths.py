"""Groups by length hold every sentence once."""

import pytest
from datasets import Dataset

from course_lib.data.lengths import sentences_by_length


def dataset(*word_counts):
    return Dataset.from_dict({"source": [" ".join(["w"] * count) for count in word_counts]})


def test_every_sentence_is_in_the_group_of_its_length():
    groups = sentences_by_length(dataset(1, 8, 9, 30, 12), longest=(8, 12))
    assert {name: [len(s.split()) for s in group["source"]] for name, group in groups.items()} == {
        "1-8 words": [1, 8],
        "9-12 words": [9, 12],
        "13+ words": [30],
    }


def test_empty_groups_are_left_out():
    assert list(sentences_by_length(dataset(3), longest=(8, 12))) == ["1-8 words"]


@pytest.mark.parametrize("longest", [(), (8, 8), (12, 8), (0, 4)])
def test_bounds_that_do_not_grow_are_refused(longest):
    with pytest.raises(ValueError, match="growing"):
        sentences_by_length(dataset(3), longest=longest)
