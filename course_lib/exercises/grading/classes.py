"""How is a class graded from a folder of files to a table and pages? Puts the parts together."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from course_lib.batch import wording
from course_lib.batch.errors import UsageError, unknown
from course_lib.batch.files import lock_directory
from course_lib.exercises.answering import Isolation, SessionLimits
from course_lib.exercises.answering.limits import GIB
from course_lib.exercises.catalogue import ExerciseError, find_exercises
from course_lib.exercises.grading.autograded import write_autograded
from course_lib.exercises.grading.engine import Step, default_jobs, grade
from course_lib.exercises.grading.feedback import write_feedback
from course_lib.exercises.grading.papers import Paper, read_paper
from course_lib.exercises.grading.results import GRADER_ERROR
from course_lib.exercises.grading.rows import Line, lines_of, write_table
from course_lib.exercises.grading.submissions import HandedIn, find_submissions
from course_lib.exercises.grading.summary import Circumstances, write_summary

SUMMARY_FILE = "summary.html"


@dataclass(frozen=True)
class Places:
    """Where everything goes: the table, and a folder of its name beside it."""

    table: Path
    feedback: Path

    @property
    def folder(self) -> Path:
        return self.table.with_suffix("")

    @property
    def summary(self) -> Path:
        return self.folder / SUMMARY_FILE

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def autograded(self) -> Path:
        return self.folder / "autograded"


@dataclass(frozen=True)
class GradedClass:
    """What came of a class. lines: the table; empty when `interrupted`, for then no table is written.

    finished, of: how many notebooks were graded, of how many. passed_over: of exercises that were not asked for.
    """

    lines: list[Line]
    places: Places
    finished: int
    of: int
    passed_over: int
    interrupted: bool
    broken: bool


def places_for(table: Path, feedback: Path | None, submissions: Path) -> Places:
    """Raises UsageError where results would lie among, or in the place of, what was handed in."""
    if table.suffix.lower() != ".csv":
        raise UsageError(f"--out needs the name of a table such as grades.csv, got {table}")
    if table.is_dir():
        raise UsageError(f"--out {table} is a folder; name a table in it, such as {table / 'grades.csv'}")
    places = Places(table, feedback or table.with_suffix("") / "feedback")
    if places.folder.resolve() == submissions.resolve():
        raise UsageError(f"results would go into {places.folder}, among the submissions; use another --out")
    return places


def read_papers(directory: Path | None, asked: Sequence[str] = ()) -> list[Paper]:
    """All exercises' papers. Raises UsageError for an unknown one in `asked`, ExerciseError for one that is not whole.

    One that is not whole and not asked for is left out.
    """
    if directory is not None and not directory.is_dir():
        raise UsageError(f"--exercises {directory}: there is no such folder")
    exercises = find_exercises(directory)
    if not exercises:
        raise UsageError(f"no exercises in {directory}; expected NN_topic/masters/NN.M_name/master.py in it")
    for id in asked:
        if id not in {exercise.id for exercise in exercises}:
            raise unknown("exercise", id, [exercise.id for exercise in exercises])
    papers = []
    for exercise in exercises:
        try:
            papers.append(read_paper(exercise))
        except ExerciseError:
            if not asked or exercise.id in asked:
                raise
    return papers


def limits_for(seconds: float, memory: int) -> SessionLimits:
    """The limits of one notebook. A single cell may use half of its time, a single call a sixth or at least 10 s."""
    return SessionLimits(
        seconds=seconds, cell_seconds=seconds / 2, call_seconds=min(seconds / 2, max(10.0, seconds / 6)), memory=memory
    )


def grade_class(
    submissions: Path,
    places: Places,
    papers: Sequence[Paper],
    *,
    isolation: Isolation,
    limits: SessionLimits,
    asked: Sequence[str] = (),
    jobs: int | None = None,
    due: datetime | None = None,
    fresh: bool = False,
    on_start: Callable[[int], None] = lambda count: None,
    on_step: Callable[[Step], None] = lambda step: None,
) -> GradedClass:
    """Grade all notebooks below `submissions`, or those for the exercises `asked` for, and write table and pages.

    Raises UsageError when there is nothing to grade, OSError when something cannot be written.
    """
    began = time.monotonic()
    found = find_submissions(submissions, papers, leave_out=places.folder)
    chosen = [item for item in found.submissions if not asked or item.exercise in asked]
    if not chosen:
        raise UsageError(f"no notebook for {', '.join(asked)} in {submissions}")
    on_start(len(chosen))
    places.folder.mkdir(parents=True, exist_ok=True)
    jobs = jobs or default_jobs()
    with lock_directory(places.folder):
        outcome = grade(
            chosen,
            papers,
            places.results,
            limits=limits,
            isolation=isolation,
            jobs=jobs,
            fresh=fresh,
            on_step=on_step,
        )
        finished, passed_over = len(outcome.graded), len(found.submissions) - len(chosen)
        if outcome.interrupted:
            return GradedClass([], places, finished, len(chosen), passed_over, True, False)
        lines = lines_of(outcome.graded, found, papers, asked, due)
        pages = _write(lines, places, found, due)
        circumstances = Circumstances(
            isolation.describe(),
            isolation.level == "strong",
            f"{wording.duration(limits.seconds)}, {limits.memory / GIB:.3g} GiB a notebook",
            jobs,
            time.monotonic() - began,
            due,
            outcome.broken,
            pages,
            places.table.name,
        )
        write_summary(places.summary, lines, circumstances)
        write_table(places.table, lines)
    broken = any(line.row.error_class == GRADER_ERROR for line in lines)
    return GradedClass(lines, places, finished, len(chosen), passed_over, False, broken)


def _write(lines: Sequence[Line], places: Places, found: HandedIn, due: datetime | None) -> dict[str, str]:
    """The notebooks and the students' pages; returns each student's page as the summary links to it."""
    for line in lines:
        if line.graded is not None:
            write_autograded(places.autograded, line.graded)
    pages = {}
    for student in found.students:
        own = [line for line in lines if line.row.student == student]
        if own:
            page = write_feedback(places.feedback, student, own, due)
            pages[student] = Path(os.path.relpath(page, places.folder)).as_posix()
    return pages
