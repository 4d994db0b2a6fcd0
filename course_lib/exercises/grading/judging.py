"""How many points does one notebook earn? Its code runs shut away; the verdicts are made out here.

Of the notebook, only the student's own cells are run. The checks are the master's, and run in this process, which the
student's code cannot reach: it is called like a service, and gives back data only. So whatever a notebook does to its
check cells, to `check`, to torch or to Python itself, it changes only its own answers.
"""

import builtins
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from course_lib.exercises.answering import AnswerSession, CellOutcome, Isolation, SessionLimits
from course_lib.exercises.checking import CheckResult, run_checks
from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.grading.papers import GradedCell, Paper
from course_lib.exercises.grading.results import (
    DIED,
    EXCEPTION,
    GRADER_ERROR,
    NOT_WRITTEN,
    OUT_OF_MEMORY,
    OUT_OF_TIME,
    TOO_MANY_PROCESSES,
    WRONG,
    CellResult,
    Judgement,
    Ran,
    Value,
)
from course_lib.exercises.values import shown

# How a session ends, and what its answers then raise, in the table's words.
ENDS = {"time": OUT_OF_TIME, "memory": OUT_OF_MEMORY, "processes": TOO_MANY_PROCESSES, "died": DIED, "protocol": DIED}
KINDS = {
    "TimeLimit": OUT_OF_TIME,
    "MemoryLimit": OUT_OF_MEMORY,
    "ProcessLimit": TOO_MANY_PROCESSES,
    "ProcessDied": DIED,
}
NOT_SHOWN = "it passes the check that you can see, and fails on a further example that is not shown"
LONGEST_TEXT, LONGEST_TRACEBACK = 2_000, 20_000


class _NotPassed(Exception):  # noqa: N818 - it reads as what happened
    """A public check within a graded cell did not pass."""

    def __init__(self, result: CheckResult) -> None:
        super().__init__(result.name)
        self.result = result


def judge(paper: Paper, sources: Sequence[tuple[int, str]], limits: SessionLimits, isolation: Isolation) -> Judgement:
    """Run a student's cells (each with its place in the notebook) and judge them by the paper's graded cells.

    Always returns; what befalls the grader itself stands in `problem`.
    """
    began = time.monotonic()
    with AnswerSession([source for _, source in sources], limits=limits, isolation=isolation) as session:
        ran = [_ran(sources, outcome) for outcome in session.cells]
        cells = _Examination(paper, session, ran).results()
        seconds = time.monotonic() - began
        return Judgement(cells, ran, session.ended_text, isolation.level, round(seconds, 2))


def not_judged(paper: Paper, error_class: str, found: str) -> list[CellResult]:
    """The results of a notebook that could not be judged at all: no points."""
    return [
        CellResult(cell.name, cell.title, 0, cell.points, "not judged", error_class, found) for cell in paper.graded
    ]


class _Examination:
    """The graded cells, one after another, in one namespace, as a notebook would run them."""

    def __init__(self, paper: Paper, session: AnswerSession, ran: Sequence[Ran]) -> None:
        self.paper, self.session, self.ran = paper, session, ran
        self.space: dict[str, Any] = {"__name__": "__graded__", "__builtins__": builtins}
        self.over = ""

    def results(self) -> list[CellResult]:
        try:
            exec(compile(self.paper.setup, "<the master's setup>", "exec"), self.space)
        except Exception as error:
            found = "the exercise's own setup failed"
            cells = not_judged(self.paper, GRADER_ERROR, found)
            for cell in cells:
                cell.detail = _detail(error)
            return cells
        return [self._cell(cell) for cell in self.paper.graded]

    def _cell(self, cell: GradedCell) -> CellResult:
        result = CellResult(cell.name, cell.title, 0, cell.points, "failed", WRONG)
        ended = ENDS.get(self.session.ended or "", DIED if self.session.ended else "")
        if self.over or ended:
            # What blocks costs its time once, not once for each cell.
            result.verdict, result.error_class = "not judged", self.over or ended
            result.found = f"not judged any more: {_in_words(result.error_class)}"
            return result
        hidden = False
        try:
            self.space.update(self._answers())
            exec(compile(cell.public, f"<graded cell {cell.name}>", "exec"), self.space)
            hidden = True
            self.space.update(self._answers())
            exec(compile(cell.hidden, f"<hidden tests of {cell.name}>", "exec"), self.space)
        except _NotPassed as failed:
            self._note_check(result, failed.result)
        except AnswerRaised as raised:
            self._note_raised(result, raised.kind, f"your code raised {raised.kind}: {raised.error}", raised.where)
            if not hidden:
                result.example = _values(raised.example)
        except Exception as error:
            result.mistake = error.mistake if isinstance(error, PropertyFailed) else None
            result.found, result.detail = f"{type(error).__name__}: {error}", _detail(error)
        else:
            result.points, result.verdict, result.error_class = cell.points, "passed", "ok"
            return result
        if hidden:
            result.hidden = True
            result.detail = result.detail or result.found
            # Of a hidden test the student learns that it failed, and what kind of limit or error was met, no more.
            result.found = (
                NOT_SHOWN if result.error_class in (WRONG, NOT_WRITTEN) else f"{NOT_SHOWN}: {result.error_class}"
            )
            result.where = ""
        result.found = result.found[:LONGEST_TEXT]
        result.hint = self.paper.exercise.mistakes.get(result.mistake or "", "")
        return result

    def _answers(self) -> dict[str, Any]:
        """The names that the exercise asks for, and `check`; nothing else of the student's gets into this process."""
        answers = self.session.answers
        found = {name: answers[name] for name in self.paper.exercise.needs if name in answers}
        for name in self.paper.exercise.needs:
            self.space.pop(name, None)
        return {**found, "check": self._check, "hint": _nothing, "step": _nothing}

    def _check(self, id: str, name: str | None = None) -> None:
        report = run_checks(self.paper.exercise, self.session.answers, name)
        for result in report.results:
            if not result.passed:
                raise _NotPassed(result)

    def _note_check(self, result: CellResult, check: CheckResult) -> None:
        result.found, result.mistake = check.found, check.mistake
        result.example = _values(check.example)
        if check.verdict == "failed":
            result.answer = _values({"your code gave": check.answer})[0] if check.example else None
        elif check.verdict == "raised":
            self._note_raised(result, check.error_kind, check.found, check.where)
        else:
            result.verdict = check.verdict
            result.error_class = self._why_missing() if check.verdict == "missing" else NOT_WRITTEN

    def _note_raised(self, result: CellResult, kind: str, found: str, where: str) -> None:
        result.verdict, result.found, result.where = "raised", found, where[:LONGEST_TEXT]
        result.error_class = KINDS.get(kind, EXCEPTION)
        if kind == "NotImplementedError":
            result.verdict, result.error_class = "unwritten", NOT_WRITTEN
        elif result.error_class != EXCEPTION:
            self.over = result.error_class

    def _why_missing(self) -> str:
        """A name can be missing because the cell that should define it went wrong, or because there is none."""
        # Where a later cell asks for the name, it only says once more that it is not there.
        echo = tuple(f"name {need!r} is not defined" for need in self.paper.exercise.needs)
        errors = [ran.error for ran in self.ran if ran.error and not ran.text.startswith(echo)]
        if not errors:
            return NOT_WRITTEN
        return next((KINDS[error] for error in errors if error in KINDS), EXCEPTION)


def _in_words(error_class: str) -> str:
    return {
        OUT_OF_TIME: "your code ran into the time limit",
        OUT_OF_MEMORY: "your code used more memory than it may",
        TOO_MANY_PROCESSES: "your code started more processes than it may",
        DIED: "the process that ran your code has ended",
    }.get(error_class, error_class)


def _values(example: Mapping[str, Any]) -> list[Value]:
    values = []
    for name, value in example.items():
        it = shown(value)
        values.append(Value(str(name)[:100], it.kind[:200], it.text[:LONGEST_TEXT]))
    return values


def _ran(sources: Sequence[tuple[int, str]], outcome: CellOutcome) -> Ran:
    return Ran(
        sources[outcome.index][0],
        outcome.stdout,
        outcome.stderr,
        (outcome.error_kind or "")[:100],
        outcome.error_text[:LONGEST_TEXT],
        outcome.traceback[-LONGEST_TRACEBACK:],
        round(outcome.seconds, 2),
    )


def _detail(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-LONGEST_TEXT:]


def _nothing(*arguments: Any, **named: Any) -> None:
    pass
