import pytest
import torch

from course_lib.exercises.values import LONGEST_TEXT, shown, side_by_side


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (torch.tensor([[1.54123, -0.2934], [0.0, -0.0]]), "float32 [2, 2]", "[[ 1.541 -0.293]\n [ 0.000  0.000]]"),
        (torch.tensor([1, 20]), "int64 [2]", "[ 1 20]"),
        (torch.tensor([True, False]), "bool [2]", "[ True False]"),
        (torch.tensor(2.5, requires_grad=True), "float32 []", "2.5"),
        (torch.tensor(True), "bool []", "True"),
        (torch.zeros(0, 3), "float32 [0, 3]", "(empty)"),
        (torch.tensor([float("nan"), float("inf"), 1.0]), "float32 [3]", "[  nan   inf 1.000]"),
        (torch.ones(2, dtype=torch.bfloat16), "bfloat16 [2]", "[1.000 1.000]"),
        (torch.arange(60.0), "float32 [60]", "0 to 59, mean 29.5; begins 0, 1, 2, 3, …"),
        (torch.ones(60, dtype=torch.bool), "bool [60]", "60 of 60 are True; begins True, True, True, True, …"),
        (3, "", "3"),
        (True, "", "True"),
        (None, "", "None"),
        (0.1 + 0.2, "", "0.3"),
        (2**700, "", "a whole number of 701 bits"),
        ("<b>", "", "'<b>'"),
        ([1, "a", None], "", "[1, 'a', None]"),
        ((1, 2), "", "(1, 2)"),
        ({"a": 1}, "", "{'a': 1}"),
        (list(range(9)), "", "[0, 1, 2, 3, 4, 5, … 3 more]"),
        (len, "a function", ""),
    ],
)
def test_values_are_shown_by_kind_shape_and_rounded_numbers(value, kind, text):
    assert (shown(value).kind, shown(value).text) == (kind, text)


def test_a_large_tensor_with_nothing_finite_is_summed_up():
    assert shown(torch.full((99,), float("nan"))).text == "99 of 99 are infinite or NaN; begins nan, nan, nan, nan, …"


def test_containers_of_tensors_are_shown_item_by_item():
    it = shown((torch.zeros(2), [torch.ones(1, 2)]))
    assert it.kind == "tuple of 2"
    assert it.text.splitlines() == [
        "[0]  float32 [2]  [0.000 0.000]",
        "[1]  list of 1  [0]  float32 [1, 2]  [[1.000 1.000]]",
    ]


def test_a_tensor_of_three_axes_has_no_empty_lines():
    assert shown(torch.zeros(2, 1, 2)).text == "[[[0.000 0.000]]\n [[0.000 0.000]]]"


def test_long_and_deep_values_stay_short():
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    endless: list = []
    endless.append(endless)
    for value in ("x" * 10**6, deep, endless, dict.fromkeys(range(10**4), "y" * 1000), {"k" * 10**6: 1}):
        it = shown(value)
        assert len(it.kind) + len(it.text) < 10 * LONGEST_TEXT


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __len__ = __iter__ = __repr__


class HostileTensor(torch.Tensor):
    def detach(self):
        raise SystemError("no")


class HostileText(str):
    def __getitem__(self, place):
        raise RuntimeError("no")


def test_what_the_learner_wrote_is_not_called():
    assert shown(Hostile()).kind == "a Hostile"
    assert shown(HostileText("a")).kind == "a HostileText"
    assert shown(torch.zeros(1).as_subclass(HostileTensor)).kind == "a value that cannot be shown"


def test_further_lines_stand_below_the_first():
    assert side_by_side("x", torch.eye(2)) == ["x  float32 [2, 2]", "  [[1.000 0.000]", "   [0.000 1.000]]"]
    assert side_by_side("f", len) == ["f  a function"]
