"""How does an instructor who uses nbgrader itself get the exercises? As a course folder that its commands accept."""

import contextlib
import os
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from course_lib.exercises.building.master import Notebook, read_master
from course_lib.exercises.building.versions import source, student, written
from course_lib.exercises.catalogue import Exercise, ExerciseError, find_exercises

DATABASE = "gradebook.db"
CONFIG = """\
# Collect the students' notebooks as submitted/STUDENT/ASSIGNMENT/NAME.ipynb, then, in this folder:
#     nbgrader autograde ASSIGNMENT --db sqlite:///gradebook.db
#     nbgrader generate_feedback ASSIGNMENT
#     nbgrader export
# An assignment is a lesson, such as 02_bahdanau_attention. nbgrader runs what students wrote without any protection:
# do this in a container, or grade with `course grade`.
c = get_config()  # noqa: F821 - nbgrader defines it
c.CourseDirectory.course_id = "course"
c.CourseDirectory.root = "."
c.CourseDirectory.db_url = "sqlite:///gradebook.db"
c.ExecutePreprocessor.timeout = 120  # seconds for a cell
"""


def release(directory: Path, exercises: Sequence[Exercise] | None = None) -> list[Path]:
    """Write source/LESSON/, release/LESSON/, nbgrader_config.py and the gradebook; by default of all exercises.

    An nbgrader_config.py that is there stays as it is, and so do the students and marks in a gradebook. Returns the
    notebooks written. Raises ExerciseError for a malformed master, or when cells of an exercise came or went after
    answers to it had been graded.
    """
    from course_lib.batch.files import write_atomically

    exercises = find_exercises() if exercises is None else exercises
    notebooks: dict[Path, str] = {}
    sources = []
    for exercise in exercises:
        master = read_master(exercise)
        place = Path(exercise.lesson) / f"{exercise.name}.ipynb"
        sources.append(source(exercise, master))
        notebooks[directory / "source" / place] = written(sources[-1])
        notebooks[directory / "release" / place] = written(student(exercise, master, lesson_link=None))
    directory.mkdir(parents=True, exist_ok=True)
    for exercise, for_grading in zip(exercises, sources, strict=True):
        _enter_into_gradebook(directory / DATABASE, exercise, for_grading)
    for path, text in notebooks.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text, durable=False)
    if not (config := directory / "nbgrader_config.py").exists():
        write_atomically(config, CONFIG, durable=False)
    return list(notebooks)


def _enter_into_gradebook(database: Path, exercise: Exercise, for_grading: Notebook) -> None:
    """What `nbgrader generate_assignment` does, with its own parts: without this `autograde` knows no assignment."""
    from nbgrader.api import Gradebook
    from nbgrader.preprocessors import CheckCellMetadata, ClearSolutions, ComputeChecksums, LockCells, SaveCells

    url = f"sqlite:///{database.resolve()}"
    with scripts_on_path(), Gradebook(url) as gradebook:
        gradebook.update_or_create_assignment(exercise.lesson)
    resources = {"nbgrader": {"notebook": exercise.name, "assignment": exercise.lesson, "db_url": url}}
    try:
        for preprocessor in (LockCells, ClearSolutions, CheckCellMetadata, ComputeChecksums, SaveCells):
            for_grading, _ = preprocessor().preprocess(for_grading, resources)
    except RuntimeError as error:
        raise ExerciseError(f"{database}: {error}; release into a new folder") from error


@contextlib.contextmanager
def scripts_on_path() -> Iterator[None]:
    """nbgrader begins a gradebook by the command `alembic`, which is beside this Python, activated or not."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
