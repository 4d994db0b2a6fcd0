"""How did a run go, on one page that opens from the disk, on a phone and on paper?"""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from course_lib.batch import wording
from course_lib.batch.charts import bar_chart
from course_lib.batch.files import write_atomically
from course_lib.batch.record import Claim, NotebookRecord, RunRecord, load_run
from course_lib.batch.summary import (
    RunGroup,
    busy_seconds,
    by_name,
    group_runs,
    spread_of,
    tally,
    together,
    varied_settings,
    verdict,
    went_well,
)

REPORT_FILE = "report.html"
STATUSES = {
    "ok": {"symbol": "✓", "word": "ok", "tone": "good"},
    "failed": {"symbol": "✗", "word": "failed", "tone": "bad"},
    "timeout": {"symbol": "◷", "word": "out of time", "tone": "bad"},
    "killed": {"symbol": "■", "word": "killed", "tone": "bad"},
    "skipped": {"symbol": "○", "word": "not run", "tone": "careful"},
}
VERDICTS = {
    True: {"symbol": "✓", "word": "holds", "tone": "good"},
    False: {"symbol": "✗", "word": "fails", "tone": "bad"},
    None: {"symbol": "•", "word": "only recorded", "tone": "quiet"},
}
LAST_LINES = 14
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def build_report(run: RunRecord | Path) -> Path:
    """Write report.html into the run's directory, in one step, and return its path.

    Raises RunFileError when `run` is a path without a readable run.json, OSError when the page cannot be written.
    """
    record = run if isinstance(run, RunRecord) else load_run(run)
    page = record.directory / REPORT_FILE
    write_atomically(page, render_report(record), durable=False)
    return page


def render_report(run: RunRecord) -> str:
    """The page as text. Links are made only to files that are there, inside the run's directory."""
    return render("report.html.jinja", page=_page(run))


def render(template: str, **content: Any) -> str:
    """Fill one of this folder's templates; all that is filled in is escaped, the style sheet apart."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    css = Markup((folder / "page.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(css=css, **content)


def claims_in_short(claims: Iterable[Claim]) -> str:
    """5 of 5 hold"""
    held, failed, recorded = tally(claims)
    parts = [f"{held} of {held + failed} hold"] if held or failed else []
    parts += [f"{recorded} recorded"] if recorded else []
    return ", ".join(parts) or "none"


def date_and_time(stamp: str | None) -> str:
    """2026-11-21 07:30 UTC; what is not a date is shown as it is."""
    try:
        return datetime.fromisoformat(stamp or "").strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return stamp or wording.NOTHING


def hardware_in_short(hardware: dict[str, Any]) -> str:
    """AMD EPYC, 2 cores, 24 GiB RAM, no GPU"""
    ram = hardware.get("ram_bytes")
    gpus = [str(gpu.get("name", "GPU")) if isinstance(gpu, dict) else str(gpu) for gpu in hardware.get("gpus") or []]
    parts = [
        str(hardware.get("cpu") or "unknown CPU"),
        f"{hardware['cores']} cores" if hardware.get("cores") else "",
        f"{wording.size(ram)} RAM" if isinstance(ram, int) else "",
        ", ".join(f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus)) or "no GPU",
    ]
    return ", ".join(part for part in parts if part)


def _page(run: RunRecord) -> dict[str, Any]:
    groups = by_name(group_runs(run.notebooks))
    good = went_well(run)
    running = [item for item in run.notebooks if item.status == "skipped"]
    only_unfinished = bool(running) and all(item.status in {"ok", "skipped"} for item in run.notebooks)
    tone = "good" if good else "careful" if only_unfinished else "bad"
    return {
        "title": f"Course run, {run.profile} profile, {date_and_time(run.started)}",
        "verdict": verdict(run),
        "tone": tone,
        "symbol": {"good": "✓", "careful": "○", "bad": "✗"}[tone],
        "notice": _notice(run),
        "facts": [
            ("profile", run.profile),
            ("commit", _commit(run.commit)),
            ("started", date_and_time(run.started)),
            ("time", wording.duration(busy_seconds(run))),
            ("machine", hardware_in_short(run.hardware)),
            ("at once", wording.count(run.jobs, "notebook")),
        ],
        "versions": [(name, version) for name, version in run.versions.items()],
        "command": " ".join(run.command),
        "has_vram": any(item.peak_vram_bytes for item in run.notebooks),
        "notebooks": [_notebook(run, position, *pair) for position, pair in enumerate(groups.items())],
        "charts": _charts(run),
        "footer": f"Made from run.json of {run.directory.resolve().name}; rebuild it with: course report RUN",
    }


def _notice(run: RunRecord) -> str:
    if run.state == "interrupted":
        return "This run was interrupted. Continue it with: course run --resume " + str(run.directory)
    if run.state == "running":
        return "This page was made while the run was going on."
    return ""


def _commit(commit: str | None) -> str:
    if not commit:
        return "unknown"
    name, dash, changed = commit.partition("-")
    return f"{name[:12]}{' with local changes' if dash and changed else ''}"


def _notebook(run: RunRecord, position: int, name: str, groups: list[RunGroup]) -> dict[str, Any]:
    runs = [item for group in groups for item in group.runs]
    varied = varied_settings(groups)
    shared = {key: value for key, value in groups[0].parameters.items() if key not in varied}
    headings = [_heading(group, varied) for group in groups]
    worst = next((item for item in runs if item.status not in {"ok", "skipped"}), None)
    unfinished = next((item for item in runs if item.status == "skipped"), None)
    names = list(dict.fromkeys(metric for group in groups for metric in group.records))
    records = [group.records for group in groups]
    times = spread_of(item.seconds for item in runs)
    several = max(len(group.runs) for group in groups) > 1
    return {
        "anchor": f"notebook-{position + 1}",
        "name": name,
        "title": runs[0].title or name,
        "run_count": len(runs),
        "status": STATUSES[(worst or unfinished or runs[0]).status],
        "claims_in_short": claims_in_short(claim for item in runs for claim in item.claims),
        "time": wording.duration(sum(times.values)) if times else wording.NOTHING,
        "ram": wording.size(_largest(item.peak_ram_bytes for item in runs)),
        "vram": wording.size(_largest(item.peak_vram_bytes for item in runs)),
        "varied": ", ".join(varied),
        "groups": [
            {
                "heading": heading,
                "runs": [_run(run.directory, item) for item in group.runs],
                "claims": _claims(group),
                "over_runs": f", over {len(group.runs)} runs" if len(group.runs) > 1 else "",
            }
            for group, heading in zip(groups, headings, strict=True)
        ],
        "metrics": [
            {"name": metric, "values": [together(record.get(metric, [])) for record in records]} for metric in names
        ],
        "metric_headings": headings if len(groups) > 1 else ["value"],
        "metrics_caption": "Metrics: mean ± standard deviation over the seeds" if several else "Metrics",
        "parameters": wording.settings(shared),
    }


def _heading(group: RunGroup, varied: list[str]) -> str:
    return wording.settings({name: group.parameters.get(name) for name in varied}) or "value"


def _claims(group: RunGroup) -> list[dict[str, Any]]:
    rows = []
    for claim in group.claims:
        held, judged = claim.verdicts.count(True), sum(verdict is not None for verdict in claim.verdicts)
        shown = dict(VERDICTS[claim.holds])
        if judged > 1:
            shown["word"] = f"holds in {held} of {judged}"
        rows.append(
            {
                "text": claim.text,
                "measured": claim.value,
                "bound": claim.bound,
                "paper": claim.paper or wording.NOTHING,
                "verdict": shown,
            }
        )
    return rows


def _run(directory: Path, item: NotebookRecord) -> dict[str, Any]:
    went_wrong = item.status != "ok"
    return {
        "seed": wording.number(item.seed if item.seed is not None else item.parameters.get("seed")),
        "status": STATUSES[item.status],
        "time": wording.duration(item.seconds),
        "ram": wording.size(item.peak_ram_bytes) if item.peak_ram_bytes else "",
        "vram": wording.size(item.peak_vram_bytes) if item.peak_vram_bytes else "",
        "attempts": item.attempts,
        "html": _address(directory, item.html),
        "output": _address(directory, item.output),
        "log": _address(directory, item.log),
        "error": (item.error or "") if went_wrong else "",
        "last_lines": _last_lines(directory, item) if went_wrong and item.status != "skipped" else "",
    }


def _inside(directory: Path, place: str | None) -> Path | None:
    """The file that run.json names, when it exists and lies inside the run's directory."""
    if not place:
        return None
    try:
        file = (directory / place).resolve()
        return file if file.is_relative_to(directory.resolve()) and file.is_file() else None
    except (OSError, ValueError):
        return None


def _address(directory: Path, place: str | None) -> str:
    file = _inside(directory, place)
    return "./" + quote(file.relative_to(directory.resolve()).as_posix()) if file else ""


def _last_lines(directory: Path, item: NotebookRecord) -> str:
    """The end of the traceback in the executed notebook, or else of the log."""
    text = _traceback(_inside(directory, item.output))
    if not text:
        log = _inside(directory, item.log)
        text = log.read_text(encoding="utf-8", errors="replace") if log else ""
    lines = TERMINAL_CODES.sub("", text).rstrip().splitlines()
    return "\n".join(line[:300] for line in lines[-LAST_LINES:])


def _traceback(notebook: Path | None) -> str:
    if notebook is None:
        return ""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        errors = [
            "\n".join(output.get("traceback") or [f"{output.get('ename')}: {output.get('evalue')}"])
            for cell in cells
            for output in cell.get("outputs", [])
            if output.get("output_type") == "error"
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return errors[-1] if errors else ""


def _charts(run: RunRecord) -> list[dict[str, Any]]:
    measured = [item for item in run.notebooks if item.seconds]
    if not measured:
        return []
    labels = [item.key for item in measured]
    bad = [item.status != "ok" for item in measured]
    times: list[float | None] = [item.seconds for item in measured]
    charts = [bar_chart("Time", labels, times, wording.duration, bad)]
    for title, sizes in (
        ("Peak RAM", [item.peak_ram_bytes for item in measured]),
        ("Peak VRAM", [item.peak_vram_bytes for item in measured]),
    ):
        if any(sizes):
            charts.append(bar_chart(title, labels, sizes, wording.size, bad))
    return charts


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value), default=None)
