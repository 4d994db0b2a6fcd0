"""What do the runs of a notebook say together, over seeds and settings?"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from course_lib.batch import wording
from course_lib.batch.record import Claim, NotebookRecord, RunRecord

NOT_A_SETTING = {"seed", "profile"}


@dataclass(frozen=True)
class Spread:
    """The values that one quantity took over several runs. `deviation` (n − 1) is None for a single run."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        """The mean to the decimals that its deviation's two significant digits leave: 0.917 ± 0.023."""
        if not self.deviation:
            return wording.number(self.values[0])
        decimals = 1 - math.floor(math.log10(self.deviation))
        if not 0 <= decimals <= 6:
            return f"{wording.number(self.mean)} ± {wording.number(float(f'{self.deviation:.2g}'))}"
        return f"{self.mean:.{decimals}f} ± {self.deviation:.{decimals}f}".replace("-", "−")

    @property
    def range(self) -> str:
        return f"{wording.number(min(self.values))} to {wording.number(max(self.values))}"


@dataclass
class ClaimOverRuns:
    """One claim of a notebook over its runs."""

    text: str
    bound: str
    paper: str | None
    measured: list[float | bool | None] = field(default_factory=list)
    verdicts: list[bool | None] = field(default_factory=list)

    @property
    def holds(self) -> bool | None:
        """False when it failed in any run, None when it was nowhere judged."""
        judged = [verdict for verdict in self.verdicts if verdict is not None]
        return all(judged) if judged else None

    @property
    def value(self) -> str:
        """What was measured; over several runs with the range too, since a bound is a bound for each of them."""
        spread = spread_of(self.measured)
        if spread and spread.deviation:
            return f"{spread} ({spread.range})"
        return together(self.measured)


@dataclass
class RunGroup:
    """Runs of one notebook that differ in nothing but the seed."""

    name: str
    parameters: dict[str, Any]
    runs: list[NotebookRecord]

    @property
    def records(self) -> dict[str, list[Any]]:
        """Each record's values over the runs; a record that is a dict is spread out as outer.inner."""
        values: dict[str, list[Any]] = {}
        for run in self.runs:
            for name, value in flatten(run.records):
                values.setdefault(name, []).append(value)
        return values

    @property
    def claims(self) -> list[ClaimOverRuns]:
        found: dict[str, ClaimOverRuns] = {}
        for run in self.runs:
            for claim in run.claims:
                over = found.setdefault(claim.text, ClaimOverRuns(claim.text, claim.bound, claim.paper))
                over.measured.append(claim.measured)
                over.verdicts.append(claim.holds)
        return list(found.values())


def group_runs(notebooks: Iterable[NotebookRecord]) -> list[RunGroup]:
    """The runs by notebook and settings, in their order of first appearance."""
    groups: dict[tuple[str, str], RunGroup] = {}
    for notebook in notebooks:
        parameters = {name: value for name, value in notebook.parameters.items() if name not in NOT_A_SETTING}
        key = (notebook.name, repr(sorted(parameters.items())))
        groups.setdefault(key, RunGroup(notebook.name, parameters, [])).runs.append(notebook)
    return list(groups.values())


def by_name(groups: Iterable[RunGroup]) -> dict[str, list[RunGroup]]:
    """The groups of each notebook."""
    found: dict[str, list[RunGroup]] = {}
    for group in groups:
        found.setdefault(group.name, []).append(group)
    return found


def varied_settings(groups: list[RunGroup]) -> list[str]:
    """Names of the parameters in which the groups of one notebook differ."""
    names = dict.fromkeys(name for group in groups for name in group.parameters)
    return [name for name in names if len({repr(group.parameters.get(name)) for group in groups}) > 1]


def flatten(records: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Each single value with its dotted name."""
    for name, value in records.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def spread_of(values: Iterable[Any]) -> Spread | None:
    """The spread of `values` when all of them are finite numbers, else None."""
    numbers = tuple(values)
    if numbers and all(is_number(value) for value in numbers):
        return Spread(numbers)
    return None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def together(values: list[Any]) -> str:
    """Values of several runs in one table cell: mean ± deviation, or the different values in words."""
    spread = spread_of(values)
    if spread:
        return str(spread)
    different = list(dict.fromkeys(wording.number(value) for value in values))
    return ", ".join(different) if different else wording.NOTHING


def busy_seconds(run: RunRecord) -> float | None:
    """Wall time in which notebooks ran: the union of their times, so that a pause before --resume does not count."""
    spans = []
    for notebook in run.notebooks:
        try:
            spans.append((datetime.fromisoformat(notebook.started), datetime.fromisoformat(notebook.finished)))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return sum(item.seconds or 0.0 for item in run.notebooks)
    total, end = 0.0, None
    for began, ended in sorted(spans):
        if end is None or began > end:
            total, end = total + (ended - began).total_seconds(), ended
        elif ended > end:
            total, end = total + (ended - end).total_seconds(), ended
    return total


def tally(claims: Iterable[Claim]) -> tuple[int, int, int]:
    """How many claims hold, fail, and were only recorded."""
    verdicts = [claim.holds for claim in claims]
    return verdicts.count(True), verdicts.count(False), verdicts.count(None)


def verdict(run: RunRecord) -> str:
    """The run in one sentence: "3 notebooks ran, 14 of 14 claims hold, 4 min 10 s."""
    parts = [_what_ran(run)]
    held, failed, recorded = tally(claim for notebook in run.notebooks for claim in notebook.claims)
    if held or failed:
        parts.append(f"{held} of {held + failed} claims hold")
    if recorded:
        parts.append(f"{wording.count(recorded, 'claim')} only recorded")
    parts.append(wording.duration(busy_seconds(run)))
    return ", ".join(parts) + "."


def went_well(run: RunRecord) -> bool:
    """Every notebook ran and no claim failed."""
    failed = any(claim.holds is False for notebook in run.notebooks for claim in notebook.claims)
    return bool(run.notebooks) and run.ok and not failed


def _what_ran(run: RunRecord) -> str:
    total, names = len(run.notebooks), len({notebook.name for notebook in run.notebooks})
    whole = (
        wording.count(total, "notebook") if total == names else f"{total} runs of {wording.count(names, 'notebook')}"
    )
    ran = sum(notebook.status == "ok" for notebook in run.notebooks)
    if total and ran == total:
        return f"{whole} ran" if total == names else f"{whole}, all ran"
    words = {"failed": "failed", "timeout": "ran out of time", "killed": "killed", "skipped": "not run"}
    counts = {word: sum(item.status == status for item in run.notebooks) for status, word in words.items()}
    return f"{ran} of {whole} ran, " + ", ".join(f"{amount} {word}" for word, amount in counts.items() if amount)
