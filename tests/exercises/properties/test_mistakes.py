"""Recognisers tell the common mistakes apart, and do not take the right answer or odd ones for them."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.exercises.properties import mistakes
from course_lib.exercises.properties.examples import recognised

EXAMPLE = {
    "energies": torch.tensor([[1.0, 2.0, 0.5], [0.3, -1.0, 2.0]]),
    "is_word": torch.tensor([[True, True, True], [True, True, False]]),
}
STRUCK_OUT = EXAMPLE["energies"].masked_fill(~EXAMPLE["is_word"], -torch.inf)
INVERTED = EXAMPLE["energies"].masked_fill(EXAMPLE["is_word"], -torch.inf).softmax(-1)
RIGHT = STRUCK_OUT.softmax(-1)


def mean(energies, is_word):
    return energies[is_word].mean()


def whole_mean(energies, is_word):
    return energies.mean()


ALL = [
    mistakes.mask_inverted("inverted", "is_word"),
    mistakes.masked_too_late("late", "is_word"),
    mistakes.ignores_padding_mask("unused", lambda given: given["is_word"]),
    mistakes.sums_to_one_over("axis 0", 0),
    mistakes.equals("padding counted", whole_mean),
    mistakes.right_times("sum", mean, lambda given: int(given["is_word"].sum())),
    mistakes.right_times("wrong sign", mean, lambda given: -1.0),
    mistakes.right_plus("one more", mean, lambda given: 1.0),
    mistakes.has_shape("transposed", lambda given: given["energies"].T.shape),
    mistakes.nothing_returned("nothing"),
    mistakes.in_part(mistakes.masked_too_late("late in a part", "is_word"), 1),
    mistakes.in_part(mistakes.equals("in a dict", mean), "loss"),
    mistakes.not_a_number("nan"),
]
OUTPUTS = [
    ("inverted", INVERTED),
    ("late", EXAMPLE["energies"].softmax(-1) * EXAMPLE["is_word"]),
    ("unused", EXAMPLE["energies"].softmax(-1)),
    ("axis 0", STRUCK_OUT.softmax(0)),
    ("axis 0", STRUCK_OUT.masked_fill(torch.tensor([False, False, True]), -torch.inf).softmax(0)),  # a column of NaN
    ("padding counted", whole_mean(**EXAMPLE)),
    ("padding counted", whole_mean(**EXAMPLE).item()),
    ("sum", mean(**EXAMPLE) * 5),
    ("wrong sign", -mean(**EXAMPLE).double()),
    ("one more", mean(**EXAMPLE) + 1),
    ("transposed", torch.zeros(3, 2)),
    ("nothing", None),
    ("late in a part", (1, EXAMPLE["energies"].softmax(-1) * EXAMPLE["is_word"])),
    ("in a dict", {"loss": mean(**EXAMPLE)}),
    ("nan", torch.tensor([[torch.nan]])),
    ("nan", float("nan")),
]


@pytest.mark.parametrize(("key", "output"), OUTPUTS)
def test_each_mistake_is_told_from_the_others(key, output):
    assert recognised(ALL, EXAMPLE, output) == key


@pytest.mark.parametrize("output", [RIGHT, RIGHT.double(), mean(**EXAMPLE), mean(**EXAMPLE).item(), torch.zeros(2, 3)])
def test_what_is_right_or_something_else_is_not_recognised(output):
    assert recognised(ALL, EXAMPLE, output) is None


@pytest.mark.parametrize(
    "output", ["x", [], {}, (), object(), True, torch.zeros(0), torch.zeros(2, 3).bool(), torch.zeros(2, 3).to_sparse()]
)
def test_odd_outputs_are_not_recognised(output):
    assert recognised(ALL, EXAMPLE, output) is None


def test_an_inverted_mask_is_seen_beside_rows_without_padding():
    assert INVERTED[0].isnan().all()
    all_words = {**EXAMPLE, "is_word": torch.ones(2, 3).bool()}
    assert recognised(ALL[:1], all_words, torch.full((2, 3), torch.nan)) is None  # no padding, so nothing to say


def test_any_factor_or_constant_can_be_looked_for():
    factor, constant = mistakes.right_times("factor", F.relu), mistakes.right_plus("constant", F.relu)
    given = {"x": torch.tensor([-1.0, 2.0, 3.0])}
    right = F.relu(given["x"])
    assert recognised([factor, constant], given, right * -0.37) == "factor"
    assert recognised([factor, constant], given, right + 0.37) == "constant"
    for other in (right, torch.zeros(3), right.square(), torch.full((3,), torch.nan), right[:2]):
        assert recognised([factor, constant], given, other) is None
    nothing = {"x": torch.tensor([-1.0])}
    assert recognised([factor], nothing, torch.tensor([2.0])) is None  # no factor makes 2 of 0


def test_two_signs_together_can_make_one_mistake():
    late = mistakes.masked_too_late("late", "is_word")
    one_row = mistakes.has_shape("one row", lambda given: (1, 3))
    joint = mistakes.both("both", late, one_row)
    example = {name: value[1:] for name, value in EXAMPLE.items()}
    assert recognised([joint], example, example["energies"].softmax(-1) * example["is_word"]) == "both"
    assert recognised([joint], EXAMPLE, EXAMPLE["energies"].softmax(-1) * EXAMPLE["is_word"]) is None


def test_a_recogniser_does_not_change_what_it_looks_at():
    example = {"x": torch.ones(2)}
    in_place = mistakes.equals("in place", lambda x: x.mul_(2))
    assert recognised([in_place], example, torch.full((2,), 2.0)) == "in place"
    assert example["x"].tolist() == [1, 1]
