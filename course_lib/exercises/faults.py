"""Would the checks notice? The mutation lab: faults seeded into each solution, each with the hint it should earn."""

import contextlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from course_lib.exercises.building.master import Notebook, is_solution, read_master
from course_lib.exercises.building.trial import MOST_SECONDS, Trial, Trials, solved_cells
from course_lib.exercises.catalogue import Exercise, ExerciseError, Fault

LEAST_SHARE_WITH_HINT = 0.95
EXTRA_SECONDS = 60.0  # a fault may lead to an experiment that the solution need not repeat
Catcher = Literal["public", "hidden", "time", "died", "nothing"]


@dataclass(frozen=True)
class FaultResult:
    """What became of one fault.

    catcher: public or hidden tests; time, where it ran far longer than the solution; died, where it took its process
    with it; nothing, if it survived. caught_by: the same in words, with the check's name. found: what the check said.
    recognised: the first mistake that a public check recognised, the one whose hint the learner reads.
    """

    exercise: str
    fault: Fault
    catcher: Catcher
    caught_by: str
    found: str
    recognised: str | None
    seconds: float

    @property
    def killed(self) -> bool:
        return self.catcher != "nothing"

    @property
    def right_hint(self) -> bool:
        """Whether a public check caught it and its hint is the one that the card expects."""
        return self.catcher == "public" and self.recognised == self.fault.mistake


def try_faults(exercise: Exercise, trials: Trials | None = None) -> list[FaultResult]:
    """Apply each fault of the card to the solution, and run all checks on it.

    trials: the exercise's own, if they are open already.
    A fault may take five times as long as the solution and a minute more, then it counts as caught by the time.
    Raises ExerciseError for a fault that cannot be applied, and for a solution that does not pass its own checks.
    """
    master = read_master(exercise)
    solved = solved_cells(master)
    versions = [_mutated(exercise, master, fault) for fault in exercise.faults]
    if not versions:
        return []
    with contextlib.nullcontext(trials) if trials else Trials(exercise) as trials:
        baseline = trials.run(solved)
        _must_pass(exercise, baseline)
        limit = min(EXTRA_SECONDS + 5 * baseline.seconds, MOST_SECONDS)
        pairs = zip(exercise.faults, versions, strict=True)
        return [_result(exercise, fault, trials.run(version, limit)) for fault, version in pairs]


def share_with_hint(results: Sequence[FaultResult]) -> float:
    """The share of faults that a public check catches with the right hint; 1 where there are none."""
    return sum(result.right_hint for result in results) / len(results) if results else 1.0


def write_json(path: Path, results: Sequence[FaultResult]) -> None:
    """The results for tools, with the totals. Raises OSError."""
    from course_lib.batch.files import write_atomically

    listed = [
        {
            "exercise": result.exercise,
            "fault": result.fault.name,
            "catcher": result.catcher,
            "caught_by": result.caught_by,
            "found": result.found,
            "expected": result.fault.mistake,
            "recognised": result.recognised,
            "right_hint": result.right_hint,
        }
        for result in results
    ]
    totals = {
        "faults": len(results),
        "killed": sum(result.killed for result in results),
        "with_right_hint": sum(result.right_hint for result in results),
    }
    write_atomically(path, json.dumps({"totals": totals, "results": listed}, indent=1, ensure_ascii=False) + "\n")


def _mutated(exercise: Exercise, master: Notebook, fault: Fault) -> list[str]:
    """The solved cells with the fault in one of them."""
    said = f"{exercise.master.parent / 'card.toml'}: the fault {fault.name!r}"
    hits = sum(cell.source.count(fault.find) for cell in master.cells if is_solution(cell)) if fault.find else 0
    if hits != 1:
        raise ExerciseError(f"{said}: its `find` must stand once in the solution, it is there {hits} times")
    if fault.find == fault.replace:
        raise ExerciseError(f"{said} changes nothing")
    master = deepcopy(master)
    for cell in master.cells:
        if is_solution(cell):
            cell.source = cell.source.replace(fault.find, fault.replace)
            try:
                compile(cell.source, "solution", "exec")
            except SyntaxError as error:
                raise ExerciseError(f"{said} makes code that is no Python: {error.msg}") from None
    return solved_cells(master)


def _must_pass(exercise: Exercise, baseline: Trial) -> None:
    if baseline.ended != "whole":
        raise ExerciseError(f"the solution of {exercise.id} does not end: {baseline.ended}")
    failed = [f"{check.name}: {check.found}" for check in baseline.checks if check.verdict != "passed"]
    failed += [f"hidden tests of {grade_id}: {error}" for grade_id, error in baseline.hidden.items() if error]
    if failed := [*baseline.errors, *failed]:
        raise ExerciseError(f"the solution of {exercise.id} itself fails: {failed[0]}")


def _result(exercise: Exercise, fault: Fault, trial: Trial) -> FaultResult:
    failed = [check for check in trial.checks if check.verdict != "passed"]
    hidden = {grade_id: error for grade_id, error in trial.hidden.items() if error}
    recognised = next((check.mistake for check in failed if check.mistake is not None), None)
    catcher: Catcher = "nothing"
    caught_by, found = "nothing: it survived", ""
    if trial.ended != "whole":
        catcher = trial.ended
        caught_by = "the time limit" if trial.ended == "time" else "the end of its process"
    elif failed:
        catcher, caught_by, found = "public", failed[0].name, failed[0].found
    elif hidden:
        grade_id, error = next(iter(hidden.items()))
        catcher, caught_by, found = "hidden", f"hidden tests only: {grade_id}", str(error)
    return FaultResult(exercise.id, fault, catcher, caught_by, found, recognised, trial.seconds)
