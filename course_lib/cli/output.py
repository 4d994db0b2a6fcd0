"""What does each command show on the terminal?"""

import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from course_lib.batch import wording
from course_lib.batch.calibrate import Calibration
from course_lib.batch.compare import Comparison, Row
from course_lib.batch.doctor import Check
from course_lib.batch.record import RunRecord
from course_lib.batch.reference import Reference
from course_lib.batch.report import STATUSES, claims_in_short
from course_lib.batch.series import NotebookInfo
from course_lib.batch.summary import verdict, went_well
from course_lib.cli.faults import complain

STYLES = {"good": "green", "bad": "bold red", "careful": "yellow"}
WIDTH_OF_A_FILE = 140  # where the output is not a terminal
NOT_WORTH_LISTING = {"profile", "seed", "weights"}  # every notebook has these


def console(*, to_errors: bool = False) -> Console:
    """Standard output (or error); wide enough for tables where it is a file."""
    made = Console(stderr=to_errors, highlight=False)
    if not made.is_terminal:
        made.width = WIDTH_OF_A_FILE
    return made


def status_text(status: str) -> Text:
    """✓ ok"""
    shown = STATUSES[status]
    return Text(f"{shown['symbol']} {shown['word']}", style=STYLES[shown["tone"]])


def near(path: Path) -> str:
    """The path as one would type it here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def show_in_browser(page: Path) -> None:
    """Open the page; where there is no browser, say so."""
    if not webbrowser.open(page.resolve().as_uri()):
        complain(f"no browser could be opened; the report is {page}")


def show_summary(out: Console, run: RunRecord) -> None:
    """Every notebook in a line, what went wrong, and the verdict."""
    table = table_of("Notebook", "Status", "Claims", right=("Time", "Peak RAM"))
    for item in run.notebooks:
        table.add_row(
            Text(item.key),
            status_text(item.status),
            claims_in_short(item.claims),
            wording.duration(item.seconds),
            wording.size(item.peak_ram_bytes),
        )
    out.print(table)
    for item in run.notebooks:
        if item.error and item.status not in {"ok", "skipped"}:
            out.print(Text(f"{item.key}: {item.error}", style="red"), soft_wrap=True)
        for claim in item.claims:
            if claim.holds is False:
                text = f"{item.key}: fails: {claim.text}: {wording.number(claim.measured)}, bound {claim.bound}"
                out.print(Text(text, style="red"), soft_wrap=True)
    out.print(Text(verdict(run), style="bold green" if went_well(run) else "bold red"), soft_wrap=True)


def show_series(
    out: Console, infos: list[NotebookInfo], reference: Reference, here: Calibration | None, profile: str
) -> None:
    """The series, with predicted minutes on this machine or the reference machine's."""
    heading = "Minutes here" if here else "Minutes"
    table = table_of("No.", "Notebook", right=(heading, "RAM"), last=("Parameters",))
    machines = set()
    for info in infos:
        time = reference.time_of(info.name, profile)
        minutes = reference.minutes_here(info.name, profile, here) if here else time.seconds / 60 if time else None
        if time:
            machines.add(reference.machines[time.machine].description)
        parameters = {
            item.name: item.default for item in info.parameters.values() if item.name not in NOT_WORTH_LISTING
        }
        table.add_row(
            f"{info.number:02}",
            Text(info.title),
            wording.minutes(minutes),
            wording.size(time.peak_ram_bytes if time else None),
            Text(wording.settings(parameters)),
        )
    out.print(table)
    if not machines:
        out.print(f"No times were measured yet for the {profile} profile.")
    elif here:
        out.print(Text(f"Predicted for this machine by the calibration of {here.date[:10]}, {profile} profile."))
    else:
        out.print(Text(f"Measured on {'; '.join(sorted(machines))}, {profile} profile."), soft_wrap=True)
        out.print("Run `course doctor` for a prediction for this machine.")
    out.print("Every notebook also takes profile, seed and weights. Run some with: course run 01 02")


def show_check(out: Console, check: Check) -> None:
    """One finding in one line, its remedy included."""
    symbol, style = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "bold red")}[check.state]
    line = Text.assemble((f"{symbol} ", style), (f"{check.name}: ", "bold"), check.found)
    if check.remedy:
        line.append(f" → {check.remedy}", style=style)
    out.print(line, soft_wrap=True)


def show_comparison(out: Console, comparison: Comparison) -> None:
    """The comparison as tables, warnings first."""
    for warning in comparison.warnings:
        out.print(Text(f"! {warning}", style="bold yellow"), soft_wrap=True)
    _rows(out, "circumstances", comparison, comparison.circumstances)
    for item in comparison.notebooks:
        _rows(out, f"{item.name}  {item.settings}", comparison, item.rows)
    for place, names in ((comparison.before, comparison.only_before), (comparison.after, comparison.only_after)):
        for name in names:
            out.print(Text(f"only in {place}: {name}"), soft_wrap=True)


def _rows(out: Console, title: str, comparison: Comparison, rows: Iterable[Row]) -> None:
    table = table_of(title, comparison.before, comparison.after, "Difference")
    for row in rows:
        table.add_row(Text(row.name), Text(row.before), Text(row.after), Text(row.note))
    out.print(table)
    out.print()


def table_of(*left: str, right: Iterable[str] = (), last: Iterable[str] = ()) -> Table:
    """A table with columns of text, then of numbers, then of text."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns: list[tuple[str, dict[str, Any]]] = [(name, {"overflow": "fold"}) for name in left]
    columns += [(name, {"justify": "right", "no_wrap": True}) for name in right]
    columns += [(name, {"overflow": "fold"}) for name in last]
    for name, options in columns:
        table.add_column(Text(name), **options)
    return table
