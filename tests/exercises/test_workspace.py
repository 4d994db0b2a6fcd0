import datetime
import shutil

import nbformat
import pytest

from course_lib import progress
from course_lib.exercises.catalogue import ExerciseError, find_exercise
from course_lib.exercises.workspace import check_notebook, copy_path, learners_notebook, open_copy, reset

ANSWER = "def masked_softmax(energies, is_word):\n    return energies.masked_fill(~is_word, float('-inf')).softmax(-1)"
WRONG = "def masked_softmax(energies, is_word):\n    return energies.softmax(-1)"

pytestmark = pytest.mark.usefixtures("own_progress")


def now():
    return datetime.datetime(2026, 11, 21, 10, 15)


def write_answer(path, source):
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.id == "masked_softmax")
    cell.source = source
    nbformat.write(notebook, path)


def source_of(path, id="masked_softmax"):
    return next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.id == id)


def test_open_makes_a_copy_beside_the_exercises_once(exercise):
    opened = open_copy(exercise)
    assert opened.new
    assert opened.path == exercise.folder.parent.parent / "my_exercises/02_bahdanau_attention/02.1_masked_softmax.ipynb"
    assert source_of(opened.path) == source_of(exercise.student)
    write_answer(opened.path, ANSWER)
    again = open_copy(exercise)
    assert (again.path, again.new) == (opened.path, False)
    assert source_of(again.path) == ANSWER
    assert progress.exercise_progress("02.1").begun


def test_links_of_the_copy_lead_where_those_of_the_original_led(exercise):
    text = source_of(open_copy(exercise).path, "card")
    there = "../../exercises/02_bahdanau_attention/solutions/02.1_masked_softmax.ipynb"
    assert f"[the solution]({there}), [the lesson](../../notebooks/02.ipynb), <https://a.b>" in text
    assert (copy_path(exercise).parent / there).exists()


def test_a_step_is_what_the_copy_begins_with_and_counts(exercise):
    opened = open_copy(exercise, "gaps")
    assert "____" in source_of(opened.path)
    assert progress.exercise_progress("02.1").steps_used == ["gaps"]


def test_a_step_does_not_overwrite_work(exercise):
    path = open_copy(exercise).path
    assert "Put these lines in order" in source_of(open_copy(exercise, "order").path), "an untouched copy may change"
    write_answer(path, ANSWER)
    with pytest.raises(ExerciseError, match=r"there is work of yours in .*course exercise reset 02\.1"):
        open_copy(exercise, "gaps")
    assert source_of(path) == ANSWER
    assert "gaps" not in progress.exercise_progress("02.1").steps_used


def test_reset_keeps_the_work_and_restores_the_original(exercise):
    path = open_copy(exercise).path
    write_answer(path, ANSWER)
    work = path.read_bytes()
    done = reset(exercise, now)
    assert done.kept == path.parent.parent / "kept" / "02.1_masked_softmax.2026-11-21T101500.ipynb"
    assert done.kept.read_bytes() == work
    assert source_of(done.path) == source_of(exercise.student)
    write_answer(path, WRONG)
    second = reset(exercise, now)
    assert second.kept.name == "02.1_masked_softmax.2026-11-21T101500-2.ipynb"
    assert done.kept.read_bytes() == work, "the first is as it was"


def test_reset_keeps_work_that_is_no_notebook(exercise):
    path = open_copy(exercise).path
    path.write_bytes(b"\xff\xfe half a")
    assert reset(exercise, now).kept.read_bytes() == b"\xff\xfe half a"
    assert source_of(path) == source_of(exercise.student)


def test_reset_without_an_original_leaves_the_work_where_it_is(exercise):
    path = open_copy(exercise).path
    work = path.read_bytes()
    exercise.student.unlink()
    with pytest.raises(ExerciseError, match=r"is missing; make it with: course exercise build 02\.1"):
        reset(exercise, now)
    assert path.read_bytes() == work


def test_reset_of_a_student_notebook_that_was_worked_in(exercise):
    pytest.importorskip("nbgrader")
    built = reset(exercise, now)  # the fixture's notebook is none that was built
    assert built.kept is not None
    assert reset(exercise, now).kept is None, "untouched, so that there is nothing to keep"
    original = exercise.student.read_bytes()
    exercise.student.write_bytes(original.replace(b"YOUR CODE HERE", b"my answer"))
    done = reset(exercise, now)
    assert b"my answer" in done.kept.read_bytes()
    assert exercise.student.read_bytes() == original


def test_the_copy_is_checked_before_the_student_notebook(exercise):
    assert learners_notebook(exercise) == exercise.student
    path = open_copy(exercise).path
    assert learners_notebook(exercise) == path
    shutil.rmtree(path.parent.parent)
    exercise.student.unlink()
    with pytest.raises(ExerciseError, match="is missing"):
        learners_notebook(exercise)


def test_a_notebook_is_run_and_checked_elsewhere(exercise):
    path = open_copy(exercise).path
    write_answer(path, ANSWER + "\n\n1 / 0")
    checked = check_notebook(exercise)
    assert checked.report.passed
    assert checked.troubles == ["code cell 2 raised ZeroDivisionError: division by zero"]
    assert progress.exercise_progress("02.1").passed


def test_an_untouched_notebook_is_not_written_yet_and_nothing_else(exercise):
    checked = check_notebook(exercise)
    assert [result.verdict for result in checked.report.results] == ["unwritten", "unwritten"]
    assert checked.troubles == []
    assert progress.exercise_progress("02.1").attempts == 1


def test_a_notebook_that_ends_its_process_is_told(exercise):
    write_answer(open_copy(exercise).path, "import os\nos._exit(3)")
    checked = check_notebook(exercise)
    assert not checked.report.passed
    assert checked.troubles[-1].startswith("the run of the notebook ended early: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"def masked_softmax(): pass", "is not a notebook"),
        (b"[]", "is not a notebook"),
        (b"{}", "is not a notebook"),
        (b'{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is not a notebook"),
    ],
)
def test_what_is_no_notebook_is_told_in_one_line_with_the_remedy(exercise, content, reason):
    path = open_copy(exercise).path
    path.write_bytes(content)
    with pytest.raises(ExerciseError, match=reason) as error:
        check_notebook(exercise)
    assert "\n" not in str(error.value)
    assert "course exercise reset 02.1" in str(error.value)


def test_an_exercise_is_found_by_number_name_or_slug_and_the_nearest_is_suggested(exercise):
    assert find_exercise("masked_softmax") == find_exercise("02.1_masked_softmax") == exercise
    with pytest.raises(ExerciseError, match=r"no exercise 'masked_softmx'; did you mean masked_softmax"):
        find_exercise("masked_softmx")
    with pytest.raises(ExerciseError, match=r"no exercise 'hello'; there are: 02\.1"):
        find_exercise("hello")
