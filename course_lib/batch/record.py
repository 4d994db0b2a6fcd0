"""What came out of a run, and how is it kept in run.json?

Schema 1. Paths in it are relative to the run directory. A number that JSON cannot hold (nan, inf) is stored as null.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from course_lib.batch.files import resolve_latest, write_atomically

SCHEMA = 1
RUN_FILE = "run.json"
Status = Literal["ok", "failed", "timeout", "killed", "skipped"]
STATUSES: tuple[str, ...] = get_args(Status)
Entry = TypeVar("Entry")


class RunFileError(ValueError):
    """A run.json that is missing, damaged, or of another schema."""


@dataclass
class Claim:
    """One measured claim. `holds` is None where it was only recorded (smoke profile)."""

    text: str
    measured: float | int | bool | None
    bound: str
    paper: str | None = None
    holds: bool | None = None


@dataclass
class NotebookRecord:
    """One notebook's run. Everything a notebook did not reach is None or empty.

    seconds: wall time of the last attempt, kernel start included. peak_ram_bytes: of the kernel and its children.
    cell_seconds: time of each executed code cell, in order. cells_done, cells: code cells finished and in total.
    error: one line. A notebook that has not finished is listed as "skipped" with an error that says why.
    """

    key: str
    name: str
    status: Status = "skipped"
    title: str = ""
    seconds: float | None = None
    peak_ram_bytes: int | None = None
    peak_vram_bytes: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    records: dict[str, Any] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    error: str | None = None
    attempts: int = 0
    gpu: str | None = None
    started: str | None = None
    finished: str | None = None
    cells: int = 0
    cells_done: int = 0
    cell_seconds: list[float] = field(default_factory=list)
    output: str | None = None
    html: str | None = None
    log: str | None = None


@dataclass
class RunRecord:
    """A whole run. state: "running", "finished" or "interrupted" ("running" without a runner = it was killed).

    directory is where the record was read or is written; it is not part of the file.
    """

    profile: str
    commit: str | None = None
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notebooks: list[NotebookRecord] = field(default_factory=list)
    run_id: str = ""
    state: Literal["running", "finished", "interrupted"] = "running"
    started: str | None = None
    finished: str | None = None
    command: list[str] = field(default_factory=list)
    jobs: int = 1
    schema: int = SCHEMA
    directory: Path = Path()

    def to_dict(self) -> dict[str, Any]:
        content = asdict(self)
        del content["directory"]
        return {"schema": content.pop("schema"), **content}

    @property
    def ok(self) -> bool:
        """All notebooks ran and all their claims hold."""
        return all(notebook.status == "ok" for notebook in self.notebooks)


def save_run(run: RunRecord) -> None:
    """Write run.json into the run's directory, atomically. Raises OSError with the old file intact."""
    write_atomically(run.directory / RUN_FILE, dump_json(run.to_dict()))


def load_run(path: Path) -> RunRecord:
    """Read a run from its directory, its run.json or runs/latest. Raises RunFileError; unknown keys are ignored."""
    path = resolve_latest(Path(path))
    file = path / RUN_FILE if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFileError(f"no run at {path}: {file} is missing; give a run directory such as runs/latest") from None
    except (OSError, ValueError) as error:
        if file.name != RUN_FILE:
            raise RunFileError(f"{file} is no {RUN_FILE}; give a run directory such as runs/latest") from error
        raise RunFileError(f"{file} cannot be read: {error}; continue that run with --resume to rebuild it") from error
    return run_from_dict(content, file)


def run_from_dict(content: Any, file: Path) -> RunRecord:
    """The record that `content`, read from `file`, holds. Raises RunFileError."""
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise RunFileError(f"{file} has schema {found}, this version reads schema {SCHEMA}")
    try:
        notebooks = [notebook_from_dict(item) for item in content["notebooks"]]
        return _made(RunRecord, {**content, "notebooks": notebooks, "directory": file.parent})
    except (KeyError, TypeError, ValueError) as error:
        raise RunFileError(f"{file} is not a whole run record: {error!r}") from error


def notebook_from_dict(content: Any) -> NotebookRecord:
    """The inverse of `asdict`; keys of later versions are ignored. Raises KeyError, TypeError or ValueError."""
    if not isinstance(content, dict):
        raise TypeError(f"expected a notebook's record, got {content!r}")
    if content.get("status") not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {content.get('status')!r}")
    claims = [_made(Claim, claim) for claim in content.get("claims", [])]
    return _made(NotebookRecord, {"key": content["name"], **content, "claims": claims})


def read_record_file(path: Path) -> tuple[dict[str, Any], list[Claim], list[str]]:
    """Records, claims and complaints from the JSON lines that a notebook wrote.

    A last line without its end (the notebook was killed while writing) is dropped; any other bad line is complained of.
    """
    records: dict[str, Any] = {}
    claims: list[Claim] = []
    complaints: list[str] = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return records, claims, complaints
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            entry = json.loads(line)
            if entry["kind"] == "record":
                records[entry["name"]] = entry["value"]
            elif entry["kind"] == "claim":
                claims.append(_made(Claim, entry))
        except (ValueError, KeyError, TypeError) as error:
            complaints.append(f"line {number} of {path.name} is not a record: {error!r}")
    return records, claims, complaints


def dump_json(content: Any) -> str:
    """Strict JSON, indented; nan and inf become null."""
    return json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _made(kind: type[Entry], content: Any) -> Entry:
    """A `kind` of what `content` has for its fields. Raises TypeError for what is missing or of another type."""
    if not isinstance(content, dict):
        raise TypeError(f"expected a {kind.__name__}, got {content!r}")
    hints = get_type_hints(kind)
    known = {name: value for name, value in content.items() if name in hints}
    for name, value in known.items():
        if not _fits(value, hints[name]):
            raise TypeError(f"{name} is {value!r}")
    return kind(**known)


def _fits(value: Any, hint: Any) -> bool:
    """Whether `value` has the type that a field is annotated with; what is inside a list or dict is not looked at."""
    origin = get_origin(hint) or hint
    if origin is UnionType:
        return any(_fits(value, choice) for choice in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin is float:
        return isinstance(value, int | float)
    return origin is Any or isinstance(value, origin)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
