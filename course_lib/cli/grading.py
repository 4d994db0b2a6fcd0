"""The instructor's command: grade a class."""

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from course_lib.cli.faults import ALL_WELL, INTERRUPTED, SOMETHING_FAILED, complain

if TYPE_CHECKING:
    from rich.console import Console

    from course_lib.exercises.grading.classes import GradedClass
    from course_lib.exercises.grading.engine import Step
    from course_lib.exercises.grading.submissions import Submission

MOST_NAMES = 4


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(grade)


def grade(
    submissions: Annotated[
        Path, typer.Argument(metavar="SUBMISSIONS", help="A folder for each student, or files named by student.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The table. Pages and notebooks go into a folder of its name.")
    ] = Path("grades.csv"),
    jobs: Annotated[int | None, typer.Option(help="Notebooks at once. Default: one for each core.")] = None,
    exercise: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this exercise, such as 02.1 (repeatable).")
    ] = None,
    due: Annotated[
        str | None, typer.Option(metavar='"2026-11-30 23:59"', help="Later files are marked late; local time.")
    ] = None,
    time_limit: Annotated[float, typer.Option(metavar="S", help="Seconds for one notebook.")] = 60.0,
    memory_limit: Annotated[float, typer.Option(metavar="GB", help="Memory for one notebook, in GiB.")] = 3.0,
    exercises: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the masters are, such as private ones.")
    ] = None,
    require_sandbox: Annotated[
        bool, typer.Option("--require-sandbox", help="Refuse to run without strong isolation.")
    ] = False,
    feedback: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the students' pages go. Default: beside the others.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Keep what an earlier run graded and nothing changed; or not.")
    ] = True,
    open_summary: Annotated[bool, typer.Option("--open/--no-open", help="Show the class's page in a browser.")] = False,
    gradebook: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also enter the points into this gradebook.db of nbgrader.")
    ] = None,
) -> None:
    """Grade a class: every notebook in a process of its own, judged by the checks of the masters.

    Exit status: 0 all graded, whatever the points; 1 a check of the course is broken or a judge was lost; 2 bad usage;
    130 interrupted (the same command goes on from there).
    """
    from course_lib.batch.errors import UsageError
    from course_lib.cli.output import console
    from course_lib.exercises.answering import choose
    from course_lib.exercises.grading.classes import grade_class, limits_for, places_for, read_papers
    from course_lib.exercises.grading.rows import parse_due

    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, got {jobs}")
    if not 1 <= time_limit < 1e6:
        raise UsageError(f"--time-limit must be seconds from 1, got {time_limit:g}")
    if not 0.25 <= memory_limit < 1e4:
        raise UsageError(f"--memory-limit must be GiB from 0.25 (torch alone needs that), got {memory_limit:g}")
    due_time = parse_due(due) if due is not None else None
    places = places_for(out, feedback, submissions)
    if not submissions.exists():
        raise UsageError(f"no submissions at {submissions}: there is no such file or folder")
    isolation = choose(require_strong=require_sandbox)
    if isolation.level != "strong":
        complain(isolation.describe())
    asked = exercise or []
    papers = read_papers(exercises, asked)
    out_console = console()
    with Watcher(out_console) as watcher:
        graded = grade_class(
            submissions,
            places,
            papers,
            isolation=isolation,
            limits=limits_for(time_limit, int(memory_limit * 2**30)),
            asked=asked,
            jobs=jobs,
            due=due_time,
            fresh=not resume,
            on_start=watcher.on_start,
            on_step=watcher.on_step,
        )
    if graded.interrupted:
        told = f"Interrupted; {graded.finished} of {graded.of} notebooks are graded and kept, {out} is not written."
        typer.echo(f"{told} The same command goes on from there.")
        raise typer.Exit(INTERRUPTED)
    if gradebook is not None:
        from course_lib.exercises.grading.gradebook import enter

        enter(gradebook, graded.lines)
        typer.echo(f"Gradebook: {gradebook}")
    raise typer.Exit(_conclude(out_console, graded, open_summary))


def _conclude(out: "Console", graded: "GradedClass", open_summary: bool) -> int:
    from rich.text import Text

    from course_lib.batch import wording
    from course_lib.cli.output import near, show_in_browser
    from course_lib.exercises.grading.summary import in_one_sentence

    out.print(Text(in_one_sentence(graded.lines)), soft_wrap=True)
    late = sum(line.row.late == "yes" for line in graded.lines)
    missing = sum(line.graded is None for line in graded.lines)
    not_notebooks = sum(line.graded is not None and line.graded.submission.problem is not None for line in graded.lines)
    told = [
        f"{late} late" if late else "",
        f"{missing} not handed in" if missing else "",
        f"{wording.count(not_notebooks, 'file')} could not be graded" if not_notebooks else "",
        f"{wording.count(graded.passed_over, 'notebook')} of other exercises passed over" if graded.passed_over else "",
    ]
    if any(told):
        out.print(Text(", ".join(part for part in told if part)), soft_wrap=True)
    for name, place in (
        ("Table", graded.places.table),
        ("Class", graded.places.summary),
        ("Feedback", graded.places.feedback),
        ("Notebooks", graded.places.autograded),
    ):
        out.print(Text(f"{name + ':':<11}{near(place)}"), soft_wrap=True)
    if graded.broken:
        complain("a check or a judge failed on the course's side (class: grader error); see the class's page")
    if open_summary:
        show_in_browser(graded.places.summary)
    return SOMETHING_FAILED if graded.broken else ALL_WELL


class Watcher:
    """Draws how far the class is: a bar on a terminal, a line for each notebook elsewhere. A context manager."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = console
        self.running: dict[str, str] = {}
        self.finished, self.total, self.kept = 0, 0, 0
        columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[names]}"))
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=None, names="")
        self._began = time.monotonic()

    def __enter__(self) -> "Watcher":
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._bar.stop()
        if self.kept and error is None:
            self.console.print(f"{self.kept} of {self.total} were graded before and are unchanged")

    def on_start(self, count: int) -> None:
        """The number of notebooks is known."""
        self.total = count
        self._bar.update(self._task, total=count)

    def on_step(self, step: "Step") -> None:
        """Take note that a notebook was begun or graded."""
        from rich.text import Text

        from course_lib.exercises.grading.engine import Graded

        if not isinstance(step.graded, Graded):
            self.running[step.graded.file] = _name(step.graded)
        else:
            item = step.graded
            self.running.pop(item.submission.file, None)
            self.finished += 1
            self.kept += item.kept
            if not self.console.is_terminal and not item.kept:
                judgement = item.judgement
                told = f"{judgement.points} of {judgement.max_points} points" if item.paper else "not graded"
                word = judgement.error_class if item.paper else judgement.problem
                line = f"[{self.finished}/{self.total}] {_name(item.submission)}: {told}, {word}"
                self.console.print(Text(line), soft_wrap=True)
        names = list(self.running.values())
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        # Names come from students' files: brackets in them are no markup.
        shown = ", ".join(names[:MOST_NAMES]).replace("[", r"\[") + more
        self._bar.update(self._task, completed=self.finished, names=shown)


def _name(submission: "Submission") -> str:
    return f"{submission.student} {submission.exercise or submission.file}"
