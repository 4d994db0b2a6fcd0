"""Is a master whole? Reads it into a notebook and names the first cell that is not as it should be."""

import ast
import hashlib
import re
from pathlib import Path
from typing import Any

from course_lib.exercises.building.regions import UnbalancedMarkers, regions
from course_lib.exercises.catalogue import Exercise, ExerciseError

Notebook = Any
Cell = Any

SCHEMA_VERSION = 3  # of nbgrader's metadata
GRADE_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
KEPT_METADATA = {"nbgrader", "tags"}


def read_master(exercise: Exercise) -> Notebook:
    """The master as a notebook: cells as written, with complete nbgrader metadata and lasting ids.

    Raises ExerciseError, which names the file and the cell, for a master of which no exercise can be made.
    """
    import jupytext

    if exercise.id[:2] != exercise.lesson[:2]:
        raise ExerciseError(
            f"{exercise.master.parent}: exercise {exercise.id} lies in the folder {exercise.lesson}; "
            f"move it to the folder that begins with {exercise.id[:2]}, or number it {exercise.lesson[:2]}.…"
        )
    try:
        notebook = jupytext.reads(exercise.master.read_text(encoding="utf-8"), fmt="py:percent")
    except UnicodeDecodeError as error:
        raise ExerciseError(f"{exercise.master} is not UTF-8: byte {error.start}") from None
    known_checks = _listed_checks(exercise.master.parent / "checks.py")
    grade_ids: set[str] = set()
    for number, cell in enumerate(notebook.cells, start=1):
        cell.metadata = type(cell.metadata)({key: cell.metadata[key] for key in cell.metadata if key in KEPT_METADATA})
        try:
            _complete_metadata(cell, grade_ids)
            _check_regions(cell)
            _check_code(cell)
            _check_calls(cell, exercise.id, known_checks)
        except _CellError as found:
            first = next((line.strip() for line in cell.source.splitlines() if line.strip()), "empty")
            raise ExerciseError(f"{exercise.master}: cell {number} ({first[:50]!r}): {found}") from None
    _check_whole(exercise, notebook)
    _give_ids(notebook)
    return notebook


def source_hash(exercise: Exercise) -> str:
    """Changes with the master and the card."""
    return _hash(exercise.master, exercise.master.parent / "card.toml")


def checks_hash(exercise: Exercise) -> str:
    """Changes with checks.py and any module beside it."""
    return _hash(*sorted(set(exercise.master.parent.glob("*.py")) - {exercise.master}))


def is_solution(cell: Cell) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_graded(cell: Cell) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


class _CellError(Exception):
    """What is wrong with one cell, and what to do."""


def _hash(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise ExerciseError(f"{file} is missing")
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _complete_metadata(cell: Cell, grade_ids: set[str]) -> None:
    short = cell.metadata.get("nbgrader")
    if short is None:
        return
    if not isinstance(short, dict):
        raise _CellError(f'nbgrader metadata must be as in {{"solution": true, "grade_id": "name"}}, got {short!r}')
    if unknown := short.keys() - {"grade", "solution", "locked", "task", "grade_id", "points", "schema_version"}:
        raise _CellError(f"unknown nbgrader metadata: {', '.join(sorted(unknown))}")
    if cell.cell_type != "code":
        raise _CellError("only code can be a solution or graded; nobody marks text")
    graded, solution = bool(short.get("grade")), bool(short.get("solution"))
    if graded == solution:
        raise _CellError('a cell with nbgrader metadata is either "solution": true or "grade": true')
    grade_id = short.get("grade_id")
    if not isinstance(grade_id, str) or not GRADE_ID.match(grade_id):
        raise _CellError(f"grade_id must be 1 to 64 letters, digits and _, got {grade_id!r}")
    if grade_id in grade_ids:
        raise _CellError(f"two cells have the grade_id {grade_id!r}; give this one another")
    grade_ids.add(grade_id)
    points = short.get("points")
    if graded and (not isinstance(points, int) or isinstance(points, bool) or points < 1):
        raise _CellError(f'a graded cell needs points, a whole number such as "points": 2; got {points!r}')
    complete = {
        "grade": graded,
        "grade_id": grade_id,
        "locked": graded,
        "schema_version": SCHEMA_VERSION,
        "solution": solution,
        "task": False,
    }
    cell.metadata["nbgrader"] = complete | ({"points": points} if graded else {})


def _check_regions(cell: Cell) -> None:
    try:
        found = regions(cell.source)
    except UnbalancedMarkers as error:
        raise _CellError(str(error)) from None
    if found.solution and not is_solution(cell):
        raise _CellError('it holds a solution, and its metadata lack nbgrader={"solution": true, "grade_id": "…"}')
    if found.hidden and not is_graded(cell):
        raise _CellError('it holds hidden tests, and its metadata lack nbgrader={"grade": true, "grade_id": "…"}')
    if is_solution(cell) and not found.solution:
        raise _CellError("a solution cell marks what the learner writes: ### BEGIN SOLUTION … ### END SOLUTION")


def _check_code(cell: Cell) -> None:
    if cell.cell_type != "code":
        return
    try:
        compile(cell.source, "cell", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _CellError(f"line {error.lineno}: {error.msg}") from None


def _check_calls(cell: Cell, id: str, known_checks: set[str] | None) -> None:
    """`check`, `hint` and `step` name this exercise, and a graded cell one of its checks."""
    if cell.cell_type != "code":
        return
    named = []
    for call in _calls(cell.source, {"check", "hint", "step"}):
        arguments = [node.value if isinstance(node, ast.Constant) else None for node in call.args]
        if not arguments or arguments[0] != id:
            raise _CellError(f'`{ast.unparse(call)}` should begin with "{id}"')
        if len(arguments) > 1 and getattr(call.func, "id", "") == "check":
            named.append(str(arguments[1]))
    if unknown := [name for name in named if known_checks is not None and name not in known_checks]:
        raise _CellError(f"checks.py lists no check {unknown[0]!r}; it has: {', '.join(sorted(known_checks or ()))}")
    if is_graded(cell) and len(named) != 1:
        raise _CellError(f'a graded cell asks for one check by name, as in check("{id}", "name")')


def _check_whole(exercise: Exercise, notebook: Notebook) -> None:
    if not any(map(is_solution, notebook.cells)):
        raise ExerciseError(f"{exercise.master} has no solution cell: nothing is left for the learner to write")
    asked = [cell for cell in notebook.cells if cell.cell_type == "code" and not is_graded(cell)]
    if not any(_calls(cell.source, {"check"}) for cell in asked):
        raise ExerciseError(f'{exercise.master} has no cell with check("{exercise.id}")')
    if not any(map(is_graded, notebook.cells)):
        raise ExerciseError(f"{exercise.master} has no graded cell, so that nobody could get points for it")


def _calls(source: str, names: set[str]) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in names]


def _listed_checks(file: Path) -> set[str] | None:
    """The names in the list CHECKS, without importing torch; None where it is no plain list."""
    if not file.is_file():
        raise ExerciseError(f"{file} is missing")
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ExerciseError(f"{file}: line {error.lineno}: {error.msg}") from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "CHECKS" for target in node.targets):
            listed = getattr(node.value, "elts", None)
            if listed is not None and all(isinstance(item, ast.Name) for item in listed):
                return {item.id for item in listed}
    return None


def _give_ids(notebook: Notebook) -> None:
    """Ids that stay as they are when another cell is added or changed, so that differences stay small."""
    taken: set[str] = set()
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        name = grade_id or f"{cell.cell_type}-{hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"
        number = 1
        while (id := name if number == 1 else f"{name[:60]}-{number}") in taken:
            number += 1
        taken.add(id)
        cell["id"] = id
