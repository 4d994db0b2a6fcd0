"""What should a learner know before they begin an exercise? The card at the top of its notebook."""

from course_lib.exercises.catalogue import Exercise

MOST_DOTS = 5


def dots(difficulty: int) -> str:
    """●●○○○"""
    return "●" * difficulty + "○" * (MOST_DOTS - difficulty)


def student_card(exercise: Exercise, lesson_link: str | None) -> str:
    """The card in Markdown. lesson_link: from the notebook to the folder of the lessons, or None for no link."""
    id = exercise.id
    return f"""\
{_facts(exercise, lesson_link)}

Write your answer where it says `YOUR CODE HERE`, then run the cells below it. In a cell of your own you can ask for

- `check("{id}")`: is it right, and if not, what kind of mistake is it?
- `hint("{id}")`: a nudge first, then an outline, then code; each call goes one step further, and is counted.
- `step("{id}", "order")` to put the lines in order, `step("{id}", "gaps")` to fill gaps, `step("{id}", "blank")` for \
a blank page."""


def solution_card(exercise: Exercise, lesson_link: str | None) -> str:
    """The card of the solved notebook, with the way back to the exercise."""
    return f"""\
{_facts(exercise, lesson_link)}

This is a solution, run from top to bottom; yours may look different and be as right. \
To try it yourself first, open the [exercise](../{exercise.name}.ipynb)."""


def _facts(exercise: Exercise, lesson_link: str | None) -> str:
    file = f"{exercise.lesson}.ipynb"
    lesson = f"`notebooks/{file}`" if lesson_link is None else f"[{exercise.lesson}]({lesson_link}/{file})"
    difficulty = f"{dots(exercise.difficulty)} ({exercise.difficulty} of {MOST_DOTS})"
    return f"""\
# {exercise.id} {exercise.title}

**You learn** {exercise.teaches.strip().rstrip(".")}.

| Difficulty | Time | Lesson |
|---|---|---|
| {difficulty} | {exercise.minutes} minutes | {lesson} |"""
