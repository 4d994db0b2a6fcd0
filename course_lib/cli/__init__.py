"""What can be done with the series from a terminal? `course --help`

Thin: each command calls `course_lib.batch`, which is imported only when a command needs it, so that help comes at once.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import course_lib
from course_lib.cli import exercise, exercise_making, grading, playing, zoo
from course_lib.cli.faults import ALL_WELL, INTERRUPTED, SOMETHING_FAILED, complain, in_one_line, status_of


class _Course(TyperGroup):
    """Turns expected faults into one line and an exit status; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, RuntimeError, OSError) as error:
            status = status_of(error)
            if status is None:
                raise
            complain(in_one_line(error))
            raise typer.Exit(status) from None


class _Run(TyperCommand):
    """`--resume` may stand without a directory."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from course_lib.cli.arguments import with_resume_value

        return super().parse_args(ctx, with_resume_value(args))


app = typer.Typer(
    cls=_Course,
    name="course",
    help="Run, report and compare the notebooks of the series.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
NotebookFolder = Annotated[
    Path | None, typer.Option("--notebooks", metavar="FOLDER", help="Where the series is. Default: notebooks/.")
]
OpenReport = Annotated[bool, typer.Option("--open/--no-open", help="Show the report in a browser.")]
A_RUN = 'A run directory, its run.json, or "latest".'
Run = Annotated[str, typer.Argument(metavar="RUN", help=A_RUN)]


def main() -> None:
    """The `course` command."""
    app(prog_name="course")


def _version(asked: bool) -> bool:
    if asked:
        typer.echo(f"course {course_lib.__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(cls=_Run)
def run(
    notebooks: Annotated[
        list[str] | None, typer.Argument(metavar="NN|all", help="Numbers or names. Default: all.")
    ] = None,
    profile: Annotated[str | None, typer.Option(metavar="smoke|cpu|gpu", help="Sizes and data. Default: cpu.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Notebooks at once, which share the cores. Default: one for each GPU in use, else one for each core "
            "and 2 GiB of memory."
        ),
    ] = None,
    gpus: Annotated[
        str | None,
        typer.Option(
            metavar="0,1", help="GPUs to share out, one to a notebook. Default: all for the gpu profile, else none."
        ),
    ] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="K=V", help="Set a parameter (repeatable).")] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(metavar="K=A,B,C", help="Run once for each value (repeatable)."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(metavar="0,1,2", help="Run once for each seed.")] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="10m", help="Longest time of one notebook: 600, 90s, 10m, 1h30m.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="4G", help="Most memory of one notebook and its children.")
    ] = None,
    retries: Annotated[int, typer.Option(help="New attempts after a dead kernel or a timeout, not after errors.")] = 0,
    resume: Annotated[
        str | None,
        typer.Option(metavar="[DIR]", help="Continue a run, by default the newest; what is finished is kept."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Run directory. Default: a new one in runs/.")] = None,
    notebook_folder: NotebookFolder = None,
    open_report: OpenReport = False,
    write_reference: Annotated[bool, typer.Option("--write-reference", hidden=True)] = False,
) -> None:
    """Run notebooks, each in a process of its own, and report on them.

    Exit status: 0 all ran and all claims hold, 1 something failed, 2 bad usage, 130 interrupted (see --resume).
    """
    from course_lib.batch.engine import Limits
    from course_lib.batch.errors import UsageError
    from course_lib.batch.series import find_notebooks
    from course_lib.cli import arguments, running

    asked = {
        "parameters": arguments.assignments("--param", param or []),
        "sweep": arguments.sweeps(sweep or []),
        "seeds": arguments.seed_numbers(seeds),
    }
    if retries < 0:
        raise UsageError(f"--retries must be 0 or more, got {retries}")
    if write_reference and (param or sweep):
        raise UsageError("reference times are those of the default settings: leave out --param and --sweep")
    if write_reference and jobs != 1:
        raise UsageError("reference times are those of a notebook alone on the machine: add --jobs 1")
    limits = Limits(arguments.time_limit(timeout), arguments.memory_limit(memory), retries)
    infos = find_notebooks(arguments.notebook_folder(notebook_folder))
    earlier = running.run_to_resume(resume, out)
    specs = running.plan_runs(infos, notebooks or [], profile, earlier, **asked)
    result = running.watched_run(specs, earlier, out, jobs=jobs, gpus=arguments.gpu_names(gpus), limits=limits)
    status = running.conclude(result, open_report)
    if write_reference and status == ALL_WELL:
        running.write_reference(result)
    raise typer.Exit(status)


@app.command()
def report(run: Run, open_report: OpenReport = False) -> None:
    """Make the report page of a run anew."""
    from course_lib.batch.record import load_run
    from course_lib.batch.report import build_report
    from course_lib.cli.arguments import run_place
    from course_lib.cli.output import near, show_in_browser

    page = build_report(load_run(run_place(run)))
    typer.echo(near(page))
    if open_report:
        show_in_browser(page)


@app.command()
def compare(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help=A_RUN)],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The same, to be set against it.")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the comparison as a page.")] = None,
) -> None:
    """Tell what differs between two runs: status, time, memory, claims, records, settings, versions, machine."""
    from course_lib.batch.compare import compare as compare_runs
    from course_lib.batch.compare import write_comparison
    from course_lib.batch.record import load_run
    from course_lib.cli.arguments import run_place
    from course_lib.cli.output import console, near, show_comparison

    comparison = compare_runs(load_run(run_place(run_a)), load_run(run_place(run_b)))
    show_comparison(console(), comparison)
    if html is not None:
        write_comparison(comparison, html)
        typer.echo(near(html))


@app.command(name="list")
def list_series(
    profile: Annotated[str, typer.Option(metavar="smoke|cpu|gpu", help="Whose times to show.")] = "cpu",
    notebook_folder: NotebookFolder = None,
) -> None:
    """Show the series: titles, predicted minutes on this machine, memory, parameters."""
    from course_lib.batch.calibrate import cached_calibration
    from course_lib.batch.errors import unknown
    from course_lib.batch.plan import PROFILES
    from course_lib.batch.reference import load_reference
    from course_lib.batch.series import find_notebooks
    from course_lib.cli.arguments import notebook_folder as folder_of
    from course_lib.cli.output import console, show_series

    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    infos = find_notebooks(folder_of(notebook_folder))
    show_series(console(), infos, load_reference(), cached_calibration(), profile)


@app.command()
def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the 20-second calibration.")] = False,
    notebook_folder: NotebookFolder = None,
) -> None:
    """Check this machine, and measure how fast it is. Exit status 1 when something essential is missing."""
    from course_lib.batch.doctor import examine
    from course_lib.cli.arguments import RUNS
    from course_lib.cli.arguments import notebook_folder as folder_of
    from course_lib.cli.output import console, show_check

    out, well = console(), True
    for check in examine(folder_of(notebook_folder), RUNS):
        show_check(out, check)
        well = well and check.state != "failed"
    if not quick:
        well = _calibrate(folder_of(notebook_folder)) and well
    raise typer.Exit(ALL_WELL if well else SOMETHING_FAILED)


@app.command()
def refresh(
    notebooks: Annotated[list[str], typer.Argument(metavar="NN …", help='Numbers, names, or "all".')],
    notebook_folder: NotebookFolder = None,
) -> None:
    """Store the outputs of a new default run in the notebooks themselves, as they are committed."""
    from course_lib.batch.refresh import refresh as refresh_files
    from course_lib.batch.series import find_notebooks, select
    from course_lib.cli.arguments import notebook_folder as folder_of

    chosen = select(find_notebooks(folder_of(notebook_folder)), notebooks)
    refresh_files([info.path for info in chosen])


def _calibrate(folder: Path) -> bool:
    from course_lib.batch.calibrate import calibrate, save_calibration
    from course_lib.batch.reference import load_reference
    from course_lib.batch.series import UsageError, find_notebooks
    from course_lib.batch.wording import minutes
    from course_lib.cli.output import console

    out = console()
    try:
        with out.status("calibrating, about 20 seconds …"):
            calibration = calibrate()
        place = save_calibration(calibration)
    except (OSError, RuntimeError) as error:
        complain(f"the calibration failed: {in_one_line(error)}")
        return False
    typer.echo(f"✓ calibration: {calibration.description}, {calibration.threads} threads; kept in {place}")
    reference = load_reference()
    try:
        names = [info.name for info in find_notebooks(folder)]
    except UsageError:
        names = []
    here = [reference.minutes_here(name, "cpu", calibration) for name in names]
    known = [value for value in here if value is not None]
    if known:
        typer.echo(f"  the series at the cpu profile will take about {minutes(sum(known))} here; see: course list")
    return True


exercise_app = typer.Typer(help="Exercises: list, open, check, hint, reset, progress.", no_args_is_help=True)
app.add_typer(exercise_app, name="exercise")
exercise.register(exercise_app)
exercise_making.register(exercise_app)
grading.register(app)
playing.register(app)

zoo_app = typer.Typer(help="Trained models: list, card, verify, train, build.", no_args_is_help=True)
app.add_typer(zoo_app, name="zoo")
zoo.register(zoo_app)
