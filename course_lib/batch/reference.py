"""How long does each notebook take, and how much memory, on the machine where the series was measured?

`reference_times.json` is written by `update_reference` from a real run, never by hand.
"""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from course_lib.batch.calibrate import Calibration, calibration_from, machine_factor, predict_minutes
from course_lib.batch.errors import UsageError
from course_lib.batch.files import write_atomically
from course_lib.batch.record import RunRecord
from course_lib.batch.summary import by_name, group_runs, went_well

REFERENCE_FILE = Path(__file__).with_name("reference_times.json")
SCHEMA = 1


@dataclass(frozen=True)
class ReferenceTime:
    """One notebook in one profile. machine: the fingerprint of the calibration that belongs to it."""

    seconds: float
    peak_ram_bytes: int | None
    peak_vram_bytes: int | None
    machine: str
    date: str
    commit: str | None = None


@dataclass
class Reference:
    """times[notebook][profile], and the calibration of each machine that they were measured on."""

    times: dict[str, dict[str, ReferenceTime]] = field(default_factory=dict)
    machines: dict[str, Calibration] = field(default_factory=dict)

    def time_of(self, notebook: str, profile: str) -> ReferenceTime | None:
        return self.times.get(notebook, {}).get(profile)

    def minutes_here(self, notebook: str, profile: str, here: Calibration | None) -> float | None:
        """Predicted minutes on the machine of `here`; None when nothing is known about the notebook or the machine."""
        time = self.time_of(notebook, profile)
        if time is None or here is None:
            return None
        factor = machine_factor(here, self.machines[time.machine], profile)
        return None if factor is None else predict_minutes(time.seconds, factor)


def load_reference(file: Path | None = None) -> Reference:
    """The stored reference; an empty one where none was measured yet. Raises UsageError when the file is damaged."""
    file = file or REFERENCE_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, expected {SCHEMA}")
        reference = Reference(
            {
                name: {profile: ReferenceTime(**time) for profile, time in profiles.items()}
                for name, profiles in content["times"].items()
            },
            {machine: calibration_from(entry) for machine, entry in content["machines"].items()},
        )
        missing = _machines_in_use(reference) - reference.machines.keys()
        if missing:
            raise ValueError(f"no calibration of machine {', '.join(sorted(missing))}")
    except FileNotFoundError:
        return Reference()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} cannot be read: {error!r}; restore it from the project's history") from error
    return reference


def update_reference(run: RunRecord, calibration: Calibration, file: Path | None = None) -> Reference:
    """Store the times and memory of `run`, made on the machine of `calibration`; other entries are kept.

    Several seeds of a notebook count by their median time and largest memory. Raises UsageError for a run that is not
    wholly well, whose notebooks shared the machine (--jobs), or that swept settings: none of these times is typical.
    """
    file = file or REFERENCE_FILE
    groups = group_runs(run.notebooks)
    if not went_well(run):
        raise UsageError("reference times are taken only from a run in which all notebooks ran and all claims hold")
    if run.jobs != 1:
        raise UsageError(f"reference times need --jobs 1, this run had {run.jobs} notebooks at once")
    for name, of_notebook in by_name(groups).items():
        if len(of_notebook) > 1:
            raise UsageError(f"reference times are those of the default settings; {name} was run with several")
    reference = load_reference(file)
    for group in groups:
        reference.times.setdefault(group.name, {})[run.profile] = ReferenceTime(
            seconds=round(statistics.median(item.seconds or 0.0 for item in group.runs), 1),
            peak_ram_bytes=max((item.peak_ram_bytes for item in group.runs if item.peak_ram_bytes), default=None),
            peak_vram_bytes=max((item.peak_vram_bytes for item in group.runs if item.peak_vram_bytes), default=None),
            machine=calibration.machine,
            date=(run.finished or calibration.date)[:10],
            commit=run.commit,
        )
    reference.machines[calibration.machine] = calibration
    used = _machines_in_use(reference)
    reference.machines = {name: entry for name, entry in reference.machines.items() if name in used}
    content = {
        "schema": SCHEMA,
        "times": {
            name: {profile: asdict(time) for profile, time in sorted(profiles.items())}
            for name, profiles in sorted(reference.times.items())
        },
        "machines": {name: asdict(entry) for name, entry in reference.machines.items()},
    }
    write_atomically(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return reference


def _machines_in_use(reference: Reference) -> set[str]:
    return {time.machine for profiles in reference.times.values() for time in profiles.values()}
