"""What does the class's table say? A row for each student and exercise, also for what was not handed in."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from course_lib.batch.errors import UsageError
from course_lib.batch.files import write_atomically
from course_lib.exercises.grading.engine import Graded, changed_checks
from course_lib.exercises.grading.papers import Paper
from course_lib.exercises.grading.results import ERROR_CLASSES, GRADER_ERROR, NOT_HANDED_IN, OK
from course_lib.exercises.grading.submissions import HandedIn
from course_lib.progress import Event, exercise_progress

LONGEST_NOTE = 600
# A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Row:
    """One student's work on one exercise, in the order of the table's columns.

    passed, failed: how many graded checks. hints_used, steps_used: as the notebook or progress file that was handed in
    reports, so the student's own word; "" where nothing is reported. late: "yes", "no", or "" without a due time.
    submitted: the file's time, in the local zone. seconds: that running and judging took.
    """

    student: str
    exercise: str
    title: str
    points: int
    max_points: int
    percent: float
    passed: int
    failed: int
    error_class: str
    mistake: str
    hints_used: int | str
    steps_used: str
    late: str
    submitted: str
    seconds: float
    file: str
    note: str


@dataclass(frozen=True)
class Line:
    """A row, and what it was made of: None where nothing was handed in."""

    row: Row
    graded: Graded | None
    paper: Paper | None


def parse_due(text: str) -> datetime:
    """`2026-11-30`, `2026-11-30 23:59`, with or without a zone, by default the local one; a day or minute counts whole.

    Raises UsageError for anything else.
    """
    try:
        due = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f'--due needs a time such as "2026-11-30 23:59", got {text!r}') from None
    if len(text.strip()) <= len("2026-11-30"):
        due += timedelta(days=1, microseconds=-1)
    elif not due.second and not due.microsecond:
        due += timedelta(minutes=1, microseconds=-1)
    return due.astimezone()  # a time without a zone is taken for local


def due_in_words(due: datetime) -> str:
    """2026-11-30 23:59 CET"""
    return f"{due:%Y-%m-%d %H:%M} {due.tzname() or ''}".strip()


def lines_of(
    graded: Sequence[Graded], handed_in: HandedIn, papers: Sequence[Paper], asked: Sequence[str], due: datetime | None
) -> list[Line]:
    """The table: what was handed in, and what is missing of the exercises `asked` for, or that anyone handed in."""
    lines = [Line(_row(item, handed_in, due), item, item.paper) for item in graded]
    there = {(line.row.student, line.row.exercise) for line in lines}
    expected = [
        paper
        for paper in papers
        if (paper.exercise.id in asked if asked else any(item.paper is paper for item in graded))
    ]
    for student in handed_in.students:
        for paper in expected:
            if (student, paper.exercise.id) not in there:
                lines.append(Line(_missing(student, paper, handed_in), None, paper))
    rank = {student: position for position, student in enumerate(handed_in.students)}
    return sorted(lines, key=lambda line: (rank[line.row.student], line.row.exercise or "~", line.row.file))


def write_table(path: Path, lines: Sequence[Line]) -> None:
    """Write the rows as CSV (UTF-8), in one step. Raises OSError."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [item.name for item in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _cell(value) for name, value in asdict(line.row).items()})
    write_atomically(path, text.getvalue(), durable=False)


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in value)
    return f"'{value}" if value.lstrip().startswith(FORMULA) else value


def _row(item: Graded, handed_in: HandedIn, due: datetime | None) -> Row:
    submission, judgement, paper = item.submission, item.judgement, item.paper
    modified = datetime.fromtimestamp(submission.modified).astimezone()
    passed = sum(cell.verdict == "passed" for cell in judgement.cells)
    hints, steps = _help_reported(item, handed_in)
    key, text = judgement.mistake
    return Row(
        student=submission.student,
        exercise=paper.exercise.id if paper else "",
        title=paper.exercise.title if paper else "",
        points=judgement.points,
        max_points=judgement.max_points,
        percent=_percent(judgement.points, judgement.max_points),
        passed=passed,
        failed=len(judgement.cells) - passed,
        error_class=judgement.error_class if judgement.cells else judgement.problem,
        mistake=f"{key}: {' '.join(text.split())}" if text else key,
        hints_used=hints,
        steps_used=steps,
        late="" if due is None else "yes" if modified > due else "no",
        submitted=modified.isoformat(timespec="seconds"),
        seconds=judgement.seconds,
        file=submission.file,
        note=_note(item),
    )


def _missing(student: str, paper: Paper, handed_in: HandedIn) -> Row:
    exercise = paper.exercise
    hints, steps = _from_events(exercise.id, handed_in.events.get(student, []))
    return Row(
        student, exercise.id, exercise.title, 0, paper.points, 0.0, 0, len(paper.graded), NOT_HANDED_IN,
        "", hints, steps, "", "", 0.0, "", NOT_HANDED_IN,
    )  # fmt: skip


def _percent(points: int, of: int) -> float:
    return round(100 * points / of, 1) if of else 0.0


def _help_reported(item: Graded, handed_in: HandedIn) -> tuple[int | str, str]:
    """The most hints and all steps that the notebook's own outputs, or a progress file, tell of."""
    if item.paper is None or item.submission.notebook is None:
        return "", ""
    id = item.paper.exercise.id
    hints, steps = _from_events(id, handed_in.events.get(item.submission.student, []))
    named = steps.split(", ") if steps else []
    for said in item.submission.notebook.reported:
        count, used = said.get("hints_used"), said.get("steps_used")
        if said.get("exercise") != id:
            continue
        if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= 99:
            hints = max(count, hints if isinstance(hints, int) else 0)
        for step in used if isinstance(used, list) else []:
            if isinstance(step, str) and step[:20] not in named and len(named) < 10:
                named.append(step[:20])
    return hints, ", ".join(named)


def _from_events(id: str, events: Sequence[dict[str, Any]]) -> tuple[int | str, str]:
    read = [
        Event(str(event.get("kind")), str(event.get("subject")), payload)
        for event in events
        if isinstance(payload := event.get("payload"), dict)
    ]
    so_far = exercise_progress(id, read)
    if not so_far.begun:
        return "", ""
    return min(so_far.hints_used, 99), ", ".join(step[:20] for step in so_far.steps_used[:10])


def _note(item: Graded) -> str:
    """What an instructor should know about this file, without a word of the hidden tests."""
    submission, judgement, paper = item.submission, item.judgement, item.paper
    notes = []
    if submission.problem is not None:
        notes.append(submission.problem.text)
    elif judgement.error_class != OK:
        first = next(cell for cell in judgement.cells if cell.error_class == judgement.error_class)
        notes.append(f"{first.name}: {' '.join(first.found.split())}"[:250])
    if judgement.problem and paper is not None:
        notes.append(judgement.problem)
    numbered = enumerate(judgement.ran, start=1)
    raised = [(number, run) for number, run in numbered if run.error and run.error != "NotImplementedError"]
    if raised:
        number, first_run = raised[0]
        told = f"cell {number} raised {first_run.error}: {' '.join(first_run.text.split())}"
        notes.append(told[:200] + (f", and {len(raised) - 1} more" if len(raised) > 1 else ""))
    if submission.notebook and paper and (changed := changed_checks(submission.notebook, paper)):
        notes.append(f"check cells changed or deleted ({', '.join(changed)}); the course's own were used")
    if submission.others:
        notes.append(f"the newest file counts; also handed in: {', '.join(submission.others[:5])}")
    return "; ".join(notes)[:LONGEST_NOTE]


def needs_a_look(line: Line) -> bool:
    """Whether the instructor should look at this one: no student's fault, or not known whose or what it is."""
    return line.row.error_class in (GRADER_ERROR, "unknown exercise") or line.row.error_class not in ERROR_CLASSES
