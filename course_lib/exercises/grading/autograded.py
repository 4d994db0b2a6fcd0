"""What does a student's notebook look like after grading? Their cells with this run's outputs, the checks with points.

No hidden test gets into it. The metadata are nbgrader's, and so is the rule: a graded cell whose output is an error
gives no points, any other all of them.
"""

import json
from pathlib import Path
from typing import Any

from course_lib.batch.files import write_atomically
from course_lib.exercises.grading.engine import Graded, file_name
from course_lib.exercises.grading.papers import GradedCell
from course_lib.exercises.grading.results import CellResult, Ran

SCHEMA_VERSION = 3  # of nbgrader's metadata


def write_autograded(folder: Path, item: Graded) -> Path | None:
    """Write the notebook below `folder` and return its path; None for a submission that is no notebook."""
    if item.paper is None or item.submission.notebook is None:
        return None
    place = folder / file_name(item.submission.student) / f"{item.paper.exercise.name}.ipynb"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, json.dumps(autograded(item), indent=1, ensure_ascii=False) + "\n", durable=False)
    return place


def autograded(item: Graded) -> dict[str, Any]:
    """The notebook as JSON: cells as handed in, the master's graded cells in the place of the student's."""
    paper, notebook = item.paper, item.submission.notebook
    assert paper is not None
    assert notebook is not None
    results = {cell.name: cell for cell in item.judgement.cells}
    left = {cell.name: cell for cell in paper.graded}
    ran = {run.index: (number, run) for number, run in enumerate(item.judgement.ran, start=1)}
    cells = []
    for index, cell in enumerate(notebook.cells):
        if cell.kind == "code" and cell.grade_id in left:
            cells.append(_graded(left.pop(cell.grade_id), results[cell.grade_id]))
        elif cell.kind == "code" and not cell.graded:
            cells.append(_own(cell.source, *ran.get(index, (None, None))))
        elif cell.kind != "code":
            cells.append({"cell_type": cell.kind, "metadata": {}, "source": cell.source})
    cells += [_graded(cell, results[cell.name]) for cell in left.values()]
    for number, made in enumerate(cells):
        made["id"] = f"cell-{number}"
    metadata = {
        "course": {"exercise": paper.exercise.id},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _own(source: str, number: int | None, ran: Ran | None) -> dict[str, Any]:
    outputs: list[dict[str, Any]] = []
    if ran is not None:
        for name, text in (("stdout", ran.stdout), ("stderr", ran.stderr)):
            if text:
                outputs.append({"output_type": "stream", "name": name, "text": text})
        if ran.error:
            outputs.append(_error(ran.error, ran.text, ran.traceback))
    return _code(source, number, outputs, {})


def _graded(cell: GradedCell, result: CellResult) -> dict[str, Any]:
    mark = {
        "grade": True,
        "grade_id": cell.name,
        "locked": True,
        "points": cell.points,
        "schema_version": SCHEMA_VERSION,
        "solution": False,
        "task": False,
    }
    if result.verdict == "passed":
        text = f"✓ {result.title} {result.points} of {result.max_points} points\n"
        outputs = [{"output_type": "stream", "name": "stdout", "text": text}]
    else:
        outputs = [_error("CheckFailed", result.found, f"CheckFailed: {result.title} {result.found}")]
    return _code(cell.public, None, outputs, {"nbgrader": mark})


def _code(source: str, number: int | None, outputs: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": number,
        "metadata": metadata,
        "outputs": outputs,
        "source": source,
    }


def _error(kind: str, text: str, traceback: str) -> dict[str, Any]:
    lines = (traceback or f"{kind}: {text}").splitlines()
    return {"output_type": "error", "ename": kind, "evalue": text, "traceback": lines}
