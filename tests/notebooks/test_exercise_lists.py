from pathlib import Path

import nbformat
import pytest

from course_lib.exercises.building.card import dots
from course_lib.exercises.catalogue import find_exercises

SERIES = Path(__file__).parents[2] / "notebooks"
EXERCISES = find_exercises(SERIES.parent / "exercises")
LESSONS = sorted({exercise.lesson for exercise in EXERCISES})


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_lists_its_exercises_as_their_cards_say(lesson):
    notebook = nbformat.read(SERIES / f"{lesson}.ipynb", as_version=4)
    (listed,) = [cell.source for cell in notebook.cells if cell.source.startswith("## Exercises\n")]
    expected = [
        f"- [{exercise.id} {exercise.title}](../exercises/{lesson}/{exercise.name}.ipynb) "
        f"{dots(exercise.difficulty)}, {exercise.minutes} minutes"
        for exercise in EXERCISES
        if exercise.lesson == lesson
    ]
    assert [line for line in listed.splitlines() if line.startswith("- ")] == expected


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_the_linked_notebook_is_there(exercise):
    assert exercise.student.exists()
