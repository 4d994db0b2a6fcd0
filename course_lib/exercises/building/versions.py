"""What do the learner, the reader of a solution, and nbgrader each see of one master?"""

from copy import deepcopy
from typing import Any

from course_lib.exercises.building.card import solution_card, student_card
from course_lib.exercises.building.master import Notebook, checks_hash, is_graded, is_solution, source_hash
from course_lib.exercises.building.regions import without_hidden_tests, without_markers
from course_lib.exercises.catalogue import Exercise, ExerciseError

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}  # no version: it would go stale


def student(exercise: Exercise, master: Notebook, *, lesson_link: str | None = "../../notebooks") -> Notebook:
    """The notebook to work in: stubs for solutions, no hidden tests, graded cells locked; checked by nbgrader itself.

    lesson_link: from here to the folder of the lessons, or None where there is none. Raises ExerciseError.
    """
    from nbgrader.preprocessors import CheckCellMetadata, ClearHiddenTests, ClearSolutions, ComputeChecksums, LockCells

    notebook = _with_card(exercise, master, student_card(exercise, lesson_link))
    for preprocessor in (LockCells, ClearSolutions, ClearHiddenTests, ComputeChecksums, CheckCellMetadata):
        notebook, _ = preprocessor().preprocess(notebook, {})
    for cell in notebook.cells:
        cell.source = cell.source.rstrip("\n")
        if cell.cell_type == "code":
            _must_parse(exercise, cell)
    return notebook


def solution(exercise: Exercise, master: Notebook) -> Notebook:
    """The solved notebook, not yet executed: what the learner sees, with the answers in place of the stubs."""
    notebook = _with_card(exercise, master, solution_card(exercise, "../../../notebooks"), checks=checks_hash(exercise))
    for cell in notebook.cells:
        if is_solution(cell) or is_graded(cell):
            cell.source = without_markers(without_hidden_tests(cell.source))
    return notebook


def source(exercise: Exercise, master: Notebook) -> Notebook:
    """What nbgrader grades with: solutions and hidden tests, each within its markers."""
    return _with_card(exercise, master, student_card(exercise, None))


def written(notebook: Notebook) -> str:
    """The notebook's text, the same for the same notebook. Raises nbformat.ValidationError."""
    import nbformat

    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def _with_card(exercise: Exercise, master: Notebook, card: str, **more: str) -> Notebook:
    from nbformat.v4 import new_markdown_cell, new_notebook

    about = {"exercise": exercise.id, "source": source_hash(exercise), **more}
    metadata = {"course": about, "kernelspec": dict(KERNEL), "language_info": dict(LANGUAGE)}
    return new_notebook(cells=[new_markdown_cell(card, id="card"), *deepcopy(master.cells)], metadata=metadata)


def _must_parse(exercise: Exercise, cell: Any) -> None:
    try:
        compile(cell.source, cell.id, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ExerciseError(
            f"{exercise.master}: cell {cell.id!r} without its solution is no Python "
            f"(line {error.lineno}: {error.msg}); leave the `def` line outside of the solution"
        ) from None
