"""How does `course run` find what to do, show that it is being done, and tell how it went?"""

import contextlib
import sys
from pathlib import Path
from typing import Any

import typer

from course_lib.batch.calibrate import cached_calibration, calibrate, save_calibration
from course_lib.batch.engine import RunResult, run_batch
from course_lib.batch.errors import UsageError
from course_lib.batch.events import Event, JobFinished
from course_lib.batch.files import new_run_directory, resolve_latest
from course_lib.batch.hardware import default_jobs
from course_lib.batch.plan import Spec, make_plan
from course_lib.batch.record import RunFileError, load_run
from course_lib.batch.reference import REFERENCE_FILE, load_reference, update_reference
from course_lib.batch.report import build_report
from course_lib.batch.resume import load_plan
from course_lib.batch.series import NotebookInfo, select
from course_lib.batch.summary import went_well
from course_lib.cli.arguments import LATEST, RUNS, run_place
from course_lib.cli.faults import ALL_WELL, INTERRUPTED, SOMETHING_FAILED, complain
from course_lib.cli.output import console, near, show_in_browser, show_summary
from course_lib.cli.progress import Watcher


def run_to_resume(resume: str | None, out: Path | None) -> Path | None:
    """The directory of the run to continue, or None for a new run. Raises UsageError when there is no such run."""
    if resume is None:
        return None
    place = out if out is not None and resume == LATEST else run_place(resume)
    if out is not None and place.resolve() != out.resolve():
        raise UsageError(f"--resume {resume} and --out {out} name two runs; give one of them")
    if place.name == "run.json":
        place = place.parent
    directory = resolve_latest(place).resolve()
    if not directory.is_dir():
        raise UsageError(f"nothing to resume: there is no run at {place}")
    return directory


def plan_runs(
    infos: list[NotebookInfo], names: list[str], profile: str | None, earlier: Path | None, **asked: Any
) -> list[Spec]:
    """What to run: as asked, or, when nothing is named for an earlier run, that run's own plan.

    asked: parameters, sweep and seeds as `make_plan` takes them. The profile is by default the earlier run's, or cpu.
    """
    if earlier is not None and not names and profile is None and not any(asked.values()):
        return load_plan(earlier, infos)
    if profile is None and earlier is not None:
        with contextlib.suppress(RunFileError):  # the engine says so, and rebuilds run.json
            profile = load_run(earlier).profile
    return make_plan(select(infos, names or ["all"]), profile=profile or "cpu", **asked)


def watched_run(
    specs: list[Spec], earlier: Path | None, out: Path | None, *, jobs: int | None, **options: Any
) -> RunResult:
    """Run the batch in its directory, draw its progress, and keep the report page up to date."""
    was_there = earlier is not None or (out is not None and out.exists())
    directory = earlier or out or new_run_directory(RUNS, specs[0].profile)
    gpus = options["gpus"]
    with Watcher(specs, _expected_seconds(specs), jobs or default_jobs(len(gpus or [])), console()) as watcher:

        def on_event(event: Event) -> None:
            watcher.on_event(event)
            if isinstance(event, JobFinished):
                # Only so that one can look already: it is made again at the end, and there it must succeed.
                with contextlib.suppress(OSError, RunFileError):
                    build_report(directory)

        try:
            return run_batch(
                specs,
                directory,
                jobs=jobs,
                resume=earlier is not None,
                on_event=on_event,
                latest=RUNS / LATEST,
                command=["course", *sys.argv[1:]],
                **options,
            )
        except BaseException:
            if not was_there:
                with contextlib.suppress(OSError):
                    directory.rmdir()  # which only succeeds if nothing was written to it
            raise


def conclude(result: RunResult, open_report: bool) -> int:
    """Show how it went, and return the exit status."""
    show_summary(console(), result.run)
    if result.error:
        complain(result.error)
    page = build_report(result.run)
    typer.echo(f"Report: {near(page)}")
    if result.interrupted:
        place = near(page.parent)
        typer.echo(f"Interrupted; nothing that finished is lost. Continue with: course run --resume {place}")
        return INTERRUPTED
    if open_report:
        show_in_browser(page)
    return ALL_WELL if result.exit_code == 0 and went_well(result.run) else SOMETHING_FAILED


def write_reference(result: RunResult) -> None:
    """Make this run's times the reference, together with a calibration of this machine made now."""
    calibration = calibrate()
    save_calibration(calibration)
    update_reference(result.run, calibration)
    typer.echo(f"Reference times: {REFERENCE_FILE}")


def _expected_seconds(specs: list[Spec]) -> dict[str, float | None]:
    """From the calibration of this machine; without one, as on the reference machine."""
    reference, here = load_reference(), cached_calibration()
    expected: dict[str, float | None] = {}
    for spec in specs:
        minutes = reference.minutes_here(spec.name, spec.profile, here)
        time = reference.time_of(spec.name, spec.profile)
        expected[spec.key] = minutes * 60 if minutes is not None else time.seconds if time else None
    return expected
