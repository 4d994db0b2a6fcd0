"""What happens in the child that tries versions of an exercise? `python -m …trial_worker MASTER`, told by `trial`.

It reads versions from standard input, a line of JSON each, and answers each by a line. For our own code only: nothing
here keeps a version from doing harm, as a learner's might.
"""

import contextlib
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from course_lib.exercises.building.trial import CheckOutcome
from course_lib.exercises.catalogue import read_exercise
from course_lib.exercises.checking import run_checks

MOST_MEMORY = 8 * 2**30


def main(master: Path) -> None:
    """Answer until standard input ends."""
    with contextlib.suppress(OSError, ValueError):  # a version that hoards memory for ever must not take the machine's
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    # Whatever a version prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    versions = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def answer(value: Any) -> None:
        print(json.dumps(value), file=answers, flush=True)

    exercise = read_exercise(master)
    exercise.checks()  # fails here rather than in each version
    answer("ready")
    for line in versions:
        answer(_try(exercise, **json.loads(line)))


def _try(exercise: Any, cells: list[str], hidden: dict[str, str]) -> dict[str, Any]:
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "__main__", "display": lambda *shown, **options: None}
    errors = []
    for number, source in enumerate(cells, start=1):
        if error := _run(source, f"code cell {number}", names):
            errors.append(f"code cell {number}: {error}")
    report = run_checks(exercise, names)
    checks = [CheckOutcome(result.name, result.verdict, result.found, result.mistake) for result in report.results]
    found = {grade_id: _run(text, f"hidden tests of {grade_id}", dict(names)) for grade_id, text in hidden.items()}
    return {"errors": errors, "checks": [asdict(check) for check in checks], "hidden": found}


def _run(source: str, file: str, names: dict[str, Any]) -> str | None:
    """The error that the code raises, in a line, or None."""
    try:
        exec(compile(source, file, "exec"), names)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
