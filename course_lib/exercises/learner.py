"""What can a learner ask for in an exercise's notebook? `check`, `hint` and `step`, from any cell."""

import os
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from course_lib import progress
from course_lib.exercises.catalogue import HINT_STEPS, Exercise, ExerciseError, find_exercise
from course_lib.exercises.checking import Report, run_checks
from course_lib.exercises.display import HelpUsed, first_failure, panel, told
from course_lib.exercises.steps import step_text

NOT_THE_CALLER = {"course_lib", "jaxtyping", "beartype"}  # the latter two stand between where types are checked


class CheckFailed(AssertionError):  # noqa: N818 - it reads as what happened
    """A check that does not pass where it must. The panel above it says why, so that its traceback is one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"CheckFailed: {self}"]


def check(id: str, name: str | None = None) -> None:
    """Check your answer to the exercise `id`, such as "02.1", and show what holds.

    name: one check alone, as in the graded cells. Then, and in a batch, CheckFailed is raised if it does not pass;
    otherwise the panel is enough. Raises ExerciseError for an exercise or check that is not there.
    """
    if _answering():
        print(f"check {id}: left to the grader")
        return
    report = run_checks(find_exercise(id), _learners_objects(), name)
    note_check(report, name)
    show_panel(report, name)
    if not report.passed and (name is not None or os.environ.get("COURSE_MODE") == "batch"):
        raise CheckFailed(_in_short(report))


def hint(id: str, number: int | None = None) -> None:
    """Show the hints you have seen and one more: a nudge, then an outline, then the code. Their use is counted.

    number: show one that you have seen again, 1 to 3, without counting. Raises ExerciseError for one not seen yet.
    """
    if _answering():
        print(f"hint {id}: not while grading")
        return
    from course_lib.lesson.display import publish

    text = take_hint(find_exercise(id), number)
    publish({"text/markdown": text, "text/plain": text})


def step(id: str, kind: str) -> None:
    """An easier start: "order" (the lines, shuffled), "gaps" (the solution with blanks), "blank" (the empty page).

    In a notebook it is offered as the next cell, elsewhere printed; its use is counted. Raises ExerciseError for
    another kind, and for "gaps" where the exercise has none.
    """
    if _answering():
        print(f"step {id}: not while grading")
        return
    exercise = find_exercise(id)
    text = step_text(exercise, kind)
    progress.note("step", exercise.id, step=kind)
    if _live_notebook():
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        assert shell is not None
        shell.set_next_input(text)
        print(f'Exercise {exercise.id}, step "{kind}": it is in the next cell. Run your solution from there.')
    else:
        print(text)


def show_panel(report: Report, only: str | None = None) -> None:
    """Show a report below the running cell, or print it."""
    from course_lib.lesson.display import publish

    publish(panel(report, only, help_used(report.exercise)))


def help_used(exercise: Exercise) -> HelpUsed:
    """The hints and steps that this learner has taken, as far as is known here."""
    so_far = progress.exercise_progress(exercise.id)
    return HelpUsed(min(so_far.hints_used, len(HINT_STEPS)), tuple(so_far.steps_used))


def note_check(report: Report, only: str | None = None) -> None:
    """Keep the result of a check in the learner's progress."""
    failure = first_failure(report)
    progress.note(
        "check",
        report.exercise.id,
        check=only,
        held=sum(result.passed for result in report.results),
        of=len(report.results),
        mistake=failure.mistake if failure else None,
    )


def take_hint(exercise: Exercise, number: int | None = None) -> str:
    """The hints to show, as Markdown; without a number one further step is opened and counted."""
    seen = help_used(exercise).hints
    if number is None:
        opened = min(seen + 1, len(HINT_STEPS))
        if opened > seen:
            progress.note("hint", exercise.id, number=opened, step=HINT_STEPS[opened - 1])
        shown = range(1, opened + 1)
    else:
        if number not in range(1, len(HINT_STEPS) + 1):
            raise ExerciseError(f"hints are numbered 1 to {len(HINT_STEPS)}, got {number!r}")
        if number > seen:
            raise ExerciseError(
                f'hint {number} of {exercise.id} was not opened yet; hint("{exercise.id}") opens the next'
            )
        shown = range(number, number + 1)
    parts = [
        f"**Exercise {exercise.id} · hint {n} of {len(HINT_STEPS)} ({HINT_STEPS[n - 1]})**\n\n{exercise.hints[n - 1]}"
        for n in shown
    ]
    return "\n\n".join(parts)


def _in_short(report: Report) -> str:
    failure = first_failure(report)
    assert failure is not None
    return f"{report.exercise.id} {failure.name}: {told(failure.found)}"


def _learners_objects() -> Mapping[str, Any]:
    """What the calling notebook, or else the calling module, has defined."""
    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is not None:
            return shell.user_ns
    caller: FrameType | None = sys._getframe(1)
    while caller is not None and str(caller.f_globals.get("__name__")).partition(".")[0] in NOT_THE_CALLER:
        caller = caller.f_back
    return {**caller.f_globals, **caller.f_locals} if caller is not None else {}


def _live_notebook() -> bool:
    from course_lib.lesson.display import in_notebook

    return os.environ.get("COURSE_MODE") != "batch" and in_notebook()


def _answering() -> bool:
    return os.environ.get("COURSE_ANSWERING") == "1"
