"""Which files of an exercise are out of date, and how are they made anew?"""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.exercises.building.execution import execute, output_complaints
from course_lib.exercises.building.master import Notebook, read_master
from course_lib.exercises.building.versions import solution, student, written
from course_lib.exercises.catalogue import Exercise, ExerciseError


@dataclass(frozen=True)
class Built:
    """What was done for one exercise: the files written (none if all was up to date), and how long it took."""

    exercise: Exercise
    written: tuple[Path, ...]
    seconds: float


def build(
    exercises: Sequence[Exercise],
    *,
    force: bool = False,
    solutions: bool = True,
    on_built: Callable[[Built], None] = lambda built: None,
) -> list[Built]:
    """Write what is out of date: student notebooks, and solutions, which are run anew only then (or with `force`).

    Each file is replaced in one step. Raises ExerciseError at the first exercise that cannot be built; those before
    it are done, its own files and those after it are as they were.
    """
    done = []
    for exercise in exercises:
        began = time.monotonic()
        master = read_master(exercise)
        new = {exercise.student: written(student(exercise, master))}
        unrun = solution(exercise, master)
        if solutions and (force or not solution_is_current(exercise.solution, unrun)):
            new[exercise.solution] = _executed(exercise, unrun)
        changed = [path for path, text in new.items() if not _holds(path, text)]
        for path in changed:
            _replace(path, new[path])
        built = Built(exercise, tuple(changed), time.monotonic() - began)
        on_built(built)
        done.append(built)
    return done


def out_of_date(exercises: Sequence[Exercise]) -> list[Path]:
    """The files that `build` would write. Writes nothing. Raises ExerciseError for a malformed master."""
    stale = []
    for exercise in exercises:
        master = read_master(exercise)
        if not _holds(exercise.student, written(student(exercise, master))):
            stale.append(exercise.student)
        if not solution_is_current(exercise.solution, solution(exercise, master)):
            stale.append(exercise.solution)
    return stale


def left_over(exercises: Sequence[Exercise]) -> list[Path]:
    """Notebooks in the folders of these exercises that no master belongs to, as after a master was renamed."""
    found = []
    for folder in sorted({exercise.folder for exercise in exercises}):
        masters = {path.parent.name for path in folder.glob("masters/*/master.py")}
        notebooks = [*sorted(folder.glob("*.ipynb")), *sorted(folder.glob("solutions/*.ipynb"))]
        found += [path for path in notebooks if path.stem not in masters]
    return found


def solution_is_current(path: Path, unrun: Notebook) -> bool:
    """Whether the file holds exactly these cells, all of them executed. Its outputs are nbval's to judge."""
    import nbformat

    try:
        kept = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (FileNotFoundError, ValueError):
        return False
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    if any(cell.get("execution_count") is None for cell in code):
        return False
    return _without_outputs(kept) == _without_outputs(unrun)


def _without_outputs(notebook: Notebook) -> Any:
    bare = deepcopy(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return bare.metadata, bare.cells


def _executed(exercise: Exercise, unrun: Notebook) -> str:
    notebook = deepcopy(unrun)
    execute(exercise, notebook)
    if complaints := output_complaints(notebook):
        raise ExerciseError(f"the solution of {exercise.id} runs, but is not fit to be kept: {'; '.join(complaints)}")
    return written(notebook)


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _replace(path: Path, text: str) -> None:
    from course_lib.batch.files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text, durable=False)
