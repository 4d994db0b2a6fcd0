"""nbgrader's own commands take the released folder: solutions get all points, the untouched and hidden-only fail."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from course_lib.exercises.building import build, release
from course_lib.exercises.building.leaks import leaks, secrets
from course_lib.exercises.catalogue import ExerciseError

ASSIGNMENT = "01_doubling"
NAME = "01.7_double.ipynb"


def nbgrader(folder, *arguments):
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def cell(path, id):
    return next(cell for cell in nbformat.read(path, as_version=4).cells if cell.id == id)


@pytest.fixture(scope="module")
def released(lasting_exercise, tmp_path_factory):
    """The released folder of the small exercise, with the notebook to grade with and the one to hand out."""
    folder = tmp_path_factory.mktemp("class")
    source, handed_out = folder / "source" / ASSIGNMENT / NAME, folder / "release" / ASSIGNMENT / NAME
    assert release(folder, [lasting_exercise]) == [source, handed_out]
    return folder, source, handed_out


def test_the_folder_holds_sources_to_grade_with_and_releases_to_hand_out(released):
    folder, source, handed_out = released
    assert "### BEGIN HIDDEN TESTS\nassert double(-17.5)" in cell(source, "twice").source
    assert "### BEGIN SOLUTION" in cell(source, "double").source
    assert cell(handed_out, "twice").source == 'check("01.7", "twice_the_number")'
    assert {path.name for path in folder.iterdir()} == {"source", "release", "nbgrader_config.py", "gradebook.db"}


def test_what_is_handed_out_leaks_nothing_and_what_is_graded_with_would(lasting_exercise, released):
    _, source, handed_out = released
    assert leaks(handed_out, secrets(lasting_exercise)) == []
    assert len(leaks(source, secrets(lasting_exercise))) == 3


def test_a_release_links_to_no_file_that_is_not_in_it(released):
    assert "](" not in nbformat.read(released[2], as_version=4).cells[0].source


def test_a_second_release_keeps_the_instructors_settings_and_is_the_same(lasting_exercise, released):
    folder, *notebooks = released
    first = [path.read_bytes() for path in notebooks]
    (folder / "nbgrader_config.py").write_text("c = get_config()\n", encoding="utf-8")
    assert [path.read_bytes() for path in release(folder, [lasting_exercise])] == first
    assert (folder / "nbgrader_config.py").read_text(encoding="utf-8") == "c = get_config()\n"


def test_a_malformed_master_releases_nothing(write_exercise, tmp_path):
    broken = write_exercise(master=[("    ### END SOLUTION\n", "")])
    with pytest.raises(ExerciseError, match="has no END SOLUTION"):
        release(tmp_path / "class", [broken])
    assert not (tmp_path / "class").exists()


@pytest.mark.slow
def test_nbgrader_grades_the_released_exercise_and_hidden_tests_count(write_exercise, tmp_path):
    from nbgrader.api import Gradebook

    exercise = write_exercise()
    folder = tmp_path / "class"
    _, handed_out = release(folder, [exercise])
    build([exercise])
    only_public = nbformat.read(handed_out, as_version=4)
    for item in only_public.cells:
        if item.id == "double":
            item.source = "def double(number):\n    return 2 * abs(number)"
    for student in ("solved", "untouched", "only_public"):
        (folder / "submitted" / student / ASSIGNMENT).mkdir(parents=True)
    shutil.copy(exercise.solution, folder / "submitted" / "solved" / ASSIGNMENT / NAME)
    shutil.copy(handed_out, folder / "submitted" / "untouched" / ASSIGNMENT / NAME)
    nbformat.write(only_public, folder / "submitted" / "only_public" / ASSIGNMENT / NAME)

    nbgrader(folder, "autograde", ASSIGNMENT, "--db", "sqlite:///gradebook.db")

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        scores = {
            item.student.id: (item.score, item.max_score) for item in gradebook.assignment_submissions(ASSIGNMENT)
        }
    assert scores == {"solved": (3, 3), "untouched": (0, 3), "only_public": (1, 3)}

    # Cells that went after answers had been graded would orphan their points.
    fewer = write_exercise(master=[("double(21)\n", "double(22)\n"), ('"grade_id": "nothing"', '"grade_id": "zero"')])
    with pytest.raises(ExerciseError, match=r"Cannot add or remove cells .*; release into a new folder"):
        release(folder, [fewer])


@pytest.mark.slow
def test_what_is_handed_out_is_what_nbgrader_itself_would_make(exercise, tmp_path):
    folder = tmp_path / "class"
    _, handed_out = release(folder, [exercise])
    ours = nbformat.read(handed_out, as_version=4)
    nbgrader(folder, "generate_assignment", ASSIGNMENT, "--force")
    theirs = nbformat.read(handed_out, as_version=4)
    assert os.listdir(folder / "release" / ASSIGNMENT) == [NAME]
    assert [(item.id, item.source.rstrip("\n")) for item in theirs.cells] == [
        (item.id, item.source) for item in ours.cells
    ]
    assert [item.metadata for item in theirs.cells] == [item.metadata for item in ours.cells]
