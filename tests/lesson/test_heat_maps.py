import warnings

import pytest
import torch
from matplotlib.patches import Rectangle

from course_lib.lesson import heat_map


def draw(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    return figure.axes[0]


def test_rows_and_columns_carry_their_words():
    axes = draw(heat_map(torch.tensor([[0.2, 0.8]], requires_grad=True), ["July"], ["4.", "Juli"], "A date"))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4.", "Juli"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["July"]
    assert axes.images[0].get_clim() == (0, 1)


def test_words_that_look_like_formulas_are_text():
    axes = draw(heat_map([[0.5, 0.5]], ["$5"], ["$\\frac{", "a_b$"], "$x$"))
    assert not any(label.get_parse_math() for label in [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title])


def test_gold_cells_are_outlined_at_row_and_column():
    axes = heat_map(torch.eye(3), list("abc"), list("def"), "t", gold=[(2, 0), (2, 0)]).axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert axes.get_title() == "t\nboxes: true alignment"
    assert {(round(box.get_x() + 0.42), round(box.get_y() + 0.42)) for box in boxes} == {(0, 2)}


@pytest.mark.parametrize("gold", [(0, 2), (1, 0), (-1, 0)])
def test_a_gold_cell_outside_is_refused(gold):
    with pytest.raises(ValueError, match="lies outside the 1 rows and 2 columns"):
        heat_map([[0.5, 0.5]], ["a"], ["b", "c"], "t", gold=[gold])


@pytest.mark.parametrize(
    "weights", [[[0.5]], [0.5, 0.5], [[0.5], [0.5]], torch.zeros(1, 2, 1)], ids=["narrow", "vector", "turned", "cube"]
)
def test_labels_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="do not fit 1 row labels and 2 column labels"):
        heat_map(weights, ["a"], ["b", "c"], "t")


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_values_that_are_no_weights_are_refused(value):
    with pytest.raises(ValueError, match=r"weights must lie in 0\.\.1"):
        heat_map([[value, 0.5]], ["a"], ["b", "c"], "t")


def test_a_map_that_nobody_can_read_is_refused():
    with pytest.raises(ValueError, match="61 labels on a side cannot be read"):
        heat_map(torch.zeros(1, 61), ["a"], ["b"] * 61, "t")
