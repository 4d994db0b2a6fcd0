"""What does a master ask, and for how many points? Its graded cells, and what they need around them."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.exercises.building.master import is_graded, is_solution, read_master
from course_lib.exercises.building.regions import regions, without_markers
from course_lib.exercises.catalogue import Exercise, ExerciseError

LEARNERS_CALLS = {"check", "hint", "step"}


@dataclass(frozen=True)
class GradedCell:
    """One cell that gives points. title: its check's. public: what learners see; hidden: what runs after it, unseen."""

    name: str
    title: str
    points: int
    public: str
    hidden: str


@dataclass(frozen=True)
class Paper:
    """An exercise as it is graded.

    setup: the statements of the master's other cells that touch no answer (imports, given data and helpers), which the
    graded cells may use. solution: the master's own code cells, which must earn every point. cell_names: nbgrader's
    names of all cells, by which a notebook is recognised.
    """

    exercise: Exercise
    graded: tuple[GradedCell, ...]
    setup: str
    solution: tuple[str, ...]
    cell_names: frozenset[str]

    @property
    def points(self) -> int:
        return sum(cell.points for cell in self.graded)


def read_paper(exercise: Exercise) -> Paper:
    """The paper of an exercise. Raises ExerciseError for a master that cannot be graded by."""
    try:
        cells = read_master(exercise).cells
    except ModuleNotFoundError as error:
        raise ExerciseError(f"grading needs {error.name}: pip install 'course-lib[exercises]'") from None
    code = [cell for cell in cells if cell.cell_type == "code"]
    own = [cell for cell in code if not is_graded(cell)]
    plain = "\n".join(cell.source for cell in own if not is_solution(cell))
    written = "\n".join(cell.source for cell in own if is_solution(cell))
    titles = _titles(exercise.master.parent / "checks.py")
    names = {cell.metadata["nbgrader"]["grade_id"] for cell in code if "nbgrader" in cell.metadata}
    return Paper(
        exercise,
        graded=tuple(_graded(cell, titles) for cell in code if is_graded(cell)),
        setup=_untouched(plain, set(exercise.needs) | _assigned(written) | LEARNERS_CALLS),
        solution=tuple(without_markers(cell.source) for cell in own),
        cell_names=frozenset(names),
    )


def _graded(cell: Any, titles: dict[str, str]) -> GradedCell:
    parts = regions(cell.source)
    name, points = cell.metadata["nbgrader"]["grade_id"], cell.metadata["nbgrader"]["points"]
    public = "\n".join(parts.public).strip()
    asked = [node.value for node in ast.walk(ast.parse(public)) if isinstance(node, ast.Constant)]
    title = next((titles[value] for value in asked if value in titles), name.replace("_", " "))
    return GradedCell(name, title, points, public, "\n".join(parts.hidden))


def _titles(checks: Path) -> dict[str, str]:
    """The first line of each check's docstring, read without running the file, which would load torch."""
    functions = [
        node for node in ast.parse(checks.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    return {node.name: (ast.get_docstring(node) or node.name).splitlines()[0] for node in functions}


def _assigned(source: str) -> set[str]:
    """The names that a piece of code defines at its top."""
    return {name for statement in ast.parse(source).body for name in _defines(statement)}


def _untouched(source: str, answers: set[str]) -> str:
    """The top-level definitions, imports and assignments that use no answer, directly or through another."""
    kept: list[ast.stmt] = []
    touched = set(answers)
    for statement in ast.parse(source).body:
        defines = _defines(statement)
        if isinstance(statement, ast.ImportFrom | ast.Import):
            statement.names = [alias for alias in statement.names if (alias.asname or alias.name) not in LEARNERS_CALLS]
            if statement.names:
                kept.append(statement)
        elif not defines or defines & answers or _uses(statement) & touched:
            touched |= defines
        else:
            kept.append(statement)
    return ast.unparse(ast.Module(kept, []))


def _defines(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return {
            node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
    return set()


def _uses(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
