"""What the mutation labs share: a yes or a no from a learner's check, and what a check lacks that misses a fault."""

from types import SimpleNamespace

import pytest
import torch

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.detectors import first_need, missed_for_want_of, yes_or_no

MISTAKES = {"padding": "no_padding", "order": "one_order"}


def ask(answer):
    return yes_or_no(lambda specimen: answer, {"specimen": 1}, "it answers", {"specimen": "the first"})


def test_a_truth_value_is_an_answer_and_nothing_else_is():
    assert ask(True) is True
    assert ask(torch.tensor(False)) is False
    with pytest.raises(PropertyFailed) as failed:
        ask(1)
    assert failed.value.mistake == "no_bool"


def test_what_all_missed_ones_need_and_no_found_one_does_explains_them():
    specimens = [SimpleNamespace(needs=("order",)), SimpleNamespace(needs=("padding", "order"))]
    assert missed_for_want_of(specimens, [True, False], MISTAKES) == "no_padding"
    assert missed_for_want_of(specimens, [False, True], MISTAKES) is None
    assert first_need(specimens[0], MISTAKES) == "one_order"
