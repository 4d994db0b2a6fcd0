"""What came out for one notebook? Plain data, kept as JSON, so that grading can go on where it stopped."""

import contextlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

SCHEMA = 1
OK, NOT_WRITTEN, WRONG, EXCEPTION = "ok", "not written", "wrong answer", "exception"
OUT_OF_TIME, OUT_OF_MEMORY, TOO_MANY_PROCESSES, DIED = "time limit", "memory limit", "process limit", "process died"
GRADER_ERROR, NOT_HANDED_IN = "grader error", "not handed in"
# In this order: of several, the first tells best what happened.
ERROR_CLASSES = {
    OK: "all points",
    GRADER_ERROR: "a check of the course itself is broken, or the grader is: look into it, the student is not at fault",
    OUT_OF_MEMORY: "it used more memory than it may",
    OUT_OF_TIME: "it took longer than it may, perhaps for ever",
    TOO_MANY_PROCESSES: "it started more processes than it may",
    DIED: "its process ended, by itself or by a crash",
    EXCEPTION: "the student's code raised an error",
    WRONG: "it runs, and the answer is wrong",
    NOT_WRITTEN: "nothing was written yet",
    NOT_HANDED_IN: "others handed this exercise in",
    "not a notebook": "the file is something else",
    "empty file": "the file has no content",
    "damaged file": "the file breaks off or cannot be unpacked",
    "wrong encoding": "the file is not UTF-8",
    "old format": "the notebook is not of format 4",
    "too large": "the file is larger than any notebook should be",
    "unknown exercise": "it could not be told which exercise this is",
}
Verdict = Literal["passed", "failed", "raised", "missing", "unwritten", "not judged"]


@dataclass
class Value:
    """A value as it is shown: `kind` such as "float32 [2, 3]", `text` its numbers."""

    name: str
    kind: str
    text: str


@dataclass
class CellResult:
    """What one graded cell gave.

    found: what was measured, for the student's eyes. hidden: whether only a test that is not shown failed; `detail`
    then says which, for the instructor's eyes and never for a page.
    """

    name: str
    title: str
    points: int
    max_points: int
    verdict: Verdict
    error_class: str = OK
    found: str = ""
    where: str = ""
    example: list[Value] = field(default_factory=list)
    answer: Value | None = None
    mistake: str | None = None
    hint: str = ""
    hidden: bool = False
    detail: str = ""


@dataclass
class Ran:
    """What one of the student's own cells printed and raised. index: its place in the notebook."""

    index: int
    stdout: str = ""
    stderr: str = ""
    error: str = ""
    text: str = ""
    traceback: str = ""
    seconds: float = 0.0


@dataclass
class Judgement:
    """All that running and judging one notebook gave. problem: what befell the grader itself, or ""."""

    cells: list[CellResult]
    ran: list[Ran] = field(default_factory=list)
    ended: str = ""
    isolation: str = ""
    seconds: float = 0.0
    problem: str = ""

    @property
    def points(self) -> int:
        return sum(cell.points for cell in self.cells)

    @property
    def max_points(self) -> int:
        return sum(cell.max_points for cell in self.cells)

    @property
    def error_class(self) -> str:
        """The one that tells best what happened: of the cells that gave no points."""
        there = {cell.error_class for cell in self.cells} - {OK}
        return next((name for name in ERROR_CLASSES if name in there), OK)

    @property
    def mistake(self) -> tuple[str, str]:
        """The key and the hint of the first mistake that was recognised, or two empty texts."""
        return next(((cell.mistake, cell.hint) for cell in self.cells if cell.mistake), ("", ""))


def save(path: Path, key: str, judgement: Judgement) -> None:
    """Keep a judgement under the key of all it depends on, in one step. Raises OSError."""
    from course_lib.batch.files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"schema": SCHEMA, "key": key, "judgement": asdict(judgement)}, ensure_ascii=True)
    write_atomically(path, text, durable=False)


def load(path: Path, key: str) -> Judgement | None:
    """The judgement kept at `path` if it was made under this very key; None for any other, damaged or absent one."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["schema"] == SCHEMA and kept["key"] == key:
            return _judgement(kept["judgement"])
    return None


def _judgement(data: dict[str, Any]) -> Judgement:
    cells = [_cell(cell) for cell in data["cells"]]
    return _made(Judgement, {**data, "cells": cells, "ran": [_made(Ran, ran) for ran in data["ran"]]})


def _cell(data: dict[str, Any]) -> CellResult:
    answer = data["answer"]
    example = [_made(Value, value) for value in data["example"]]
    return _made(CellResult, {**data, "example": example, "answer": answer and _made(Value, answer)})


def _made(kind: type, data: dict[str, Any]) -> Any:
    if set(data) != {item.name for item in fields(kind)}:
        raise ValueError(f"this is no {kind.__name__}")
    return kind(**data)
