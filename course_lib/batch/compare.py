"""What changed from one run to another, and is it more than chance?"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib.batch import wording
from course_lib.batch.files import write_atomically
from course_lib.batch.record import NotebookRecord, RunRecord
from course_lib.batch.report import STATUSES, hardware_in_short, render
from course_lib.batch.summary import RunGroup, Spread, by_name, group_runs, spread_of, together

# Two-sided 95 % points of Student's t by degrees of freedom; the last one serves for all larger numbers.
STUDENT_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11)


@dataclass(frozen=True)
class Row:
    """One quantity in both runs. `note` says how to take the difference."""

    name: str
    before: str
    after: str
    note: str = ""


@dataclass
class NotebookComparison:
    """One notebook with one set of settings, as far as both runs have it."""

    name: str
    settings: str
    rows: list[Row] = field(default_factory=list)


@dataclass
class Comparison:
    """Everything that `course compare` says. `warnings`: why numbers of the two runs should not be put side by side."""

    before: str
    after: str
    warnings: list[str]
    circumstances: list[Row]
    notebooks: list[NotebookComparison]
    only_before: list[str]
    only_after: list[str]


def compare(before: RunRecord, after: RunRecord) -> Comparison:
    """Notebook by notebook: status, time, memory, claims and records, seeds pooled; and what surrounds the runs.

    Settings decide which runs belong together; where a notebook has just one set of settings in each run, and they are
    not the same, these two are compared and the difference is named.
    """
    pairs, only_before, only_after = _pairs(group_runs(before.notebooks), group_runs(after.notebooks))
    same_profile = before.profile == after.profile
    warnings = []
    if not same_profile:
        warnings.append(
            f"not comparable: the profiles differ ({before.profile} and {after.profile}), so sizes and data do too"
        )
    if not pairs:
        warnings.append("not comparable: the runs have no notebook with the same settings in common")
    if _speed_decides(before.hardware) != _speed_decides(after.hardware):
        warnings.append("the machines differ: times and memory tell about the machines, not about the change")
    elif before.jobs != after.jobs:
        warnings.append(f"{before.jobs} and {after.jobs} notebooks ran at once: times are not comparable")
    return Comparison(
        before=_label(before),
        after=_label(after),
        warnings=warnings,
        circumstances=_circumstances(before, after),
        notebooks=[_compare_groups(*pair, judge=same_profile) for pair in pairs],
        only_before=only_before,
        only_after=only_after,
    )


def render_comparison(comparison: Comparison) -> str:
    """The comparison as one self-contained page."""
    return render("compare.html.jinja", comparison=comparison)


def write_comparison(comparison: Comparison, page: Path) -> None:
    """Write the page, in one step. Raises OSError when it cannot be written."""
    write_atomically(page, render_comparison(comparison), durable=False)


def judge_difference(before: Spread, after: Spread) -> str:
    """The change of the mean, and whether it is beyond the spread over seeds (Welch's interval at 95 %)."""
    change = after.mean - before.mean
    if before.values == after.values:
        return "same"
    shown = f"{'+' if change > 0 else ''}{wording.number(float(f'{change:.3g}'))}"
    if before.deviation is None or after.deviation is None:
        return f"{shown}; one run only, so the spread is unknown"
    interval = _welch_interval(before, after)
    return f"{shown}; {'beyond' if abs(change) > interval else 'within'} the spread over seeds (±{interval:.2g})"


def _welch_interval(before: Spread, after: Spread) -> float:
    parts = [((spread.deviation or 0.0) ** 2 / len(spread.values), len(spread.values)) for spread in (before, after)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / (amount - 1) for part, amount in parts)
    return STUDENT_T[min(math.floor(freedom), len(STUDENT_T)) - 1] * math.sqrt(variance)


def _pairs(
    before: list[RunGroup], after: list[RunGroup]
) -> tuple[list[tuple[RunGroup, RunGroup]], list[str], list[str]]:
    pairs, only_before, only_after = [], [], []
    groups_before, groups_after = by_name(before), by_name(after)
    for name in dict.fromkeys([*groups_before, *groups_after]):
        left, right = groups_before.get(name, []), groups_after.get(name, [])
        same = [(a, b) for a in left for b in right if a.parameters == b.parameters]
        left = [group for group in left if all(group is not a for a, _ in same)]
        right = [group for group in right if all(group is not b for _, b in same)]
        if len(left) == len(right) == 1 and not same:
            same, left, right = [(left[0], right[0])], [], []
        pairs += same
        only_before += [_named(group) for group in left]
        only_after += [_named(group) for group in right]
    return pairs, only_before, only_after


def _compare_groups(before: RunGroup, after: RunGroup, *, judge: bool) -> NotebookComparison:
    rows = [Row("status", _statuses(before.runs), _statuses(after.runs))]
    if _seeds(before.runs) != _seeds(after.runs) or len(before.runs) > 1:
        rows.append(Row("seeds", _seeds(before.runs), _seeds(after.runs)))
    for name in dict.fromkeys([*before.parameters, *after.parameters]):
        old, new = (
            wording.number(group.parameters[name]) if name in group.parameters else "absent"
            for group in (before, after)
        )
        if before.parameters.get(name) != after.parameters.get(name):
            rows.append(Row(f"setting {name}", old, new, "differs"))
    rows.append(_ratio("time", before, after, "seconds", wording.duration))
    rows.append(_ratio("peak RAM", before, after, "peak_ram_bytes", wording.size))
    if any(run.peak_vram_bytes for run in [*before.runs, *after.runs]):
        rows.append(_ratio("peak VRAM", before, after, "peak_vram_bytes", wording.size))
    rows += _claim_rows(before, after)
    records_before, records_after = before.records, after.records
    for name in dict.fromkeys([*records_before, *records_after]):
        rows.append(_record_row(name, records_before.get(name, []), records_after.get(name, []), judge))
    return NotebookComparison(before.name, wording.settings(before.parameters), rows)


def _claim_rows(before: RunGroup, after: RunGroup) -> Iterable[Row]:
    claims_before = {claim.text: claim for claim in before.claims}
    claims_after = {claim.text: claim for claim in after.claims}
    words = {True: "holds", False: "fails", None: "only recorded"}
    for text in dict.fromkeys([*claims_before, *claims_after]):
        left, right = claims_before.get(text), claims_after.get(text)
        old, new = (f"{claim.value}, {words[claim.holds]}" if claim else "absent" for claim in (left, right))
        note = ""
        if left and right:
            if left.holds != right.holds:
                note = {True: "now holds", False: "now fails", None: "no longer judged"}[right.holds]
            if left.bound != right.bound:
                note = f"{note}; the bound was {left.bound}, is {right.bound}".removeprefix("; ")
        yield Row(f"claim: {text}", old, new, note)


def _record_row(name: str, before: list[Any], after: list[Any], judge: bool) -> Row:
    old, new = (together(values) if values else "absent" for values in (before, after))
    spread_before, spread_after = spread_of(before), spread_of(after)
    if not before or not after:
        note = ""
    elif not judge:
        note = "not comparable"
    elif spread_before and spread_after:
        note = judge_difference(spread_before, spread_after)
    else:
        note = "same" if before == after else "differs"
    return Row(f"record {name}", old, new, note)


def _ratio(label: str, before: RunGroup, after: RunGroup, field_name: str, in_words: Callable[[float], str]) -> Row:
    left, right = (spread_of(getattr(run, field_name) for run in group.runs) for group in (before, after))
    old, new = (in_words(spread.mean) if spread else wording.NOTHING for spread in (left, right))
    note = f"× {right.mean / left.mean:.2f}" if left and right and left.mean > 0 else ""
    if note and any(run.status != "ok" for run in [*before.runs, *after.runs]):
        note = "not comparable: not all ran to the end"
    return Row(label, old, new, note)


def _circumstances(before: RunRecord, after: RunRecord) -> list[Row]:
    """What the runs were made with and on; only what differs, and what identifies them."""
    rows = [
        Row("profile", before.profile, after.profile),
        Row("commit", before.commit or "unknown", after.commit or "unknown"),
        Row("machine", hardware_in_short(before.hardware), hardware_in_short(after.hardware)),
    ]
    rows = [Row(row.name, row.before, row.after, "same" if row.before == row.after else "differs") for row in rows]
    for name in sorted({*before.versions, *after.versions}):
        old, new = (str(run.versions.get(name, "absent")) for run in (before, after))
        if old != new:
            rows.append(Row(f"version of {name}", old, new, "differs"))
    return rows


def _label(run: RunRecord) -> str:
    return run.directory.resolve().name or str(run.directory)


def _named(group: RunGroup) -> str:
    shown = wording.settings(group.parameters)
    return f"{group.name} ({shown})" if shown else group.name


def _statuses(runs: list[NotebookRecord]) -> str:
    words = [str(STATUSES[run.status]["word"]) for run in runs]
    if len(set(words)) == 1:
        return words[0] if len(words) == 1 else f"{words[0]} ({len(words)} runs)"
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _seeds(runs: list[NotebookRecord]) -> str:
    return ", ".join(wording.number(run.parameters.get("seed", run.seed)) for run in runs)


def _speed_decides(hardware: dict[str, Any]) -> tuple[Any, ...]:
    return hardware.get("cpu"), hardware.get("cores"), repr(hardware.get("gpus"))
