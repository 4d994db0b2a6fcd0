"""The mutation lab can see a fault that survives, one with the wrong hint, and one that never ends."""

import json

import pytest

from course_lib.exercises import faults
from course_lib.exercises.catalogue import ExerciseError, read_exercise
from course_lib.exercises.faults import share_with_hint, try_faults, write_json

SEEDED = """
[[faults]]
name = "{name}"
find = "{find}"
replace = "{replace}"
mistake = "{mistake}"
"""


@pytest.fixture
def with_faults(write_exercise):
    """The small exercise with these faults, each (name, find, replace, mistake), instead of its own."""

    def write(*seeded):
        exercise = write_exercise()
        card = exercise.master.parent / "card.toml"
        text = card.read_text(encoding="utf-8").partition("[[faults]]")[0]
        names = ("name", "find", "replace", "mistake")
        text += "".join(SEEDED.format(**dict(zip(names, fault, strict=True))) for fault in seeded)
        card.write_text(text, encoding="utf-8")
        return read_exercise(exercise.master)

    return write


def test_each_fault_is_told_by_who_caught_it_and_whether_the_hint_fits(with_faults):
    exercise = with_faults(
        ("squared", "number + second_summand", "number * second_summand", "square"),
        ("one too many", "return number +", "return 1 + number +", "offset"),
        ("called by another's name", "return number +", "return 2 + number +", "square"),
        ("without its sign", "return number + second_summand", "return 2 * abs(number)", "offset"),
        ("the same in other words", "return number + second_summand", "return 2 * number", "offset"),
        ("raises", "second_summand = number", "second_summand = number / 0", "offset"),
    )
    results = try_faults(exercise)
    assert [(result.catcher, result.recognised, result.right_hint) for result in results] == [
        ("public", "square", True),
        ("public", "offset", True),
        ("public", "offset", False),
        ("hidden", None, False),
        ("nothing", None, False),
        ("public", None, False),
    ]
    assert [result.killed for result in results] == [True, True, True, True, False, True]
    assert results[0].caught_by == "twice_the_number"
    assert results[3].caught_by == "hidden tests only: twice"
    assert share_with_hint(results) == pytest.approx(2 / 6)


def test_a_fault_that_never_ends_costs_its_limit_once_and_the_next_is_tried(with_faults, monkeypatch):
    monkeypatch.setattr(faults, "EXTRA_SECONDS", 1.0)
    exercise = with_faults(
        ("endless", "return number +", "while True: number +", "offset"),
        ("squared", "number + second_summand", "number * number", "square"),
    )
    endless, squared = try_faults(exercise)
    assert (endless.catcher, endless.caught_by, endless.right_hint) == ("time", "the time limit", False)
    assert squared.right_hint


@pytest.mark.parametrize(
    ("find", "replace", "complaint"),
    [
        ("not there", "x", "its `find` must stand once in the solution, it is there 0 times"),
        ("number", "x", "its `find` must stand once in the solution, it is there [3-9] times"),
        ("double(21)", "x", "it is there 0 times"),
        ("return number +", "return number +", "changes nothing"),
        ("return number +", "return (number +", "makes code that is no Python: '\\(' was never closed"),
    ],
)
def test_a_fault_that_cannot_be_applied_is_refused(with_faults, find, replace, complaint):
    with pytest.raises(ExerciseError, match=rf"card.toml: the fault 'odd'.*{complaint}"):
        try_faults(with_faults(("odd", find, replace, "square")))


def test_a_solution_that_fails_itself_is_refused(write_exercise):
    wrong = write_exercise(
        master=[("    second_summand = number\n", "    second_summand = number if number > 0 else 0\n")]
    )
    with pytest.raises(ExerciseError, match=r"solution of 01.7 itself fails: hidden tests of twice: AssertionError"):
        try_faults(wrong)


def test_the_results_can_be_read_by_tools(exercise, tmp_path):
    write_json(tmp_path / "faults.json", try_faults(exercise))
    read = json.loads((tmp_path / "faults.json").read_text(encoding="utf-8"))
    assert read["totals"] == {"faults": 1, "killed": 1, "with_right_hint": 1}
    assert read["results"][0]["caught_by"] == "twice_the_number"
    assert read["results"][0]["expected"] == "square"


def test_an_exercise_without_faults_has_no_results(with_faults):
    assert try_faults(with_faults()) == []
    assert share_with_hint([]) == 1.0
