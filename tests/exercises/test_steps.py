import ast
import dataclasses
import random

import pytest

from course_lib.exercises.catalogue import ExerciseError, find_exercises
from course_lib.exercises.steps import logical_lines, shuffled, solution_cells, step_cells, step_text, with_gaps

MASTER = '''\
# %% [markdown]
# Words.

# %% nbgrader={"solution": true, "grade_id": "first"}
def first(x):
    """Say it."""
    ### BEGIN SOLUTION
    # a remark
    total = sum(
        x,
    )

    if total > 3:
        total = 3
    return total
    ### END SOLUTION


# %%
first([1])

# %% nbgrader={"solution": true, "grade_id": "second"}
### BEGIN SOLUTION
width = 7
### END SOLUTION
'''


@pytest.fixture
def two_cells(exercise, tmp_path):
    """An exercise with two solution cells."""
    master = tmp_path / "master.py"
    master.write_text(MASTER)
    return dataclasses.replace(exercise, master=master, gaps=("total > 3", "7"))


def test_order_gives_the_statements_as_numbered_comments_without_indentation(two_cells):
    cells = step_cells(two_cells, "order")
    assert list(cells) == ["first", "second"]
    numbered = [line.strip() for line in cells["first"].splitlines() if line.startswith("    #  ")]
    told = sorted(line.lstrip("# 0123456789") for line in numbered)
    assert told == sorted(["total = sum(", "x,", ")", "if total > 3:", "total = 3", "return total"])
    assert "a remark" not in cells["first"]
    assert cells["first"].startswith('def first(x):\n    """Say it."""\n    # Put these lines in order')
    assert cells["second"] == "# It takes one line:\n#   1  width = 7\n# YOUR CODE HERE\nraise NotImplementedError()"


def test_a_statement_over_several_lines_stays_whole():
    assert logical_lines(["    a = f(", "        1,", "    )", "", "    # no", "    for b in a:", "        c(b)"]) == [
        "a = f(\n    1,\n)",
        "for b in a:",
        "c(b)",
    ]


def test_the_order_is_never_right_and_the_same_for_everyone():
    generator = random.Random(0)
    for count in range(2, 7):
        for _ in range(20):
            lines = [f"x{generator.random()} = {number}" for number in range(count)]
            shown = [line.split("  ")[-1] for line in shuffled(lines, "seed")[1:]]
            assert sorted(shown) == sorted(lines)
            assert shown != lines
    assert shuffled(lines, "seed") == shuffled(lines, "seed")


def test_lines_that_are_all_alike_have_no_wrong_order():
    assert len(shuffled(["x += 1", "x += 1"], "seed")) == 3


def test_gaps_blank_out_pieces_of_the_solution_alone(two_cells):
    assert with_gaps(["a = b + bb", "c = bb"], ("bb",)) == ["a = b + ____", "c = ____"]
    assert with_gaps(["a = x[3].mean()", "b = f(x)[y]"], ("[3]", ".mean()", "[y]")) == ["a = x ____", "b = f(x) ____"]
    text = step_text(two_cells, "gaps")
    assert "if ____:" in text
    assert "width = ____" in text
    assert "def first(x):" in text
    assert "### " not in text


def test_an_exercise_without_gaps_says_so(two_cells):
    with pytest.raises(ExerciseError, match=r'02\.1 has no gaps to fill; take step\("02\.1", "order"\)'):
        step_text(dataclasses.replace(two_cells, gaps=()), "gaps")
    with pytest.raises(ExerciseError, match=r"no gap of exercise 02\.1 occurs in its solution: nowhere"):
        step_text(dataclasses.replace(two_cells, gaps=("nowhere",)), "gaps")


def test_blank_is_the_stub(two_cells):
    assert step_cells(two_cells, "blank")["first"].endswith("    # YOUR CODE HERE\n    raise NotImplementedError()")
    assert "total" not in step_text(two_cells, "blank")


def test_an_unknown_step_names_those_there_are(two_cells):
    with pytest.raises(ExerciseError, match="no step 'orders'; there are: order, gaps, blank"):
        step_text(two_cells, "orders")


@pytest.mark.parametrize(
    "master", ["# %%\n### BEGIN SOLUTION\nx = 1\n", "# %%\n### BEGIN SOLUTION\n### BEGIN SOLUTION\n"]
)
def test_a_region_that_is_not_closed_is_named(master):
    with pytest.raises(ExerciseError, match=r"END|does not match"):
        solution_cells(master)


@pytest.mark.parametrize("exercise", find_exercises(), ids=lambda exercise: exercise.id)
def test_every_exercise_has_its_steps(exercise):
    solution = {
        line
        for cell in solution_cells(exercise.master.read_text())
        for yes, piece in cell.pieces
        for line in piece
        if yes
    }
    for kind in ("order", "blank", *(["gaps"] if exercise.gaps else [])):
        text = step_text(exercise, kind)
        if kind != "gaps":  # a gap may be a piece that leaves no Python
            ast.parse(text)
        assert "HIDDEN" not in text
        if kind == "blank":
            assert not {line for line in solution if line.strip()} & set(text.splitlines())
