"""Does an answer have the properties asked for? Runs an exercise's checks and tells what each found."""

import contextlib
import inspect
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from course_lib.exercises.catalogue import Exercise, ExerciseError
from course_lib.exercises.failures import AnswerRaised, PropertyFailed, answer_raised, own_lines, text_of

Verdict = Literal["passed", "failed", "raised", "missing", "unwritten"]


@dataclass
class CheckResult:
    """What one check found.

    verdict: passed; failed (the property does not hold); raised (the learner's code raised); missing (a name is not
    defined); unwritten (NotImplementedError: nothing there yet). mistake: a key of the exercise's known mistakes.
    error_kind: the class of the error that the learner's code raised, or "".
    """

    name: str
    title: str
    verdict: Verdict
    found: str = ""
    example: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    mistake: str | None = None
    where: str = ""
    seconds: float = 0.0
    error_kind: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


@dataclass
class Report:
    """What the checks of one exercise found, in their order."""

    exercise: Exercise
    results: list[CheckResult]

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)

    def hint_for(self, result: CheckResult) -> str | None:
        """What the exercise's card says to someone who made this recognised mistake."""
        return self.exercise.mistakes.get(result.mistake or "")


def run_checks(exercise: Exercise, answers: Mapping[str, Any], only: str | None = None) -> Report:
    """Run the public checks against `answers`, which maps the names a learner defines to what they defined.

    only: the name of one check. Raises ExerciseError for a check that the exercise has not.
    """
    checks = exercise.checks()
    if only is not None and only not in checks:
        raise ExerciseError(f"exercise {exercise.id} has no check {only!r}; it has: {', '.join(checks)}")
    chosen = checks if only is None else {only: checks[only]}
    with one_thread():
        return Report(exercise, [run_check(name, check, answers) for name, check in chosen.items()])


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Work on many tiny tensors: torch's threads cost more there than they bring, seconds on a busy laptop.

    Loads no torch where there is none yet; the number of threads is as before at the end.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_check(name: str, check: Callable[..., None], answers: Mapping[str, Any]) -> CheckResult:
    """Run one check; whatever the learner's code does, a result comes back (only Ctrl-C passes through).

    Its `found` is one line or a few, its `where` the lines of the learner's code that raised.
    """
    title = (inspect.getdoc(check) or name).splitlines()[0]
    needs = list(inspect.signature(check).parameters)
    if absent := [need for need in needs if need not in answers]:
        names = " and ".join(f"`{need}`" for need in absent)
        found = f"{names} is not defined yet; run the cell that defines it first"
        if len(absent) > 1:
            found = f"{names} are not defined yet; run the cells that define them first"
        if near := get_close_matches(absent[0], set(map(str, answers)) - set(needs), n=1, cutoff=0.85):
            found = f"{found} (you have `{near[0]}`: is that it?)"
        return CheckResult(name, title, "missing", found)
    began = time.monotonic()
    result = _verdict(name, title, lambda: check(*(answers[need] for need in needs)))
    result.seconds = time.monotonic() - began
    return result


def _verdict(name: str, title: str, run: Callable[[], None]) -> CheckResult:
    try:
        run()
    except PropertyFailed as failed:
        return CheckResult(name, title, "failed", str(failed), failed.example, failed.answer, failed.mistake)
    except AnswerRaised as raised:
        return _raised(name, title, raised)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # It came from no call through `answer_to`: a check that calls the answer itself, or an answer so odd that the
        # check stumbled over it.
        if own_lines(error.__traceback__):
            return _raised(name, title, answer_raised(error))
        found = f"the check could not use what your code gave: {text_of(error, 'repr')}"
        return CheckResult(name, title, "failed", found)
    return CheckResult(name, title, "passed")


def _raised(name: str, title: str, raised: AnswerRaised) -> CheckResult:
    if raised.kind == "NotImplementedError":
        return CheckResult(name, title, "unwritten", "nothing is written yet", raised.example, where=raised.where)
    kind = raised.kind
    return CheckResult(name, title, "raised", str(raised), raised.example, where=raised.where, error_kind=kind)
