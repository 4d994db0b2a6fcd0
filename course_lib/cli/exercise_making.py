"""The maintainer's commands: build the notebooks of the exercises, try the seeded faults."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from course_lib.cli.faults import ALL_WELL, SOMETHING_FAILED

if TYPE_CHECKING:
    from course_lib.exercises.catalogue import Exercise
    from course_lib.exercises.faults import FaultResult

Ids = Annotated[list[str] | None, typer.Argument(metavar="[IDS…]", help="Such as 02.1. Default: all.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(build)
    app.command()(faults)


def build(
    ids: Ids = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; list what is out of date, with exit status 1.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Run all solutions anew, also those up to date.")] = False,
    solutions: Annotated[
        bool, typer.Option("--solutions/--no-solutions", help="Without: only the student notebooks, in seconds.")
    ] = True,
    release: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write a course folder for nbgrader's own commands.")
    ] = None,
) -> None:
    """Make the student notebooks and the executed solutions from their masters."""
    from course_lib.batch.errors import UsageError
    from course_lib.cli.output import near

    if check and (force or release):
        raise UsageError("--check writes nothing: leave out --force and --release")
    chosen = _chosen(ids)
    from course_lib.exercises import building

    if check:
        stale, extra = building.out_of_date(chosen), building.left_over(chosen)
        for path in stale:
            typer.echo(f"{near(path)} is out of date" if path.exists() else f"{near(path)} is missing")
        if stale:
            typer.echo("Make them with: course exercise build")
        for path in extra:
            typer.echo(f"{near(path)} belongs to no master any more; remove it")
        if not stale and not extra:
            typer.echo(f"Up to date: {', '.join(exercise.id for exercise in chosen)}")
        raise typer.Exit(SOMETHING_FAILED if stale or extra else ALL_WELL)

    def tell(built: building.Built) -> None:
        made = ", ".join(near(path) for path in built.written) or "up to date"
        typer.echo(f"{built.exercise.id} {built.exercise.title}: {made} ({built.seconds:.1f} s)")

    building.build(chosen, force=force, solutions=solutions, on_built=tell)
    if release is not None:
        written = building.release(release, chosen)
        typer.echo(f"{near(release)}: {len(written)} notebooks, nbgrader_config.py and gradebook.db")


def faults(
    ids: Ids = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the results as JSON.")
    ] = None,
) -> None:
    """Break each solution on purpose, and see whether its checks notice and give the right hint.

    Exit status 1 if a fault survives, or fewer than 95 % are caught by a public check with the right hint.
    """
    from course_lib.exercises.faults import LEAST_SHARE_WITH_HINT, share_with_hint, try_faults, write_json

    results: list[FaultResult] = []
    for exercise in _chosen(ids):
        typer.echo(f"{exercise.id} {exercise.title}: {len(exercise.faults)} faults", err=True)
        results += try_faults(exercise)
    _show_faults(results)
    if json_file is not None:
        write_json(json_file, results)
    well = share_with_hint(results) >= LEAST_SHARE_WITH_HINT and all(result.killed for result in results)
    raise typer.Exit(ALL_WELL if well else SOMETHING_FAILED)


def _chosen(ids: Sequence[str] | None) -> "list[Exercise]":
    from course_lib.exercises.catalogue import find_exercise, find_exercises

    return [find_exercise(id) for id in dict.fromkeys(ids)] if ids else find_exercises()


def _show_faults(results: "list[FaultResult]") -> None:
    from rich.table import Table
    from rich.text import Text

    from course_lib.cli.output import console
    from course_lib.exercises.faults import share_with_hint

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Exercise", "Fault", "Caught by", "Hint"):
        table.add_column(name, overflow="fold")
    for result in results:
        hint = result.recognised or "none"
        if result.right_hint:
            verdict = Text(f"✓ {hint}", style="green")
        else:
            verdict = Text(f"✗ {hint}, expected {result.fault.mistake}", style="bold red")
        caught = Text(result.caught_by, style="" if result.killed else "bold red")
        table.add_row(result.exercise, Text(result.fault.name), caught, verdict)
    out = console()
    out.print(table)
    killed = sum(result.killed for result in results)
    out.print(
        f"{len(results)} faults: {killed} caught, {len(results) - killed} survived; "
        f"{share_with_hint(results):.0%} caught by a public check with the right hint"
    )
