"""A small exercise that is whole and needs no torch, for the tests to build, break and grade."""

from functools import partial

import pytest

from course_lib.exercises.catalogue import read_exercise

MASTER = '''\
# %% [markdown]
# Twice a number is the number and itself once more.

# %%
from course_lib.exercises import check, hint, step


# %% nbgrader={"solution": true, "grade_id": "double"}
def double(number):
    """Twice the number."""
    ### BEGIN SOLUTION
    # The sum of the two.
    second_summand = number
    return number + second_summand
    ### END SOLUTION


# %%
double(21)

# %%
check("01.7")

# %% [markdown]
# ## Graded

# %% nbgrader={"grade": true, "grade_id": "twice", "points": 2}
check("01.7", "twice_the_number")
### BEGIN HIDDEN TESTS
assert double(-17.5) == -35.0, "minus seventeen and a half"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "nothing", "points": 1}
check("01.7", "nothing_stays_nothing")
'''

CHECKS = '''\
"""What doubling must do."""

from course_lib.exercises.failures import AnswerRaised, PropertyFailed


def asked(double, number):
    try:
        return double(number)
    except Exception as error:
        raise AnswerRaised(type(error).__name__, str(error)) from error


def twice_the_number(double):
    """Half of the result is the number."""
    for number in (1, 2, 10):
        result = asked(double, number)
        if result / 2 != number:
            mistake = "square" if result == number * number else None
            raise PropertyFailed("half is the number", f"{result} for {number}", mistake=mistake)


def nothing_stays_nothing(double):
    """Twice nothing is nothing."""
    result = asked(double, 0)
    if result != 0:
        raise PropertyFailed("nothing stays nothing", f"{result}", mistake="offset")


CHECKS = [twice_the_number, nothing_stays_nothing]
'''

CARD = """\
title = "Twice the number"
teaches = "what doubling is"
difficulty = 2
minutes = 5
needs = ["double"]
gaps = ["number + second_summand"]

[hints]
nudge = "Once more."
outline = "Add it to itself."
code = "`number + number`"

[mistakes]
square = "You squared it."
offset = "You added something to nothing."

[[faults]]
name = "squared"
find = "number + second_summand"
replace = "number * number"
mistake = "square"
"""


def write_into(folder, *, master=(), checks=(), card=(), name="01.7_double", lesson="01_doubling"):
    place = folder / lesson / "masters" / name
    place.mkdir(parents=True, exist_ok=True)
    for file, text, changes in (
        ("master.py", MASTER, master),
        ("checks.py", CHECKS, checks),
        ("card.toml", CARD, card),
    ):
        for old, new in changes:
            assert old in text, f"{old!r} is not in {file}"
            text = text.replace(old, new)
        (place / file).write_text(text, encoding="utf-8")
    return read_exercise(place / "master.py")


@pytest.fixture
def write_exercise(tmp_path, monkeypatch):
    """Writes an exercise into a folder of its own and reads it; each text can be changed by (old, new) pairs."""
    monkeypatch.setenv("COURSE_EXERCISES_DIR", str(tmp_path / "exercises"))
    return partial(write_into, tmp_path / "exercises")


@pytest.fixture
def exercise(write_exercise):
    """The small exercise, whole."""
    return write_exercise()


@pytest.fixture(scope="module")
def lasting_exercise(tmp_path_factory):
    """The small exercise for tests that only look at it."""
    return write_into(tmp_path_factory.mktemp("exercises"))
