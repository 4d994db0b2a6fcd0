"""What does a running batch tell whoever watches it?"""

from dataclasses import dataclass

from course_lib.batch.record import NotebookRecord


@dataclass(frozen=True)
class JobStarted:
    """A notebook's process was started. `time` is seconds since the epoch, as in every event."""

    key: str
    attempt: int
    gpu: str | None
    time: float


@dataclass(frozen=True)
class CellStarted:
    """Code cell `number` (from 1) of `total` began; `source` is its first line of code."""

    key: str
    number: int
    total: int
    source: str
    time: float


@dataclass(frozen=True)
class CellFinished:
    key: str
    number: int
    total: int
    seconds: float
    time: float


@dataclass(frozen=True)
class JobRetried:
    """An attempt was lost to the infrastructure (dead kernel, timeout, lost process) and is made again."""

    key: str
    attempt: int
    error: str
    time: float


@dataclass(frozen=True)
class JobFinished:
    """A notebook has its final record. `resumed`: it was finished by an earlier runner and not run again."""

    key: str
    record: NotebookRecord
    resumed: bool
    time: float


@dataclass(frozen=True)
class Notice:
    """One line that the user should read (a rebuilt run.json, a failed HTML export, a second chance to stop)."""

    text: str
    time: float


Event = JobStarted | CellStarted | CellFinished | JobRetried | JobFinished | Notice
