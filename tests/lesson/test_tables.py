import numpy as np
import pytest
import torch

from course_lib.lesson import table

ROWS = [{"items": 1, "attention": 0.998, "paper": None}, {"items": 4, "attention": 0.9512, "paper": "26.75"}]


def test_rows_are_aligned_and_measured_columns_marked(capsys):
    table(ROWS, "Exact match", measured=["attention"])
    assert capsys.readouterr().out == (
        "Exact match\nitems     attention  paper\n    1        ≈0.998  –\n    4        ≈0.951  26.75\n"
    )


def test_a_measured_column_has_one_width_whatever_its_numbers(capsys):
    def headline(value):
        table([[1, value]], "Times", columns=["n", "t"], measured=["t"])
        return capsys.readouterr().out.splitlines()[1]

    assert headline(0.5) == headline(1234.5)


def test_columns_choose_and_order(capsys):
    table(ROWS, "Two columns", columns=["attention", "items"])
    assert capsys.readouterr().out == "Two columns\nattention  items\n    0.998      1\n    0.951      4\n"


def test_scalars_of_arrays_are_numbers(capsys):
    table([[np.int64(20000), torch.tensor(0.5)]], "Scalars", columns=["n", "x"])
    assert capsys.readouterr().out == "Scalars\n     n    x\n20,000  0.5\n"


def test_html_has_caption_scopes_and_escaped_cells(run_cells):
    (cell,) = run_cells("from course_lib import lesson\nlesson.table([['<b>', 1]], 'A <i>', columns=['w&', 'n'])")
    html = cell.outputs[0].data["text/html"]
    for part in ("<caption", "A &lt;i&gt;</caption>", '<th scope="col"', "w&amp;</th>", '<th scope="row"', "&lt;b&gt;"):
        assert part in html
    assert "<b>" not in html


def test_bad_tables_are_refused_with_what_is_wrong():
    with pytest.raises(ValueError, match="needs a caption"):
        table(ROWS, " ")
    with pytest.raises(ValueError, match="at least one row"):
        table([], "Nothing")
    with pytest.raises(ValueError, match="unknown column 'attension'; did you mean 'attention'"):
        table(ROWS, "t", columns=["attension"])
    with pytest.raises(ValueError, match="unknown measured column 'item'; did you mean 'items'"):
        table(ROWS, "t", measured=["item"])
    with pytest.raises(ValueError, match="row 1 has 1 cells, but there are 2 columns"):
        table([[1, 2], [3]], "t", columns=["a", "b"])
    with pytest.raises(ValueError, match="need `columns`"):
        table([[1, 2]], "t")
