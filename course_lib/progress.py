"""What has this learner done so far? One line of JSON for each event, in one file outside the course's folder.

The file is COURSE_PROGRESS_FILE, or progress.jsonl in the user's data folder, so that it outlives an upgrade of the
course. Lines are only ever appended. What cannot be read (a torn line, a kind or schema of a later version) is left
where it is and not counted, and a file that cannot be written costs one warning, never the lesson.
"""

import contextlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows: there, two kernels that write in the same instant are not kept apart
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
FILE_VARIABLE = "COURSE_PROGRESS_FILE"
KINDS = ("check", "hint", "step", "reset", "recall", "prediction", "opened")
LONGEST_WAIT_FOR_LOCK = 1.0  # seconds; then the line is appended all the same


@dataclass(frozen=True)
class Event:
    """Something a learner did. subject: an exercise such as "02.1", or a lesson such as "02_bahdanau_attention"."""

    kind: str
    subject: str
    payload: dict[str, Any]
    time: str = ""


@dataclass
class ExerciseProgress:
    """How far one exercise has come. best and of: the properties that held in the best attempt, and all there were."""

    attempts: int = 0
    best: int = 0
    of: int = 0
    passed: bool = False
    first_passed: str | None = None
    hints_used: int = 0
    steps_used: list[str] = field(default_factory=list)
    opened: bool = False

    @property
    def begun(self) -> bool:
        return bool(self.opened or self.attempts or self.hints_used or self.steps_used)


@dataclass
class LessonProgress:
    """Retrieval questions known of those answered, and predictions right of those that can be, and of all made."""

    known: int = 0
    asked: int = 0
    right: int = 0
    judged: int = 0
    made: int = 0


# What could not be written, or was not to be: so that within one session a hint still leads to the next.
_kept_in_memory: list[Event] = []
_warned: set[str] = set()


def progress_file() -> Path:
    """COURSE_PROGRESS_FILE, or progress.jsonl in the user's data folder."""
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("course", appauthor=False)) / "progress.jsonl"


def is_kept() -> bool:
    """Whether a person is there whose progress it is: not in a batch, a worker that grades, or this project's tests."""
    if os.environ.get("COURSE_MODE") == "batch" or os.environ.get("COURSE_RECORD_FILE"):
        return False
    if os.environ.get("COURSE_ANSWERING") == "1":
        return False
    return bool(os.environ.get(FILE_VARIABLE)) or "PYTEST_CURRENT_TEST" not in os.environ


def note(kind: str, subject: str, **payload: Any) -> None:
    """Append one event. Whatever is wrong with the file, nothing is raised: it is told once, and kept in memory.

    Raises ValueError for a kind that is not among KINDS.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of event {kind!r}; choose from {', '.join(KINDS)}")
    event = Event(kind, subject, payload, datetime.now(UTC).isoformat(timespec="seconds"))
    if not is_kept():
        _kept_in_memory.append(event)
        return
    path = progress_file()
    line = {"schema": SCHEMA, "time": event.time, "kind": kind, "subject": subject, "payload": payload}
    try:
        _append(path, json.dumps(line))
    except OSError as error:
        _kept_in_memory.append(event)
        if str(path) not in _warned:
            _warned.add(str(path))
            reason = error.strerror or str(error)
            message = f"your progress is not being kept: {path}: {reason}; the lesson works without it"
            warnings.warn(message, stacklevel=2)


def events() -> list[Event]:
    """All events in their order. Lines that cannot be read, or are of a later version, are passed over."""
    return [*(_read(progress_file()) if is_kept() else []), *_kept_in_memory]


def exercise_progress(id: str, among: Sequence[Event] | None = None) -> ExerciseProgress:
    """How far the exercise `id` has come, by `among` or all events. Only checks of the whole exercise are attempts."""
    progress = ExerciseProgress()
    for event in events() if among is None else among:
        payload = event.payload
        if event.subject != id:
            continue
        if event.kind == "check" and not payload.get("check"):
            held, of = _number(payload.get("held")), _number(payload.get("of"))
            progress.attempts += 1
            if of and (not progress.of or held / of >= progress.best / progress.of):
                progress.best, progress.of = held, of
            if of and held == of and not progress.passed:
                progress.passed, progress.first_passed = True, event.time
        elif event.kind == "opened":
            progress.opened = True
        elif event.kind == "hint":
            progress.hints_used = max(progress.hints_used, _number(payload.get("number")))
        elif event.kind == "step" and (kind := str(payload.get("step"))) not in progress.steps_used:
            progress.steps_used.append(kind)
    return progress


def lesson_progress(lesson: str, among: Sequence[Event] | None = None) -> LessonProgress:
    """Retrieval questions by their latest answer, predictions by their first: a guess after the result is none."""
    recalled: dict[Any, bool] = {}
    predicted: dict[Any, Any] = {}
    for event in events() if among is None else among:
        if event.subject != lesson:
            continue
        question = str(event.payload.get("question"))
        if event.kind == "recall":
            recalled[question] = event.payload.get("known") is True
        elif event.kind == "prediction":
            predicted.setdefault(question, event.payload.get("right"))
    judged = [right for right in predicted.values() if right is not None]
    return LessonProgress(
        known=sum(recalled.values()),
        asked=len(recalled),
        right=sum(right is True for right in judged),
        judged=len(judged),
        made=len(predicted),
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _read(path: Path) -> list[Event]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []  # there is none yet; that it cannot be written is told when something is noted
    return [event for line in lines if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    try:
        entry = json.loads(line)
        known = entry["schema"] == SCHEMA and entry["kind"] in KINDS and isinstance(entry["payload"], dict)
        return Event(entry["kind"], str(entry["subject"]), entry["payload"], str(entry["time"])) if known else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        with _locked(handle):
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n" if hasattr(os, "pread") else False
            # After a line that a crash tore, begin a new one, so that this one can be read.
            data = ("\n" * torn + line + "\n").encode()
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Hold the file against another kernel. A file system without locks, or a stuck holder, stops nobody for long."""
    deadline = time.monotonic() + LONGEST_WAIT_FOR_LOCK
    while fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        except OSError:
            break
    yield  # closing the file drops the lock
