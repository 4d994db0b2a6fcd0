"""What do the checks say of a version of an exercise? Runs versions in a child process, which can be killed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from course_lib.exercises.building.master import Notebook, is_graded, read_master
from course_lib.exercises.building.regions import regions, without_hidden_tests, without_markers
from course_lib.exercises.building.versions import student
from course_lib.exercises.catalogue import Exercise, ExerciseError
from course_lib.exercises.checking import Verdict

MOST_SECONDS = 120.0  # of a version whose time is not known, and until a child has imported torch


@dataclass(frozen=True)
class CheckOutcome:
    """What one public check found; see CheckResult."""

    name: str
    verdict: Verdict
    found: str
    mistake: str | None


@dataclass(frozen=True)
class Trial:
    """What became of one version.

    ended: "whole"; "time" if it ran too long and was killed; "died" if it took its process with it. Only a whole one
    has the rest. errors: of its cells, as "cell 3: ValueError: …". checks: the public ones in order. hidden: the
    grade_id of each cell with hidden tests -> the error that they raised, or None.
    """

    ended: Literal["whole", "time", "died"]
    seconds: float
    errors: tuple[str, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()
    hidden: dict[str, str | None] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        public = [check.verdict == "passed" for check in self.checks]
        return self.ended == "whole" and all(public) and not any(self.hidden.values())


def solved_cells(master: Notebook) -> list[str]:
    """The code of the solved exercise, cell by cell, without the graded cells."""
    code = [cell for cell in master.cells if cell.cell_type == "code" and not is_graded(cell)]
    return [without_markers(without_hidden_tests(cell.source)) for cell in code]


def untouched_cells(exercise: Exercise, master: Notebook) -> list[str]:
    """The code that a learner finds, cell by cell, without the graded cells."""
    notebook = student(exercise, master)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code" and not is_graded(cell)]


def hidden_tests(master: Notebook) -> dict[str, str]:
    """The hidden tests by the grade_id of their cell."""
    graded = [cell for cell in master.cells if is_graded(cell)]
    texts = {cell.metadata["nbgrader"]["grade_id"]: "\n".join(regions(cell.source).hidden) for cell in graded}
    return {grade_id: text for grade_id, text in texts.items() if text.strip()}


class Trials:
    """Runs versions of one exercise, each in a namespace of its own: `with Trials(exercise) as trials: trials.run(…)`.

    One child runs them all, so that torch is imported once; after a version that had to be killed, a new child goes on.
    """

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise
        self.hidden = hidden_tests(read_master(exercise))
        self._child: _Child | None = None

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *error: object) -> None:
        self._end_child()

    def run(self, cells: Sequence[str], seconds: float = MOST_SECONDS) -> Trial:
        """Run the cells, then all public checks, then the hidden tests, for at most `seconds`.

        Raises ExerciseError where a child cannot even begin, as with a faulty checks.py.
        """
        if self._child is None:
            self._child = _Child(self.exercise)
        began = time.monotonic()
        answer = self._child.ask({"cells": list(cells), "hidden": self.hidden}, seconds)
        took = time.monotonic() - began
        if isinstance(answer, dict):
            checks = tuple(CheckOutcome(**check) for check in answer["checks"])
            return Trial("whole", took, tuple(answer["errors"]), checks, answer["hidden"])
        self._end_child()
        return Trial(answer, took)

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """`python -m course_lib.exercises.building.trial_worker`, in a process group and a scratch folder of its own."""

    def __init__(self, exercise: Exercise) -> None:
        from course_lib.batch.refresh import kernel_environment

        self._scratch = tempfile.TemporaryDirectory()
        self._rest = b""
        environment = kernel_environment() | {
            "COURSE_ANSWERING": "1",
            "COURSE_EXERCISES_DIR": str(exercise.folder.parent.resolve()),
            "COURSE_PROGRESS_FILE": os.path.join(self._scratch.name, "progress.json"),
            "MPLBACKEND": "agg",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.exercises.building.trial_worker", str(exercise.master.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._scratch.name,
            env=environment,
            start_new_session=True,
        )
        if self._line(MOST_SECONDS) != "ready":
            self._kill()
            said = self._process.communicate()[1].decode(errors="replace").strip().splitlines()
            self._scratch.cleanup()
            raise ExerciseError(f"the checks of {exercise.id} cannot be loaded: {said[-1] if said else 'no word why'}")

    def ask(self, version: dict[str, Any], seconds: float) -> dict[str, Any] | Literal["time", "died"]:
        """The worker's answer, or why there is none."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(version).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return "died"
        answer = self._line(seconds)
        if isinstance(answer, dict):
            return answer
        return "time" if answer == "time" else "died"

    def end(self) -> None:
        self._kill()
        self._process.communicate()
        self._scratch.cleanup()

    def _kill(self) -> None:
        # Also where the child is gone, for what it may have started. Its number is ours until we ask for its status.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _line(self, seconds: float) -> Any:
        """The next line as JSON, "time" if it does not come, None at the end."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return "time"
            some = os.read(self._process.stdout.fileno(), 1 << 16)
            if not some:
                return None
            self._rest += some
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)
