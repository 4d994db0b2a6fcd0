import numpy as np
import pytest
import torch

from course_lib.lesson import show


def shown(capsys, **arguments):
    show(**arguments)
    return capsys.readouterr().out.rstrip("\n")


def test_a_vector_stands_on_one_line_with_its_sum(capsys):
    weights = torch.tensor([0.437, 0.384, 0.179])
    assert shown(capsys, weights=weights) == "weights [3]  0.437 0.384 0.179   sum 1.000"


def test_a_vector_that_is_no_share_has_no_sum(capsys):
    assert shown(capsys, context=torch.tensor([-0.381, 0.422])) == "context [2]  -0.381 0.422"


def test_the_sum_can_be_hidden_and_forced(capsys):
    assert shown(capsys, a=torch.tensor([0.25, 0.5]), sums=False) == "a [2]  0.250 0.500"
    assert shown(capsys, a=torch.tensor([3, 4]), sums=True) == "a [2]  3 4   sum 7"


def test_a_matrix_is_printed_row_by_row(capsys):
    text = shown(capsys, rows=torch.tensor([[0.25, 0.75], [2.0, -1.0]]))
    assert text == "rows [2, 2]\n  0.250 0.750   sum 1.000\n  2.000 -1.000"


def test_a_large_tensor_shows_shape_and_first_values(capsys):
    text = shown(capsys, hidden=torch.arange(4000.0).reshape(4, 10, 100))
    assert text == "hidden [4, 10, 100]  0.000 1.000 2.000 3.000 4.000 5.000 …"


def test_integers_and_booleans_keep_their_kind(capsys):
    assert (
        shown(capsys, ids=torch.tensor([4, 5]), mask=torch.tensor([True, False]))
        == "ids [2]  4 5\nmask [2]  True False"
    )


def test_an_unusual_precision_is_named(capsys):
    assert shown(capsys, a=torch.tensor([2.5], dtype=torch.bfloat16)) == "a [1] bfloat16  2.500"
    assert shown(capsys, a=np.array([2.5])) == "a [1] float64  2.500"


def test_a_rounded_zero_has_no_sign(capsys):
    assert shown(capsys, a=torch.tensor([-1e-9, 2.0])) == "a [2]  0.000 2.000"


def test_very_small_values_are_not_rounded_away(capsys):
    assert shown(capsys, a=torch.tensor([1e-5, -2e-6])) == "a [2]  1e-05 -2e-06"


def test_measured_values_are_marked(capsys):
    assert shown(capsys, a=torch.tensor([0.25, 0.75]), measured=True) == "a [2]  ≈0.250 ≈0.750   sum ≈1.000"


def test_scalars_lists_and_gradients_are_taken(capsys):
    assert (
        shown(capsys, loss=torch.tensor(2.5, requires_grad=True), n=3, pair=[1, 2])
        == "loss  2.500\nn  3\npair [2]  1 2"
    )


def test_an_empty_tensor_shows_its_shape(capsys):
    assert shown(capsys, a=torch.zeros(0)) == "a [0]"


def test_values_that_are_not_numbers_are_printed_as_they_are(capsys):
    assert shown(capsys, a=torch.tensor([float("nan"), float("-inf")])) == "a [2]  nan -inf"


def test_text_is_refused():
    with pytest.raises(TypeError, match=r"show\(word=\.\.\.\) takes a tensor or numbers, got str"):
        show(word="hello")


def test_nothing_to_show_is_refused():
    with pytest.raises(ValueError, match="at least one named tensor"):
        show()
