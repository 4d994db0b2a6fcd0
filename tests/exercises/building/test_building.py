"""From one master: what the learner gets, what the solution shows, and which masters are refused."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator

from course_lib.exercises.building import build, left_over, out_of_date
from course_lib.exercises.building.leaks import leaks, secrets
from course_lib.exercises.building.master import read_master
from course_lib.exercises.building.versions import student
from course_lib.exercises.catalogue import ExerciseError


def read(path):
    return nbformat.read(path, as_version=4)


def cell(notebook, id):
    return next(cell for cell in notebook.cells if cell.id == id)


def files_below(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture
def built(exercise):
    """The small exercise with its student notebook, without its solution."""
    build([exercise], solutions=False)
    return exercise


# The learner's notebook


def test_a_card_stands_on_top_of_the_students_notebook(built):
    first = read(built.student).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# 01.7 Twice the number\n")
    for part in (
        "what doubling is",
        "●●○○○ (2 of 5)",
        "5 minutes",
        "(../../notebooks/01_doubling.ipynb)",
        'check("01.7")',
        'hint("01.7")',
        'step("01.7", "order")',
        '"gaps"',
        '"blank"',
    ):
        assert part in first.source


def test_the_solution_becomes_a_stub_below_the_signature_and_docstring(built):
    assert cell(read(built.student), "double").source == (
        'def double(number):\n    """Twice the number."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    )


def test_hidden_tests_are_gone_and_the_public_check_stays(built):
    assert cell(read(built.student), "twice").source == 'check("01.7", "twice_the_number")'


def test_nbgrader_finds_its_metadata_complete(built):
    notebook = read(built.student)
    MetadataValidator().validate_nb(notebook)
    assert cell(notebook, "twice").metadata.nbgrader.points == 2
    graded = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade")]
    assert len(graded) == 2
    assert all(c.metadata.deletable is False and c.metadata.editable is False for c in graded)
    assert all(c.metadata.nbgrader.locked for c in graded)
    assert "editable" not in cell(notebook, "double").metadata


def test_the_students_notebook_has_no_outputs_and_names_its_kernel_and_source(built):
    notebook = read(built.student)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.course.exercise == "01.7"
    assert all(not c.outputs and c.execution_count is None for c in notebook.cells if c.cell_type == "code")


def test_building_twice_gives_the_same_bytes(built):
    before = built.student.read_bytes()
    built.student.unlink()
    build([built], solutions=False)
    assert built.student.read_bytes() == before


def test_a_cell_keeps_its_id_when_another_is_put_before_it(built, write_exercise):
    before = [c.id for c in read(built.student).cells]
    changed = write_exercise(master=[("# %%\ndouble(21)", "# %%\ndouble(4)\n\n# %%\ndouble(21)")])
    build([changed], solutions=False)
    after = [c.id for c in read(changed.student).cells]
    assert len(after) == len(before) + 1
    assert [id for id in after if id in before] == before


def test_equal_cells_have_different_ids(write_exercise):
    twice = write_exercise(master=[("# %%\ndouble(21)", "# %%\ndouble(21)\n\n# %%\ndouble(21)")])
    ids = [c.id for c in read_master(twice).cells]
    assert len(set(ids)) == len(ids)


def test_the_hash_changes_with_master_and_card(built, write_exercise):
    def source():
        return read(built.student).metadata.course.source

    first = source()
    build([write_exercise(card=[("minutes = 5", "minutes = 6")])], solutions=False)
    second = source()
    build([write_exercise(master=[("Twice a number is", "Double a number is")])], solutions=False)
    assert len({first, second, source()}) == 3


# The solution


def test_a_solution_is_executed_with_its_checks_and_up_to_date_afterwards(exercise):
    built = build([exercise])
    assert built[0].written == (exercise.student, exercise.solution)
    assert out_of_date([exercise]) == []
    notebook = read(exercise.solution)
    nbformat.validate(notebook)
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == [1, 2, 3, 4, 5, 6]
    assert cell(notebook, "double").source.endswith("return number + second_summand")
    assert "2 of 2" in json.dumps([c.outputs for c in notebook.cells if c.get("outputs")])
    text = exercise.solution.read_text(encoding="utf-8")
    assert "minus seventeen" not in text
    assert "BEGIN" not in text
    assert 'execution"' not in text
    # Neither the learner's progress nor anything else is written beside it.
    assert {path.name for path in exercise.folder.rglob("*") if path.suffix not in (".py", ".pyc", ".toml")} == {
        *("masters", "solutions", "01.7_double", "01.7_double.ipynb"),
        *(["__pycache__"] if list(exercise.folder.rglob("__pycache__")) else []),
    }

    # Built again, nothing is run and nothing written; an edited check makes the solution stale, not the student's.
    before = files_below(exercise.folder)
    assert build([exercise])[0].written == ()
    assert files_below(exercise.folder) == before
    checks = exercise.master.parent / "checks.py"
    checks.write_text(checks.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    assert out_of_date([exercise]) == [exercise.solution]

    # Run again by force, the outputs are the same, so that they can be compared.
    outputs = [c.get("outputs") for c in notebook.cells]
    build([exercise], force=True)
    assert [c.get("outputs") for c in read(exercise.solution).cells] == outputs


def test_a_solution_that_fails_its_own_check_is_not_kept(write_exercise):
    wrong = write_exercise(master=[("number + second_summand", "number * second_summand")])
    with pytest.raises(ExerciseError, match=r"solution of 01.7 fails in cell 'code-\w+' of .*master.py: .*CheckFailed"):
        build([wrong])
    assert not wrong.student.exists()
    assert not wrong.solution.exists()


def test_a_solution_without_outputs_is_out_of_date(exercise):
    build([exercise])
    notebook = read(exercise.solution)
    cell(notebook, "double").execution_count = None
    nbformat.write(notebook, exercise.solution)
    assert out_of_date([exercise]) == [exercise.solution]


def test_a_solution_that_is_no_notebook_is_out_of_date(built):
    built.solution.parent.mkdir()
    built.solution.write_text("not json", encoding="utf-8")
    assert out_of_date([built]) == [built.solution]


# Checking


def test_checking_writes_nothing_and_names_every_stale_file(exercise):
    before = files_below(exercise.folder)
    assert out_of_date([exercise]) == [exercise.student, exercise.solution]
    assert files_below(exercise.folder) == before


def test_an_edited_student_notebook_is_out_of_date(built):
    text = built.student.read_text(encoding="utf-8")
    built.student.write_text(text.replace("YOUR CODE HERE", "your code here"), encoding="utf-8")
    assert built.student in out_of_date([built])


def test_a_notebook_whose_master_is_gone_is_left_over(built):
    gone = [built.folder / "01.9_gone.ipynb", built.folder / "solutions" / "01.9_gone.ipynb"]
    gone[1].parent.mkdir()
    for path in gone:
        shutil.copy(built.student, path)
    assert left_over([built]) == gone


def test_a_failed_write_leaves_the_old_file_whole(built, write_exercise, monkeypatch):
    before = files_below(built.folder)[built.student]
    changed = write_exercise(card=[("minutes = 5", "minutes = 6")])

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        build([changed], solutions=False)
    assert built.student.read_bytes() == before
    assert [path for path in built.folder.iterdir() if path.name.startswith(".")] == []


# Malformed masters

MALFORMED = {
    "BEGIN without END": ([("    ### END SOLUTION\n", "")], r"cell 3 .*BEGIN SOLUTION has no END SOLUTION"),
    "END without BEGIN": ([("    ### BEGIN SOLUTION\n", "")], r"cell 3 .*END SOLUTION without a BEGIN SOLUTION"),
    "BEGIN twice": (
        [("    return number + second", "    ### BEGIN SOLUTION\n    return number + second")],
        r"cell 3 .*BEGIN SOLUTION within the region of line 3",
    ),
    "hidden tests not closed": (
        [("### END HIDDEN TESTS\n", "")],
        r"cell 7 .*BEGIN HIDDEN TESTS has no END HIDDEN TESTS",
    ),
    "one region closed as the other": (
        [("### END HIDDEN TESTS", "### END SOLUTION")],
        r"cell 7 .*END SOLUTION without a BEGIN",
    ),
    "marker in a sentence": (
        [("# %% [markdown]\n# Twice", "# %% [markdown]\n# Write between BEGIN SOLUTION and the end. Twice")],
        r"cell 1 .*a marker stands alone",
    ),
    "solution in an unmarked cell": (
        [(' nbgrader={"solution": true, "grade_id": "double"}', "")],
        r"cell 3 .*it holds a solution, and its metadata lack",
    ),
    "hidden tests in an unmarked cell": (
        [(' nbgrader={"grade": true, "grade_id": "twice", "points": 2}', "")],
        r"cell 7 .*it holds hidden tests, and its metadata lack",
    ),
    "solution cell without region": (
        [("    ### BEGIN SOLUTION\n", ""), ("    ### END SOLUTION\n", "")],
        r"cell 3 .*a solution cell marks what the learner writes",
    ),
    "two cells of one grade_id": (
        [('"grade_id": "nothing"', '"grade_id": "twice"')],
        r"cell 8 .*two cells have the grade_id 'twice'",
    ),
    "no grade_id": ([(', "grade_id": "double"', "")], r"cell 3 .*grade_id must be 1 to 64 letters"),
    "odd grade_id": ([('"grade_id": "double"', '"grade_id": "a b"')], r"cell 3 .*grade_id must be .*got 'a b'"),
    "no points": ([(', "points": 2', "")], r"cell 7 .*needs points.*got None"),
    "no whole points": ([('"points": 2', '"points": 0.5')], r"cell 7 .*whole number.*got 0.5"),
    "solution and graded": (
        [('"solution": true,', '"solution": true, "grade": true, "points": 1,')],
        r"cell 3 .*either .*solution.* or .*grade",
    ),
    "graded text": (
        [("# %% [markdown]\n# ## Graded", '# %% [markdown] nbgrader={"grade": true, "grade_id": "x"}\n# ## Graded')],
        r"cell 6 .*only code can be",
    ),
    "unknown metadata": ([('"points": 1', '"points": 1, "mark": 3')], r"cell 8 .*unknown nbgrader metadata: mark"),
    "no check cell": ([('# %%\ncheck("01.7")\n', "")], r'no cell with check\("01.7"\)'),
    "another exercise's check": (
        [('# %%\ncheck("01.7")', '# %%\ncheck("01.8")')],
        r'cell 5 .*should begin with "01.7"',
    ),
    "graded by no check": (
        [('check("01.7", "nothing_stays_nothing")', "double(0)")],
        r"cell 8 .*asks for one check by name",
    ),
    "a check that is not there": (
        [('"nothing_stays_nothing"', '"nothing_stays"')],
        r"cell 8 .*lists no check 'nothing_stays'; it has: nothing_stays_nothing, twice_the_number",
    ),
    "no Python": ([("# %%\ndouble(21)", "# %%\ndouble(21")], r"cell 4 .*line 1: '\(' was never closed"),
    "no Python without its solution": (
        [
            (
                'def double(number):\n    """Twice the number."""\n    ### BEGIN SOLUTION\n',
                '### BEGIN SOLUTION\ndef double(number):\n    """Twice the number."""\n',
            ),
            ("    second_summand = number\n", "    second_summand = number\n    ### END SOLUTION\n"),
            ("    return number + second_summand\n    ### END SOLUTION\n", "    return number + second_summand\n"),
        ],
        r"cell 'double' without its solution is no Python .*leave the `def` line outside",
    ),
}


@pytest.mark.parametrize(("changes", "complaint"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_master_is_refused_in_one_line_with_its_cell(write_exercise, changes, complaint):
    exercise = write_exercise(master=changes)
    with pytest.raises(ExerciseError, match=complaint) as refused:
        build([exercise], solutions=False)
    assert str(exercise.master) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not exercise.student.exists()


def test_a_master_without_a_solution_is_refused(write_exercise):
    start = "def double(number):"
    exercise = write_exercise()
    text = exercise.master.read_text(encoding="utf-8")
    begin, end = text.index('# %% nbgrader={"solution"'), text.index("# %%\ndouble(21)")
    exercise.master.write_text(text[:begin] + text[end:], encoding="utf-8")
    assert start not in exercise.master.read_text(encoding="utf-8")
    with pytest.raises(ExerciseError, match="has no solution cell"):
        build([exercise])


def test_a_master_in_the_folder_of_another_lesson_is_refused(write_exercise):
    with pytest.raises(ExerciseError, match=r"exercise 01.7 lies in the folder 02_other; move it to .* begins with 01"):
        build([write_exercise(lesson="02_other")])


def test_a_master_in_another_encoding_is_refused(exercise):
    exercise.master.write_bytes(exercise.master.read_bytes().replace(b"Twice", b"Tw\xeece"))
    with pytest.raises(ExerciseError, match=r"master.py is not UTF-8: byte \d+"):
        build([exercise])


def test_checks_that_are_no_python_are_refused(write_exercise):
    with pytest.raises(ExerciseError, match=r"checks.py: line \d+: "):
        build([write_exercise(checks=[("CHECKS = [", "CHECKS = [[")])])


# Leaks: the detector sees through the usual disguises


def leaked(exercise, text, *, where="markdown"):
    """What the detector finds when `text` is planted in the student notebook."""
    notebook = student(exercise, read_master(exercise))
    if where == "markdown":
        notebook.cells[1].source += "\n" + text
    elif where == "code":
        cell(notebook, "double").source += "\n" + text
    elif where == "metadata":
        notebook.metadata["course"]["note"] = text
    else:
        output = nbformat.v4.new_output("display_data", {"text/html": text})
        notebook.cells[2].outputs = [output]
    path = exercise.folder / "planted.ipynb"
    nbformat.write(notebook, path)
    return [item.line for item in leaks(path, secrets(exercise))]


def test_the_secrets_are_the_lines_that_stand_nowhere_else(exercise):
    assert [(item.kind, item.line) for item in secrets(exercise)] == [
        ("SOLUTION", "second_summand = number"),
        ("SOLUTION", "return number + second_summand"),
        ("HIDDEN TESTS", 'assert double(-17.5) == -35.0, "minus seventeen and a half"'),
    ]


def test_hidden_tests_may_repeat_lines_of_the_solution_and_of_the_checks(write_exercise):
    repeated = "second_summand = number\nfrom course_lib.exercises.failures import AnswerRaised, PropertyFailed\n"
    exercise = write_exercise(master=[("### END HIDDEN", repeated + "### END HIDDEN")])
    assert [item.line for item in secrets(exercise) if item.kind == "HIDDEN TESTS"] == [
        'assert double(-17.5) == -35.0, "minus seventeen and a half"'
    ]


def test_a_built_notebook_leaks_nothing(built):
    assert leaks(built.student, secrets(built)) == []


@pytest.mark.parametrize("where", ["markdown", "code", "metadata", "output"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("    return number + second_summand", "return number + second_summand"),
        ("return number+second_summand  # as said", "return number + second_summand"),
        ("Write `second_summand = number` first", "second_summand = number"),
        ("assert double(-17.5)==-35.0,\n  'minus seventeen and a half'", "assert double(-17.5) == -35.0, "),
        ("<code>assert double(-17.5) == -35.0, &quot;minus seventeen and a half&quot;</code>", "assert double"),
    ],
)
def test_a_planted_leak_is_found(exercise, where, text, line):
    assert any(found.startswith(line) for found in leaked(exercise, text, where=where))


@pytest.mark.parametrize("text", ["Twice the number.", "# The sum of the two.", "Add the second summand."])
def test_prose_and_comments_are_no_leak(exercise, text):
    assert leaked(exercise, text) == []


def test_an_unstripped_notebook_is_a_leak(exercise):
    shutil.copy(exercise.master, exercise.folder / "master_as_it_is.txt")
    assert len(leaks(exercise.folder / "master_as_it_is.txt", secrets(exercise))) == 3


def test_building_for_learners_imports_no_torch_and_starts_no_kernel(exercise):
    script = (
        "import sys; from pathlib import Path\n"
        "from course_lib.exercises.building import build\n"
        "from course_lib.exercises.catalogue import read_exercise\n"
        "build([read_exercise(Path(sys.argv[1]))], solutions=False)\n"
        "print([name for name in ('torch', 'transformers', 'ipykernel') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, exercise.master], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
