"""A course of two small exercises that need no torch, and notebooks to hand in for them."""

import json
import os
from pathlib import Path

import psutil
import pytest

from course_lib.exercises.answering import Isolation, SessionLimits, choose
from course_lib.exercises.catalogue import find_exercises
from course_lib.exercises.grading.engine import grade
from course_lib.exercises.grading.papers import read_paper
from course_lib.exercises.grading.submissions import find_submissions

SECRET = "minus seventeen and a half"  # stands in a hidden test, and must stand nowhere else
MASTER = '''\
# %% [markdown]
# Twice a number.

# %%
from fractions import Fraction

from course_lib.exercises import check, hint, step

tenth = Fraction(1, 10)


# %% nbgrader={{"solution": true, "grade_id": "{name}"}}
def {name}(number):
    """As its name says."""
    ### BEGIN SOLUTION
    return {solution}
    ### END SOLUTION


# %%
{name}(21)

# %%
check("{id}")

# %% nbgrader={{"grade": true, "grade_id": "{name}_works", "points": 2}}
check("{id}", "{name}_works")
### BEGIN HIDDEN TESTS
assert {name}(-17.5) == {result}, "minus seventeen and a half"
### END HIDDEN TESTS

# %% nbgrader={{"grade": true, "grade_id": "{name}_of_nothing", "points": 1}}
check("{id}", "nothing_stays_nothing")
### BEGIN HIDDEN TESTS
assert float(tenth) == 0.1
### END HIDDEN TESTS
'''
CHECKS = '''\
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import answer_to


def {name}_works({name}):
    """It is what its name says."""
    for number in (2.0, 10.0):
        result = answer_to({name}, {{"number": number}})
        if result != {expected}:
            mistake = "square" if result == number * number else None
            found = f"{{result}} for {{number}}"
            raise PropertyFailed("it is as its name says", found, {{"number": number}}, result, mistake)


def nothing_stays_nothing({name}):
    """Of nothing it makes nothing."""
    result = answer_to({name}, {{"number": 0.0}})
    if result != 0:
        raise PropertyFailed("nothing stays nothing", f"{{result}}", {{"number": 0.0}}, result)


CHECKS = [{name}_works, nothing_stays_nothing]
'''
CARD = """\
title = "{title}"
teaches = "arithmetic"
difficulty = 1
minutes = 5
needs = ["{name}"]

[hints]
nudge = "Once more."
outline = "Add it to itself."
code = "`number + number`"

[mistakes]
square = "You squared it, with `number * number`."
"""
DOUBLE = {"id": "01.1", "name": "double", "solution": "number * 2", "result": -35.0, "expected": "number * 2"}
HALVE = {"id": "01.2", "name": "halve", "solution": "number / 2", "result": -8.75, "expected": "number / 2"}
RIGHT = "def double(number):\n    return number + number"
SQUARED = "def double(number):\n    return number * number"
STUB = "def double(number):\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def write_exercises(folder: Path) -> Path:
    for values, title in ((DOUBLE, "Twice the number"), (HALVE, "Half the number")):
        place = folder / "exercises" / "01_numbers" / "masters" / f"{values['id']}_{values['name']}"
        place.mkdir(parents=True)
        (place / "master.py").write_text(MASTER.format(**values), encoding="utf-8")
        (place / "checks.py").write_text(CHECKS.format(**values), encoding="utf-8")
        (place / "card.toml").write_text(CARD.format(title=title, **values), encoding="utf-8")
    return folder / "exercises"


@pytest.fixture(scope="package")
def course(tmp_path_factory):
    """The folder of the two exercises."""
    return write_exercises(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="package")
def papers(course):
    return [read_paper(exercise) for exercise in find_exercises(course)]


@pytest.fixture(scope="session")
def notebook():
    """A notebook as JSON text: code cells of the sources, and the graded cells of `double` unless told otherwise."""

    def make(*sources, exercise="01.1", checks=("double_works", "double_of_nothing"), outputs=(), **top) -> str:
        cells = [
            {"cell_type": "code", "metadata": {}, "source": source, "outputs": list(outputs), "execution_count": None}
            for source in sources
        ]
        for name in checks:
            mark = {"grade": True, "grade_id": name, "locked": True, "points": 2, "solution": False, "task": False}
            asked = "nothing_stays_nothing" if name.endswith("of_nothing") else name
            call = f'check("{exercise or "01.1"}", "{asked}")'
            cells.append({"cell_type": "code", "metadata": {"nbgrader": mark}, "source": call, "outputs": []})
        metadata = {"course": {"exercise": exercise}} if exercise else {}
        return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5, **top})

    return make


@pytest.fixture
def handed_in(tmp_path):
    """Writes files below the folder of submissions, by path and text (or bytes), and returns that folder."""
    root = tmp_path / "submitted"
    root.mkdir()

    def write(files=(), **by_student):
        for place, content in [*dict(files).items(), *((f"{name}/01.1.ipynb", it) for name, it in by_student.items())]:
            path = root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return root

    return write


@pytest.fixture
def find(papers):
    return lambda root: find_submissions(root, papers)


@pytest.fixture
def grade_all(papers, tmp_path):
    """Grades what is below a folder; gives the outcome, and the graded by student."""

    def run(root, **options):
        options = {"limits": SessionLimits(seconds=20), "isolation": choose(), "jobs": 2, **options}
        outcome = grade(find_submissions(root, papers).submissions, papers, tmp_path / "results", **options)
        return outcome, {item.submission.student: item for item in outcome.graded}

    return run


@pytest.fixture
def basic():
    return Isolation("basic", lacking="a test asks for it")


@pytest.fixture
def nothing_left():
    """Fails if the test leaves a process of its own behind."""
    before = {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}
    yield
    left = [child for child in psutil.Process(os.getpid()).children(recursive=True) if child.pid not in before]
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []
