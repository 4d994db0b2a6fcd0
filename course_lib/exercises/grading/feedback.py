"""What does a student get back? One page over all exercises: points, what each check found, and a hint that fits."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from course_lib.batch import wording
from course_lib.batch.files import write_atomically
from course_lib.exercises.grading.engine import file_name
from course_lib.exercises.grading.pages import badge, points_tone, render
from course_lib.exercises.grading.results import DIED, GRADER_ERROR, NOT_WRITTEN, OK, CellResult
from course_lib.exercises.grading.rows import Line, due_in_words

LONGEST_CODE, LONGEST_OUTPUT, MOST_CELLS = 6_000, 2_000, 60
WORDS = {
    "passed": ("good", "holds"),
    "failed": ("bad", "fails"),
    "raised": ("bad", "raises an error"),
    "missing": ("quiet", "not defined"),
    "unwritten": ("quiet", "not written"),
    "not judged": ("careful", "not judged"),
}
# What to tell the student; an error in the code or a wrong answer explains itself.
TO_THE_STUDENT = {
    NOT_WRITTEN: "Nothing is written here yet, so there is nothing to judge.",
    GRADER_ERROR: "Something went wrong on the course's side. It is not your fault; your instructor has been told.",
    "time limit": "Your code ran into the time limit. Look for a loop that never ends.",
    "memory limit": "Your code used more memory than it may. Look for a tensor or list that grows.",
    "process limit": "Your code started more processes than it may.",
    DIED: "The process that ran your code ended before it could be judged.",
    "not handed in": "Nothing was handed in for this exercise.",
}


def write_feedback(folder: Path, student: str, lines: Sequence[Line], due: datetime | None) -> Path:
    """Write a student's page into `folder` and return its path. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{file_name(student)}.html"
    write_atomically(page, render_feedback(student, lines, due), durable=False)
    return page


def render_feedback(student: str, lines: Sequence[Line], due: datetime | None) -> str:
    """The page as text, with nothing of any hidden test."""
    points, of = sum(line.row.points for line in lines), sum(line.row.max_points for line in lines)
    tone = points_tone(points, of) if of else "careful"
    content = {
        "title": f"Feedback for {student}",
        "tone": tone,
        "symbol": badge(tone, "")["symbol"],
        "verdict": f"{points} of {wording.count(of, 'point')} in {wording.count(len(lines), 'exercise')}",
        "exercises": [_exercise(number, line, due) for number, line in enumerate(lines, start=1)],
    }
    return render("feedback.html.jinja", page=content)


def _exercise(number: int, line: Line, due: datetime | None) -> dict[str, Any]:
    row, judgement = line.row, line.graded.judgement if line.graded else None
    problem = line.graded.submission.problem if line.graded else None
    what = problem.text if problem else TO_THE_STUDENT.get(row.error_class, "")
    return {
        "anchor": f"exercise-{number}",
        "name": f"{row.exercise} {row.title}".strip() or row.file,
        "file": row.file,
        "points": f"{row.points} of {row.max_points}" if line.paper else wording.NOTHING,
        "result": badge(*_result(row.error_class, row.points, row.max_points)),
        "what": what,
        "late": f"Handed in {_plain_time(row.submitted)}, after the due time ({due_in_words(due)})."
        if due and row.late == "yes"
        else "",
        "others": ", ".join(line.graded.submission.others) if line.graded else "",
        "checks": _checks(judgement.cells) if judgement and problem is None else [],
        "ran": _ran(line) if judgement else [],
    }


def _result(error_class: str, points: int, of: int) -> tuple[str, str]:
    if error_class == OK:
        return "good", "all points"
    tone = "quiet" if error_class in (NOT_WRITTEN, "not handed in") else points_tone(points, of) if of else "careful"
    return tone, error_class


def _checks(cells: Sequence[CellResult]) -> list[dict[str, Any]]:
    """Every check; a hint that fits several is told in full once."""
    told: set[str] = set()
    checks = []
    for cell in cells:
        checks.append(_check(cell))
        if cell.hint in told:
            checks[-1]["hint"], checks[-1]["again"] = "", True
        told |= {cell.hint} - {""}
    return checks


def _check(cell: CellResult) -> dict[str, Any]:
    tone, word = WORDS[cell.verdict]
    # What befell the whole notebook is told once, above.
    explained = cell.verdict in ("failed", "raised", "missing") or cell.error_class == GRADER_ERROR
    values = [*cell.example, *([cell.answer] if cell.answer else [])]
    return {
        "title": cell.title,
        "verdict": badge(tone, word),
        "points": f"{cell.points} of {cell.max_points}",
        "found": cell.found if explained else "",
        "where": cell.where,
        "hint": cell.hint,
        "again": False,
        "values": [
            {"name": value.name, "kind": value.kind, "text": value.text, "answer": value is cell.answer}
            for value in values
        ],
    }


def _ran(line: Line) -> list[dict[str, Any]]:
    """The student's own cells and what came of them, bounded: a page is to be read."""
    assert line.graded is not None
    notebook = line.graded.submission.notebook
    if notebook is None:
        return []
    return [
        {
            "number": number,
            "source": _cut(notebook.cells[run.index].source, LONGEST_CODE),
            "printed": _cut("\n".join(text.rstrip() for text in (run.stdout, run.stderr) if text), LONGEST_OUTPUT),
            "error": _cut(f"{run.error}: {run.text}" if run.text else run.error, LONGEST_OUTPUT),
        }
        for number, run in enumerate(line.graded.judgement.ran[:MOST_CELLS], start=1)
        if run.index < len(notebook.cells)
    ]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}\n… {len(text) - longest} characters more"


def _plain_time(stamp: str) -> str:
    return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M}" if stamp else wording.NOTHING
