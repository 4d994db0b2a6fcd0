"""What of an earlier run in the same directory still counts?"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from course_lib.batch.errors import UsageError, unknown
from course_lib.batch.files import write_atomically
from course_lib.batch.layout import Places
from course_lib.batch.plan import Spec, spec_of
from course_lib.batch.record import (
    RUN_FILE,
    NotebookRecord,
    RunFileError,
    RunRecord,
    dump_json,
    load_run,
    notebook_from_dict,
)
from course_lib.batch.series import NotebookInfo

PLAN_FILE = Path(".jobs") / "plan.json"


def mark_done(places: Places, fingerprint: str, record: NotebookRecord) -> None:
    """Keep `record` beside the fingerprint of what was run, apart from run.json, so that one can restore the other."""
    places.job.mkdir(parents=True, exist_ok=True)
    write_atomically(places.done, dump_json({"fingerprint": fingerprint, "record": asdict(record)}))


def finished_before(places: Places, fingerprint: str) -> NotebookRecord | None:
    """The record of a notebook that ended ok with this very fingerprint and still has its output; else None."""
    try:
        marker = json.loads(places.done.read_text(encoding="utf-8"))
        record = notebook_from_dict(marker["record"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = marker.get("fingerprint") == fingerprint
    return record if same and record.status == "ok" and places.output.exists() else None


def marked_records(out: Path) -> dict[str, NotebookRecord]:
    """The records of all done-markers in `out`, by key, whatever became of run.json; unreadable ones are left out."""
    records = {}
    for marker in sorted((out / ".jobs").glob("*/done.json")):
        try:
            record = notebook_from_dict(json.loads(marker.read_text(encoding="utf-8"))["record"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        records[record.key] = record
    return records


def holds_run(out: Path) -> bool:
    """Whether `out` is a run's directory, even one that was cut off while run.json was first written."""
    return (out / RUN_FILE).exists() or (out / PLAN_FILE).exists()


def save_plan(out: Path, specs: list[Spec]) -> None:
    """Remember what `out` is a run of; plans of earlier calls in the same directory are added to."""
    entries = {entry["key"]: entry for entry in _read_plan(out)}
    for spec in specs:
        entries[spec.key] = {
            "key": spec.key,
            "name": spec.name,
            "profile": spec.profile,
            "overrides": spec.overrides,
        }
    write_atomically(out / PLAN_FILE, dump_json(list(entries.values())))


def load_plan(out: Path, infos: list[NotebookInfo]) -> list[Spec]:
    """The plan of the run in `out`, for `--resume` without names; notebooks are taken as they are now.

    Raises UsageError when there is no plan, or when one of its notebooks is gone.
    """
    entries = _read_plan(out)
    if not entries:
        raise UsageError(f"nothing to resume: there is no plan of a run in {out}")
    by_name = {info.name: info for info in infos}
    specs = []
    for entry in entries:
        if entry["name"] not in by_name:
            raise unknown("notebook", entry["name"], by_name)
        info = by_name[entry["name"]]
        specs.append(spec_of(info, key=entry["key"], profile=entry["profile"], overrides=entry["overrides"]))
    return specs


def _read_plan(out: Path) -> list[dict[str, Any]]:
    try:
        return json.loads((out / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def earlier_run(out: Path, resume: bool, profile: str, notice: Callable[[str], None]) -> RunRecord | None:
    """The record that `out` holds. A damaged run.json is put aside, since the done-markers hold what it did.

    Raises UsageError when there is a run but no wish to resume, or when it was made with another profile.
    """
    file = out / RUN_FILE
    if not file.exists():
        return None
    if not resume:
        raise UsageError(f"{out} already holds a run; continue it with --resume or choose another --out")
    try:
        run = load_run(file)
    except RunFileError as error:
        aside = file.with_name(f"{RUN_FILE}.corrupt")
        os.replace(file, aside)
        notice(f"{error}. It was moved to {aside.name}, and its content is rebuilt from the finished notebooks")
        return None
    if run.profile != profile:
        raise UsageError(f"the run in {out} was made with profile {run.profile}, not {profile}; choose another --out")
    return run
