"""The learner's commands: list, open, check, hint, reset, progress."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from course_lib.cli.faults import ALL_WELL, SOMETHING_FAILED

if TYPE_CHECKING:
    from course_lib.exercises.catalogue import Exercise
    from course_lib.progress import ExerciseProgress, LessonProgress

Id = Annotated[str, typer.Argument(metavar="ID", help="Such as 02.1, or masked_softmax.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")]
STATES = {"passed": ("✓", "green"), "begun": ("…", "yellow"), "new": ("–", "dim")}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(name="list")(list_exercises)
    app.command(name="open")(open_exercise)
    app.command()(check)
    app.command()(hint)
    app.command()(reset)
    app.command()(progress)


def list_exercises(as_json: AsJson = False) -> None:
    """Show all exercises: how hard, how long, how far you are (✓ passed, … begun, – not begun), hints used."""
    from course_lib import progress as kept
    from course_lib.exercises.catalogue import find_exercises

    exercises, events = find_exercises(), kept.events()
    so_far = {exercise.id: kept.exercise_progress(exercise.id, events) for exercise in exercises}
    if as_json:
        typer.echo(json.dumps([_as_json(exercise, so_far[exercise.id]) for exercise in exercises], indent=2))
        return
    _show_list(exercises, so_far)


def open_exercise(
    id: Id,
    step: Annotated[
        str | None,
        typer.Option(metavar="order|gaps|blank", help="Begin easier: put lines in order, or fill gaps."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Start JupyterLab, or only say where the notebook is.")
    ] = True,
) -> None:
    """Copy the notebook to my_exercises/ (a copy that is there stays as it is), and open it in JupyterLab."""
    from course_lib.cli.output import near
    from course_lib.exercises.catalogue import find_exercise
    from course_lib.exercises.workspace import open_copy

    exercise = find_exercise(id)
    opened = open_copy(exercise, step)
    typer.echo(f"{near(opened.path)}{'' if opened.new else ' (your copy, as you left it)' if step is None else ''}")
    if browser:
        raise typer.Exit(_start_lab(exercise, opened.path))


def check(id: Id) -> None:
    """Run your notebook in a process of its own and check your answer. Exit status 0 if all holds, 1 if not."""
    from rich.text import Text

    from course_lib.cli.output import console, near
    from course_lib.exercises.catalogue import find_exercise
    from course_lib.exercises.display import panel_lines
    from course_lib.exercises.learner import help_used
    from course_lib.exercises.workspace import check_notebook

    exercise = find_exercise(id)
    out = console()
    with out.status("running your notebook …"):
        checked = check_notebook(exercise)
    for trouble in checked.troubles:
        out.print(Text(f"! {near(checked.path)}: {trouble}", style="yellow"), soft_wrap=True)
    for line in panel_lines(checked.report, help_used(exercise), notebook=near(checked.path)):
        out.print(Text(line.text, style=line.style), soft_wrap=True)
    raise typer.Exit(ALL_WELL if checked.report.passed else SOMETHING_FAILED)


def hint(
    id: Id,
    number: Annotated[
        int | None, typer.Argument(metavar="[1|2|3]", help="Show this one again, without counting.")
    ] = None,
) -> None:
    """Show the hints you have seen and one more: a nudge, an outline, the code. Their use is counted."""
    from rich.markdown import Markdown

    from course_lib.cli.output import console
    from course_lib.exercises.catalogue import find_exercise
    from course_lib.exercises.learner import take_hint

    text = take_hint(find_exercise(id), number)
    out = console()
    if out.is_terminal:
        out.print(Markdown(text))
    else:
        typer.echo(text)


def reset(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put your work aside and begin anew. A copy is kept in my_exercises/kept/, and progress stays counted."""
    from course_lib.cli.output import near
    from course_lib.exercises import workspace
    from course_lib.exercises.catalogue import find_exercise

    exercise = find_exercise(id)
    place = workspace.copy_path(exercise)
    place = place if place.exists() else exercise.student
    if not yes:
        typer.confirm(f"Put {near(place)} aside and begin exercise {exercise.id} anew?", abort=True)
    done = workspace.reset(exercise)
    if done.kept is None:
        typer.echo(f"{near(done.path)} is as new; there was nothing of yours to keep")
    else:
        typer.echo(f"Your work is kept in {near(done.kept)}\nThe original is in {near(done.path)}")


def progress(as_json: AsJson = False) -> None:
    """Show how far you are, by lesson: exercises, hints, retrieval questions, predictions."""
    from course_lib import progress as kept
    from course_lib.exercises.catalogue import find_exercises

    exercises, events = find_exercises(), kept.events()
    so_far = {exercise.id: kept.exercise_progress(exercise.id, events) for exercise in exercises}
    told = {event.subject for event in events if event.kind in ("recall", "prediction")}
    names = sorted({exercise.lesson for exercise in exercises} | told)
    lessons = {name: kept.lesson_progress(name, events) for name in names}
    of_lesson = {name: [so_far[exercise.id] for exercise in exercises if exercise.lesson == name] for name in names}
    if as_json:
        content = {
            "schema": kept.SCHEMA,
            "file": str(kept.progress_file()),
            "lessons": {name: asdict(lesson) for name, lesson in lessons.items()},
            "exercises": [_as_json(exercise, so_far[exercise.id]) for exercise in exercises],
        }
        typer.echo(json.dumps(content, indent=2))
        return
    _show_progress(lessons, of_lesson)
    typer.echo(f"Kept in {kept.progress_file()}")


def _as_json(exercise: "Exercise", so_far: "ExerciseProgress") -> dict[str, Any]:
    about = {
        "id": exercise.id,
        "name": exercise.name,
        "title": exercise.title,
        "lesson": exercise.lesson,
        "difficulty": exercise.difficulty,
        "minutes": exercise.minutes,
        "state": _state(so_far),
    }
    return about | asdict(so_far)


def _state(so_far: "ExerciseProgress") -> str:
    return "passed" if so_far.passed else "begun" if so_far.begun else "new"


def _show_list(exercises: "list[Exercise]", so_far: "dict[str, ExerciseProgress]") -> None:
    from rich.text import Text

    from course_lib.cli.output import console
    from course_lib.exercises.building.card import dots
    from course_lib.exercises.catalogue import HINT_STEPS

    table = _table(("", "No.", "Exercise", "Difficulty"), right=("Minutes", "Hints", "Best"))
    for exercise in exercises:
        it = so_far[exercise.id]
        symbol, style = STATES[_state(it)]
        best = f"{it.best} of {it.of}" if it.attempts else "–"
        hints = f"{it.hints_used} of {len(HINT_STEPS)}" if it.hints_used else "–"
        row = (exercise.id, Text(exercise.title), dots(exercise.difficulty), str(exercise.minutes), hints, best)
        table.add_row(Text(symbol, style=style), *row)
    out = console()
    out.print(table)
    passed = sum(it.passed for it in so_far.values())
    out.print(f"{passed} of {len(exercises)} passed (✓), … begun, – not begun. Open one with: course exercise open ID")


def _show_progress(lessons: "dict[str, LessonProgress]", of_lesson: "dict[str, list[ExerciseProgress]]") -> None:
    from rich.text import Text

    from course_lib.cli.output import console

    table = _table(("Lesson",), right=("Passed", "Hints", "Questions known", "Predictions right"))

    def row(name: str, exercises: "list[ExerciseProgress]", lessons: "list[LessonProgress]", style: str = "") -> None:
        passed = f"{sum(it.passed for it in exercises)} of {len(exercises)}" if exercises else "–"
        known, asked = sum(it.known for it in lessons), sum(it.asked for it in lessons)
        right, judged = sum(it.right for it in lessons), sum(it.judged for it in lessons)
        numbers = sum(it.made for it in lessons) - judged
        guesses = [f"{right} of {judged}"] if judged else []
        guesses += [f"{numbers} in numbers"] if numbers else []
        hints = str(sum(it.hints_used for it in exercises)) if exercises else "–"
        known_text = f"{known} of {asked}" if asked else "–"
        table.add_row(Text(name), passed, hints, known_text, ", ".join(guesses) or "–", style=style)

    for name, lesson in lessons.items():
        row(name, of_lesson[name], [lesson])
    every = [it for exercises in of_lesson.values() for it in exercises]
    row("all", every, list(lessons.values()), style="bold")
    console().print(table)


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _start_lab(exercise: "Exercise", notebook: Any) -> int:
    """JupyterLab on the notebook, from the course's folder, so that links to the lessons work. Its exit status."""
    import signal
    import subprocess
    import sys

    root = exercise.folder.parent.parent
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        f"--ServerApp.root_dir={root.resolve()}",
        str(notebook.resolve()),
    ]
    lab = subprocess.Popen(command, cwd=root)
    # Ctrl-C is for JupyterLab, which asks whether to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return lab.wait()
