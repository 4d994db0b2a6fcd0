"""Every exercise of the course: its files are up to date and leak nothing, its checks fail and pass where they must."""

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator

from course_lib.exercises.building import left_over, out_of_date
from course_lib.exercises.building.execution import output_complaints
from course_lib.exercises.building.leaks import SHORTEST_WITHIN_A_LINE, leaks, secrets
from course_lib.exercises.building.master import read_master
from course_lib.exercises.building.trial import Trials, solved_cells, untouched_cells
from course_lib.exercises.catalogue import find_exercises
from course_lib.exercises.faults import try_faults

EXERCISES = find_exercises()
each_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)


def test_there_are_exercises_and_faults():
    assert len(EXERCISES) >= 2, "no exercises found: every test over them would pass unseen"
    assert sum(len(exercise.faults) for exercise in EXERCISES) >= 8


def test_no_notebook_is_left_over_of_a_master_that_is_gone():
    assert left_over(EXERCISES) == []


@each_exercise
def test_the_committed_files_are_up_to_date(exercise):
    assert out_of_date([exercise]) == [], "make them with: course exercise build"


@each_exercise
def test_the_committed_files_are_fit_to_be_read(exercise):
    nbformat.validate(nbformat.read(exercise.student, as_version=4))
    MetadataValidator().validate_nb(nbformat.read(exercise.student, as_version=4))
    solution = nbformat.read(exercise.solution, as_version=4)
    nbformat.validate(solution)
    assert output_complaints(solution) == []


@each_exercise
def test_no_line_of_the_solution_or_hidden_tests_leaks(exercise):
    secret = secrets(exercise)
    assert any(item.kind == "SOLUTION" for item in secret), "a solution without a line of its own gives nothing to do"
    assert leaks(exercise.student, secret) == []
    assert leaks(exercise.solution, [item for item in secret if item.kind == "HIDDEN TESTS"]) == []


@each_exercise
def test_the_public_checks_do_not_hold_the_solution(exercise):
    """Short lines, such as `return context, weights`, may come about twice."""
    telling = [
        item for item in secrets(exercise) if item.kind == "SOLUTION" and len(item.line) > 2 * SHORTEST_WITHIN_A_LINE
    ]
    assert leaks(exercise.master.parent / "checks.py", telling) == []


@pytest.fixture(scope="module", params=EXERCISES, ids=lambda exercise: exercise.name)
def trials(request):
    """A child process for one exercise, which imports torch once for all tests of it."""
    with Trials(request.param) as trials:
        yield trials


def test_the_solution_passes_all_public_and_hidden_tests(trials):
    solved = trials.run(solved_cells(read_master(trials.exercise)))
    assert solved.ended == "whole"
    assert solved.errors == ()
    assert [check for check in solved.checks if check.verdict != "passed"] == []
    assert {grade_id: error for grade_id, error in solved.hidden.items() if error} == {}


def test_the_untouched_version_passes_nothing(trials):
    untouched = trials.run(untouched_cells(trials.exercise, read_master(trials.exercise)))
    assert untouched.ended == "whole"
    assert {check.verdict for check in untouched.checks} <= {"unwritten", "missing"}
    assert all(untouched.hidden.values()), "hidden tests pass where nothing is written"


@pytest.mark.slow
def test_every_fault_is_caught_by_a_public_check_with_its_hint(trials):
    results = try_faults(trials.exercise, trials)
    assert results, "an exercise needs faults, or nobody knows whether its checks notice anything"
    wrong = [(r.fault.name, r.caught_by, r.recognised, r.fault.mistake) for r in results if not r.right_hint]
    assert wrong == []
