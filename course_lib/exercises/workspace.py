"""Where does a learner work, and how do they begin again without losing anything?

A copy of the student notebook lies in `my_exercises/NN_topic/`, beside `exercises/` and unknown to git, so that an
upgrade of the course and a learner's work never meet. What `reset` puts aside goes to `my_exercises/kept/`.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from course_lib import progress
from course_lib.exercises.catalogue import Exercise, ExerciseError
from course_lib.exercises.checking import Report, run_checks
from course_lib.exercises.steps import step_cells

FOLDER = "my_exercises"
LINK = re.compile(r"""(?P<before>\]\(|(?:href|src)=["'])(?P<target>[^)\s"'#:]+)(?=[)\s"'#])""")


@dataclass(frozen=True)
class Opened:
    """A learner's copy. new: whether it was made just now, or was there before."""

    path: Path
    new: bool


@dataclass(frozen=True)
class Reset:
    """What a reset did. kept: where the learner's work is now, or None if there was none. path: the original anew."""

    path: Path
    kept: Path | None


@dataclass(frozen=True)
class Checked:
    """A checked notebook. troubles: cells that raised an error, and why the run ended, if before its time."""

    path: Path
    report: Report
    troubles: list[str]


def copy_path(exercise: Exercise) -> Path:
    """Where the learner's copy of an exercise is, or would be."""
    return exercise.folder.parent.parent / FOLDER / exercise.lesson / f"{exercise.name}.ipynb"


def learners_notebook(exercise: Exercise) -> Path:
    """The notebook that the learner works in: their copy if there is one, or else the student notebook itself.

    Raises ExerciseError if there is neither.
    """
    for path in (copy_path(exercise), exercise.student):
        if path.exists():
            return path
    raise ExerciseError(f"{exercise.student} is missing; make it with: course exercise build {exercise.id}")


def open_copy(exercise: Exercise, step: str | None = None) -> Opened:
    """Make the learner's copy, unless it is there. step: what its solution cells begin with, see `steps`.

    Raises ExerciseError for a step into a copy with work in it, or if there is no student notebook to copy.
    """
    copy = copy_path(exercise)
    beginnings = step_cells(exercise, step) if step is not None else {}
    new = not copy.exists()
    if new or step is not None:
        notebook = original(exercise)
        if not new and _solutions(read_notebook(copy, exercise)) != _solutions(notebook):
            raise ExerciseError(
                f"there is work of yours in {copy}; run step({exercise.id!r}, {step!r}) in it, or put it aside first: "
                f"course exercise reset {exercise.id}"
            )
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = _with_links_from(cell.source, exercise.student.parent, copy.parent)
            elif (grade_id := _solution_id(cell)) in beginnings:
                cell.source = beginnings[grade_id]
        _write(copy, notebook)
    progress.note("opened", exercise.id)
    if step is not None:
        progress.note("step", exercise.id, step=step)
    return Opened(copy, new)


def reset(exercise: Exercise, now: Callable[[], datetime] = datetime.now) -> Reset:
    """Put the learner's work aside, and the original in its place. Nothing is ever overwritten.

    Raises ExerciseError if the original cannot be had; the work then stays where it is.
    """
    copy = copy_path(exercise)
    if copy.exists():
        original(exercise)  # which must be whole before anything is moved
        kept: Path | None = _keep(copy, exercise, now())
        copy.unlink()
        path = open_copy(exercise).path
    else:
        path, anew = exercise.student, _built_anew(exercise)
        before = path.read_bytes() if path.exists() else b""
        kept = _keep(path, exercise, now()) if before and before != anew.encode() else None
        if before != anew.encode():
            _write_text(path, anew)
    progress.note("reset", exercise.id, kept=kept.name if kept else None)
    return Reset(path, kept)


def original(exercise: Exercise) -> Any:
    """The student notebook as it was built. Raises ExerciseError if it is not there or not whole."""
    if not exercise.student.exists():
        raise ExerciseError(f"{exercise.student} is missing; make it with: course exercise build {exercise.id}")
    return read_notebook(exercise.student, exercise)


def check_notebook(exercise: Exercise) -> Checked:
    """Run the learner's notebook in a process of its own, with limits, and check what it defines.

    Raises ExerciseError for a file that is no notebook, IsolationError if no process can be started.
    """
    from course_lib.exercises.answering import AnswerSession
    from course_lib.exercises.learner import note_check

    path = learners_notebook(exercise)
    notebook = read_notebook(path, exercise)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    with AnswerSession(sources) as session:
        report = run_checks(exercise, session.answers)
        troubles = [
            f"code cell {outcome.index + 1} raised {outcome.error_kind}: {' '.join(outcome.error_text.split())[:300]}"
            for outcome in session.cells
            if outcome.error_kind not in (None, "NotImplementedError")
        ]
        if session.ended is not None:
            troubles.append(f"the run of the notebook ended early: {session.ended_text}")
    note_check(report)
    return Checked(path, report, troubles)


def read_notebook(path: Path, exercise: Exercise) -> Any:
    """The notebook at `path` in the present format. Raises ExerciseError that says what to do with what is none."""
    import nbformat

    remedy = f"put it aside and begin anew with: course exercise reset {exercise.id}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ExerciseError(f"{path} is not a notebook: it is no UTF-8 text; {remedy}") from None
    except OSError as error:
        raise ExerciseError(f"{path} cannot be read: {error.strerror}") from error
    if not text.strip():
        raise ExerciseError(f"{path} is empty; {remedy}")
    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises many kinds for what is no notebook
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise ExerciseError(f"{path} is not a notebook: {reason}; {remedy}") from None
    return notebook


def _solutions(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells if _solution_id(cell) is not None]


def _solution_id(cell: Any) -> str | None:
    marked = cell.metadata.get("nbgrader", {})
    return marked.get("grade_id") if marked.get("solution") else None


def _with_links_from(text: str, old: Path, new: Path) -> str:
    """The text with relative links that lead from the folder `new` where they led from `old`."""

    def moved(link: re.Match[str]) -> str:
        target = link["target"]
        if target.startswith("/"):
            return link[0]
        goal = os.path.normpath(old / target)
        same = os.path.normpath(new / target) == goal
        return link["before"] + (target if same else Path(os.path.relpath(goal, new)).as_posix())

    return LINK.sub(moved, text)


def _built_anew(exercise: Exercise) -> str:
    try:
        from course_lib.exercises.building.master import read_master
        from course_lib.exercises.building.versions import student, written

        return written(student(exercise, read_master(exercise)))
    except ModuleNotFoundError as error:
        raise ExerciseError(
            f"{exercise.student} cannot be made anew without {error.name}; install it with: "
            "pip install 'course-lib[exercises]', or take the file from git"
        ) from None


def _keep(path: Path, exercise: Exercise, now: datetime) -> Path:
    """Copy the file to `kept/`, under a name that nothing has yet."""
    folder = copy_path(exercise).parent.parent / "kept"
    folder.mkdir(parents=True, exist_ok=True)
    stem, content = f"{exercise.name}.{now.strftime('%Y-%m-%dT%H%M%S')}", path.read_bytes()
    for number in range(1, 1000):
        kept = folder / (f"{stem}.ipynb" if number == 1 else f"{stem}-{number}.ipynb")
        try:
            with kept.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            continue
        return kept
    raise ExerciseError(f"{folder} already holds 999 notebooks named {stem}")


def _write(path: Path, notebook: Any) -> None:
    import nbformat

    _write_text(path, nbformat.writes(notebook) + "\n")


def _write_text(path: Path, text: str) -> None:
    from course_lib.batch.files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
