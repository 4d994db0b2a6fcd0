"""How did the class do? One page: points, mistakes that many made, who is missing or late, what to look into."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import mean, median
from typing import Any
from urllib.parse import quote

from course_lib.batch import wording
from course_lib.batch.files import write_atomically
from course_lib.exercises.grading.pages import badge, points_tone, render
from course_lib.exercises.grading.papers import Paper
from course_lib.exercises.grading.results import ERROR_CLASSES, GRADER_ERROR, NOT_HANDED_IN, OK
from course_lib.exercises.grading.rows import Line, due_in_words, needs_a_look

MOST_BINS = 12
MOST_MISTAKES = 8


@dataclass(frozen=True)
class Circumstances:
    """What was in force while a class was graded. broken: of each exercise, the checks its own solution fails."""

    isolation: str
    strong: bool
    limits: str
    jobs: int
    seconds: float
    due: datetime | None = None
    broken: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    feedback: Mapping[str, str] = field(default_factory=dict)
    table: str = "grades.csv"


def write_summary(page: Path, lines: Sequence[Line], circumstances: Circumstances) -> None:
    """Write the class's page, in one step. Raises OSError."""
    write_atomically(page, render_summary(lines, circumstances), durable=False)


def in_one_sentence(lines: Sequence[Line]) -> str:
    """30 notebooks of 28 students: 12 with all points, mean 61 %"""
    graded = [line for line in lines if line.graded is not None]
    scored = [line.row.percent for line in graded if line.paper is not None]
    students = len({line.row.student for line in lines})
    full = sum(line.row.error_class == OK for line in graded)
    told = f"{wording.count(len(graded), 'notebook')} of {wording.count(students, 'student')}: {full} with all points"
    return told + (f", mean {mean(scored):.0f} %" if scored else "")


def render_summary(lines: Sequence[Line], circumstances: Circumstances) -> str:
    """The page as text."""
    papers = list({line.paper.exercise.id: line.paper for line in lines if line.paper is not None}.values())
    papers.sort(key=lambda paper: tuple(map(int, paper.exercise.id.split("."))))
    late = [line for line in lines if line.row.late == "yes"]
    look = [line for line in lines if needs_a_look(line) or (line.graded and line.graded.submission.problem)]
    missing = sum(line.row.error_class == NOT_HANDED_IN for line in lines)
    due = due_in_words(circumstances.due) if circumstances.due else ""
    careful = circumstances.broken or any(line.row.error_class == GRADER_ERROR for line in lines)
    content = {
        "title": f"Grades of a class: {circumstances.table}",
        "verdict": in_one_sentence(lines),
        "tone": "careful" if careful else "plain",
        "symbol": "! " if careful else "",
        "facts": [
            ("graded", f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"),
            ("exercises", str(len(papers))),
            ("not handed in", str(missing)),
            ("late", f"{len(late)} (due {due})" if due else "no due time given"),
            ("isolation", "strong (bubblewrap)" if circumstances.strong else "basic"),
            ("limits", circumstances.limits),
            ("time", f"{wording.duration(circumstances.seconds)}, {circumstances.jobs} at once" + _kept(lines)),
        ],
        "isolation": circumstances.isolation,
        "strong": circumstances.strong,
        "broken": [
            {"exercise": id, "check": name, "why": why}
            for id, checks in circumstances.broken.items()
            for name, why in checks.items()
        ],
        "exercises": [_exercise(paper, [line for line in lines if line.paper is paper]) for paper in papers],
        "mistakes": _mistakes(lines, papers),
        "classes": _classes(lines),
        "headings": [{"id": paper.exercise.id, "title": paper.exercise.title, "of": paper.points} for paper in papers],
        "students": _students(lines, papers, circumstances.feedback),
        "late": [_told(line, line.row.submitted.replace("T", " ")) for line in late],
        "look": [_told(line, line.row.note) for line in look],
    }
    content["table"] = circumstances.table
    return render("summary.html.jinja", page=content)


def _kept(lines: Sequence[Line]) -> str:
    kept = sum(line.graded is not None and line.graded.kept for line in lines)
    return f", {kept} kept from an earlier run" if kept else ""


def _exercise(paper: Paper, lines: Sequence[Line]) -> dict[str, Any]:
    handed = [line for line in lines if line.graded is not None]
    points = [line.row.points for line in handed]
    mistake = Counter(line.row.mistake for line in handed if line.row.mistake).most_common(1)
    passed = Counter(
        cell.name for line in handed if line.graded for cell in line.graded.judgement.cells if cell.verdict == "passed"
    )
    return {
        "name": f"{paper.exercise.id} {paper.exercise.title}",
        "handed": f"{len(handed)} of {len(lines)}",
        "mean": f"{100 * mean(points) / paper.points:.0f} %" if points else wording.NOTHING,
        "median": f"{wording.number(median(points))} of {paper.points}" if points else wording.NOTHING,
        "full": sum(value == paper.points for value in points),
        "mistake": f"{mistake[0][0].partition(': ')[2] or mistake[0][0]} ({mistake[0][1]}×)" if mistake else "",
        "bins": _bins(points, paper.points),
        "checks": _bars([(cell.title, passed[cell.name]) for cell in paper.graded], len(handed)),
        "of": len(handed),
    }


def _bins(points: Sequence[int], of: int) -> list[dict[str, Any]]:
    """How many got how many points, singly where there are few steps, else in ranges."""
    if of < MOST_BINS:
        ranges = [(value, value) for value in range(of, -1, -1)]
    else:
        edges = [round(of * part / 5) for part in range(1, 5)]
        ranges = [(of, of), *((low, high - 1) for low, high in zip(edges[::-1], [of, *edges[:0:-1]], strict=True))]
        ranges += [(1, edges[0] - 1), (0, 0)]
    names = [str(low) if low == high else f"{low} to {high}" for low, high in ranges]
    counts = [sum(low <= value <= high for value in points) for low, high in ranges]
    return _bars(list(zip(names, counts, strict=True)), max(counts, default=0))


def _bars(named: Sequence[tuple[str, int]], most: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "count": count, "width": round(100 * count / most, 1) if most else 0.0} for name, count in named
    ]


def _mistakes(lines: Sequence[Line], papers: Sequence[Paper]) -> list[dict[str, Any]]:
    """The recognised mistakes, the most common first."""
    counted = Counter((line.row.exercise, line.row.mistake) for line in lines if line.row.mistake)
    handed = Counter(line.row.exercise for line in lines if line.graded is not None)
    texts = {(paper.exercise.id, key): text for paper in papers for key, text in paper.exercise.mistakes.items()}
    return [
        {
            "exercise": exercise,
            "text": texts.get((exercise, mistake.partition(": ")[0]), mistake.replace("_", " ")),
            "count": count,
            "of": handed[exercise],
            "width": round(100 * count / handed[exercise], 1),
        }
        for (exercise, mistake), count in counted.most_common(MOST_MISTAKES)
    ]


def _classes(lines: Sequence[Line]) -> list[dict[str, Any]]:
    counted = Counter(line.row.error_class for line in lines)
    order = [name for name in ERROR_CLASSES if counted[name]]
    most = max(counted.values(), default=1)
    return [
        {"name": name, "meaning": ERROR_CLASSES[name], "count": counted[name], "width": 100 * counted[name] / most}
        for name in sorted(order, key=lambda name: (name != OK, -counted[name]))
    ]


def _students(lines: Sequence[Line], papers: Sequence[Paper], feedback: Mapping[str, str]) -> list[dict[str, Any]]:
    students: dict[str, dict[str, Line]] = {}
    for line in lines:
        # What was not recognised is listed further down.
        students.setdefault(line.row.student, {})
        if line.paper is not None:
            students[line.row.student][line.paper.exercise.id] = line
    rows = []
    for student, by_id in students.items():
        cells = [_cell(by_id.get(paper.exercise.id)) for paper in papers]
        points = sum(line.row.points for line in by_id.values())
        of = sum(line.row.max_points for line in by_id.values())
        address = "/".join(quote(part) for part in feedback[student].split("/")) if student in feedback else ""
        rows.append({"name": student, "feedback": address, "cells": cells, "total": f"{points} of {of}" if of else ""})
    return rows


def _cell(line: Line | None) -> dict[str, Any]:
    if line is None:
        return {"badge": badge("quiet", wording.NOTHING), "why": "", "late": False}
    row = line.row
    quiet = row.error_class == NOT_HANDED_IN
    shown = badge("quiet", "missing") if quiet else badge(points_tone(row.points, row.max_points), str(row.points))
    why = "" if quiet or row.error_class == OK else row.error_class
    return {"badge": shown, "why": why, "late": row.late == "yes"}


def _told(line: Line, text: str) -> dict[str, str]:
    row = line.row
    return {"student": row.student, "exercise": row.exercise, "file": row.file, "class": row.error_class, "text": text}
