"""Whatever the learner's code does, each check ends in a verdict."""

import pytest
import torch

from course_lib.exercises.catalogue import Exercise, ExerciseError
from course_lib.exercises.checking import CheckResult, Report, run_check, run_checks
from course_lib.exercises.failures import AnswerRaised
from course_lib.exercises.properties.examples import Mistake
from course_lib.exercises.properties.parity import same_as

CHECKS = '''
from course_lib.exercises.properties.examples import Mistake
from course_lib.exercises.properties.parity import same_as

EXAMPLES = [{"x": 2}, {"x": 3}]
MISTAKES = [Mistake("plus_two", lambda example, output: output == example["x"] + 2)]


def squares(square):
    """The square is the number times itself.

    More of the docstring.
    """
    same_as(square, lambda x: x * x, EXAMPLES, reference_name="x times x", mistakes=MISTAKES)


def both_are_there(square, cube):
    """The cube goes with the square."""
    same_as(lambda x: cube(x) / square(x), lambda x: float(x), EXAMPLES)


def stumbles(square):
    """A check that asks more of an answer than there may be."""
    square(2).no_such_thing


CHECKS = [squares, both_are_there, stumbles]
'''


@pytest.fixture
def exercise(tmp_path):
    folder = tmp_path / "02_topic" / "masters" / "02.9_square"
    folder.mkdir(parents=True)
    (folder / "checks.py").write_text(CHECKS, encoding="utf-8")
    return Exercise(
        id="02.9",
        slug="square",
        master=folder / "master.py",
        title="Squares",
        teaches="squares",
        difficulty=1,
        minutes=1,
        needs=("square", "cube"),
        hints=("a", "b", "c"),
        mistakes={"plus_two": "You added."},
    )


def only(exercise, name, **answers) -> CheckResult:
    report = run_checks(exercise, answers, only=name)
    assert len(report.results) == 1
    return report.results[0]


def test_a_right_answer_passes(exercise):
    result = only(exercise, "squares", square=lambda x: x**2)
    assert (result.verdict, result.passed, result.found) == ("passed", True, "")
    assert result.title == "The square is the number times itself."
    assert result.seconds >= 0


def test_a_wrong_answer_fails_with_the_example_and_its_hint(exercise):
    report = run_checks(exercise, {"square": lambda x: x + 2}, only="squares")
    result = report.results[0]
    assert (result.verdict, result.mistake, result.example) == ("failed", "plus_two", {"x": 3})  # 2 + 2 is 2 times 2
    assert result.found == "the answer equals that of x times x: 5 instead of 9 (x times x)"
    assert result.answer == 5
    assert report.hint_for(result) == "You added."
    assert not report.passed


def test_an_unknown_wrong_answer_has_no_hint(exercise):
    report = run_checks(exercise, {"square": lambda x: 0}, only="squares")
    assert report.results[0].mistake is None
    assert report.hint_for(report.results[0]) is None


def test_what_is_missing_is_named_and_all_checks_are_run(exercise):
    report = run_checks(exercise, {"square": lambda x: x * x})
    assert [result.verdict for result in report.results] == ["passed", "missing", "failed"]
    assert report.results[1].found == "`cube` is not defined yet; run the cell that defines it first"
    found = only(exercise, "both_are_there").found
    assert found == "`square` and `cube` are not defined yet; run the cells that define them first"


def test_a_check_that_is_not_there_is_an_error_that_lists_those_there_are(exercise):
    with pytest.raises(ExerciseError, match="no check 'x'; it has: squares, both_are_there, stumbles"):
        run_checks(exercise, {}, only="x")


def raising(error):
    def square(x):
        raise error

    return square


class OutsideException(BaseException):
    pass


class RaisesInItsText(Exception):  # noqa: N818
    def __str__(self):
        raise SystemExit("not even this")

    __repr__ = __str__


@pytest.mark.parametrize("name", ["squares", "stumbles"])
@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ValueError("x"), "your code raised ValueError: x"),
        (SystemExit(3), "your code raised SystemExit: 3"),
        (OutsideException(), "your code raised OutsideException"),
        (MemoryError(), "your code raised MemoryError"),
        (RaisesInItsText(), "your code raised RaisesInItsText: (its text cannot be shown: SystemExit)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_of_the_answer_is_a_verdict_with_its_line(name, error, found, exercise):
    result = only(exercise, name, square=raising(error))
    assert (result.verdict, result.found) == ("raised", found)
    assert result.where.splitlines()[-1].startswith("in square, line ")
    assert result.where.endswith(": raise error")
    assert result.example == ({"x": 2} if name == "squares" else {})


@pytest.mark.parametrize("name", ["squares", "stumbles"])
def test_a_recursion_without_end_is_a_verdict(name, exercise):
    def square(x):
        return square(x)

    result = only(exercise, name, square=square)
    assert (result.verdict, result.found.split(":")[0]) == ("raised", "your code raised RecursionError")
    assert "return square(x)" in result.where


@pytest.mark.parametrize("name", ["squares", "stumbles"])
def test_an_unwritten_answer_is_told_from_a_wrong_one(name, exercise):
    result = only(exercise, name, square=raising(NotImplementedError()))
    assert (result.verdict, result.found) == ("unwritten", "nothing is written yet")


@pytest.mark.parametrize("name", ["squares", "stumbles"])
def test_ctrl_c_passes_through(name, exercise):
    with pytest.raises(KeyboardInterrupt):
        only(exercise, name, square=raising(KeyboardInterrupt()))


@pytest.mark.parametrize("answer", [5, None, "square", torch.zeros(2), [1]])
def test_what_is_no_function_fails_clearly(answer, exercise):
    result = only(exercise, "squares", square=answer)
    assert result.verdict == "failed"
    assert result.found.startswith("the answer is a function: expected a function, got ")


def test_an_answer_over_which_the_check_stumbles_fails(exercise):
    result = only(exercise, "stumbles", square=lambda x: x)
    assert result.verdict == "failed"
    assert result.found.startswith("the check could not use what your code gave: AttributeError(")


def test_an_answer_with_a_hostile_text_is_a_verdict(exercise):
    class Hostile:
        def __repr__(self):
            raise SystemExit

        __str__ = __eq__ = __getattr__ = __repr__

    result = only(exercise, "squares", square=lambda x: Hostile())
    assert result.verdict == "failed"
    assert "got Hostile" in result.found


def test_a_failure_in_another_process_keeps_its_lines_and_kind():
    def remote(x):
        raise AnswerRaised("TimeLimit", "more than 10 s", where="in square, line 3: while True:")

    def check(square):
        """It ends."""
        same_as(square, lambda x: x, [{"x": 1}], mistakes=[Mistake("any", lambda *_: True)])

    result = run_check("check", check, {"square": remote})
    assert (result.verdict, result.found) == ("raised", "your code raised TimeLimit: more than 10 s")
    assert result.where == "in square, line 3: while True:"
    assert result.example == {"x": 1}


def test_a_report_of_no_failure_has_passed(exercise):
    results = [CheckResult("a", "A", "passed"), CheckResult("b", "B", "passed")]
    assert Report(exercise, results).passed
    assert not Report(exercise, [*results, CheckResult("c", "C", "unwritten")]).passed
