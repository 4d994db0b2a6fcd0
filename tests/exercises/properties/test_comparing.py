"""Answers of any form are compared, and the place of the difference is told."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.exercises.properties.comparing import difference

SAME = [
    (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0 + 1e-6])),
    (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64)),
    (torch.tensor([1.0]), torch.tensor([1])),
    (torch.tensor(0.5), 0.5),
    (0.5, torch.tensor(0.5, requires_grad=True)),
    (0.0, 0),
    (torch.tensor([torch.inf, -torch.inf]), torch.tensor([torch.inf, -torch.inf])),
    (torch.tensor([1e6]), torch.tensor([1e6 + 1])),
    (torch.tensor([3]), torch.tensor([3], dtype=torch.int32)),
    (torch.tensor([True]), torch.tensor([True])),
    (torch.zeros(0, 2), torch.zeros(0, 2)),
    (3, torch.tensor(3)),
    ("word", "word"),
    (None, None),
    ((torch.zeros(1), {"a": [1, "b"]}), [torch.zeros(1), {"a": (1, "b")}]),
]
DIFFERENT = [
    (torch.tensor([[1.0, 2.0]]), torch.tensor([[1.5, 4.0]]), "[0, 1]: 4 instead of 2 (expected)"),
    (torch.tensor(1.0), 2.0, "2 instead of 1 (expected)"),
    (torch.tensor([1.0]), torch.tensor([1.00002]), "[0]: 1.00002 instead of 1 (expected)"),
    (torch.tensor([1.0]), torch.tensor([torch.nan]), "[0]: nan instead of 1 (expected)"),
    (torch.tensor([torch.nan]), torch.tensor([torch.nan]), "[0]: nan instead of nan (expected)"),
    (torch.tensor([torch.inf]), torch.tensor([5.0]), "[0]: 5 instead of inf (expected)"),
    (torch.tensor([5.0]), torch.tensor([-torch.inf]), "[0]: -inf instead of 5 (expected)"),
    (torch.zeros(2), torch.zeros(1, 2), "expected the shape [2], got [1, 2]"),
    (torch.zeros(2), None, "expected a float32 tensor of shape [2], got None (is there a `return`?)"),
    (torch.zeros(2), torch.zeros(2).bool(), "expected numbers, got a bool tensor of shape [2]"),
    (torch.zeros(2), torch.zeros(2).to_sparse(), "expected a float32 tensor of shape [2], got a sparse float32 tensor"),
    (torch.zeros(2).bool(), torch.zeros(2), "expected a bool tensor of shape [2], got a float32 tensor of shape [2]"),
    (
        torch.tensor([3]),
        torch.tensor([3.0]),
        "expected an int64 tensor of shape [1], got a float32 tensor of shape [1]",
    ),
    (torch.tensor([1_000_000]), torch.tensor([1_000_001]), "[0]: 1000001 instead of 1000000 (expected)"),
    (torch.tensor([2**60]), torch.tensor([2**60 + 1]), f"[0]: {2**60 + 1} instead of {2**60} (expected)"),
    (0.5, 10**30, "expected the float 0.5, got the int 1000000000000000000000000000000"),
    (1, True, "expected the int 1, got the bool True"),
    (True, 1, "the int 1 instead of the bool True (expected)"),
    ("word", None, "None (is there a `return`?) instead of the str 'word' (expected)"),
    (["a", "b"], ["a"], "expected a list of 2, got a list of 1"),
    ({"a": 1}, {"b": 1}, "expected a dict with 'a', got a dict with 'b'"),
    ((1, {"a": [0, 2.0]}), (1, {"a": [0, 3.0]}), "[1]['a'][1]: 3 instead of 2 (expected)"),
    ((torch.zeros(1, 2),), (torch.ones(1, 2),), "[0][0, 0]: 1 instead of 0 (expected)"),
]


@pytest.mark.parametrize(("expected", "found"), SAME)
def test_equal_answers_have_no_difference(expected, found):
    assert difference(expected, found) is None


@pytest.mark.parametrize(("expected", "found", "told"), DIFFERENT)
def test_a_difference_is_told_with_its_place(expected, found, told):
    assert difference(expected, found).startswith(told)


@given(st.floats(-1e6, 1e6), st.floats(0, 10), st.sampled_from([1e-5, 1e-2]))
def test_a_number_may_differ_by_the_tolerance_relative_to_large_ones(number, offset, tolerance):
    margin = tolerance * max(1.0, abs(number))
    if abs(offset - margin) > 1e-9 * max(1.0, abs(number)):
        assert (difference(number, number + offset, tolerance) is None) == (offset <= margin)


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(nested, nested)
def test_answers_of_any_two_forms_can_be_compared(one, other):
    assert difference(one, other) is None or isinstance(difference(one, other), str)


@given(nested)
def test_an_answer_equals_itself(value):
    assert difference(value, value, equal_nan=True) is None
