"""What of an earlier run in the same directory still counts?"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from course_lib.batch.errors import UsageError
from course_lib.batch.files import write_atomically
from course_lib.batch.layout import Places
from course_lib.batch.record import (
    RUN_FILE,
    NotebookRecord,
    RunFileError,
    RunRecord,
    dump_json,
    load_run,
    notebook_from_dict,
)


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
