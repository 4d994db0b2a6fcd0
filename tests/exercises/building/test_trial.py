"""Versions of an exercise are run for real, one after the other, and none can stop the rest."""

import time

import psutil
import pytest

from course_lib.exercises.building.master import read_master
from course_lib.exercises.building.trial import Trials, solved_cells, untouched_cells
from course_lib.exercises.catalogue import ExerciseError


@pytest.fixture
def trials(exercise):
    with Trials(exercise) as trials:
        yield trials


def verdicts(trial):
    return [check.verdict for check in trial.checks]


def test_the_solution_passes_everything(exercise, trials):
    trial = trials.run(solved_cells(read_master(exercise)))
    assert trial.passed
    assert trial.errors == ()
    assert verdicts(trial) == ["passed", "passed"]
    assert trial.hidden == {"twice": None}


def test_the_untouched_version_is_unwritten(exercise, trials):
    trial = trials.run(untouched_cells(exercise, read_master(exercise)))
    assert not trial.passed
    assert verdicts(trial) == ["unwritten", "unwritten"]
    assert trial.hidden["twice"].startswith("NotImplementedError")
    assert trial.errors == ("code cell 3: NotImplementedError:",)


def test_hidden_tests_find_what_public_checks_do_not(trials):
    trial = trials.run(["def double(number):\n    return 2 * abs(number)"])
    assert verdicts(trial) == ["passed", "passed"]
    assert trial.hidden == {"twice": "AssertionError: minus seventeen and a half"}
    assert not trial.passed


def test_an_endless_version_is_killed_and_the_next_one_runs(exercise, trials):
    began = time.monotonic()
    assert trials.run(["while True: pass"], seconds=1).ended == "time"
    assert time.monotonic() - began < 30
    assert trials.run(solved_cells(read_master(exercise))).passed


def test_an_endless_answer_is_killed(trials):
    assert trials.run(["def double(number):\n    while True: pass"], seconds=1).ended == "time"


@pytest.mark.parametrize("end", ["import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"])
def test_a_version_that_ends_its_process_is_noticed_and_the_next_one_runs(exercise, trials, end):
    assert trials.run([end]).ended == "died"
    assert trials.run(solved_cells(read_master(exercise))).passed


def test_what_a_version_prints_reads_or_raises_does_not_come_between_the_answers(exercise, trials):
    loud = ["print('{}\\n' * 3)", "import os; os.write(1, b'{}\\n')", "print(input())", "raise SystemExit", "1 / 0"]
    trial = trials.run([*loud, *solved_cells(read_master(exercise))])
    assert trial.passed
    assert [error.split(": ")[1].rstrip(":") for error in trial.errors] == [
        "EOFError",
        "SystemExit",
        "ZeroDivisionError",
    ]


def test_versions_share_no_names(exercise, trials):
    trials.run(solved_cells(read_master(exercise)))
    assert verdicts(trials.run(["pass"])) == ["missing", "missing"]


def test_checks_that_cannot_be_loaded_are_told_in_one_line(write_exercise):
    broken = write_exercise(checks=[("CHECKS = [", "raise RuntimeError('no wind')\nCHECKS = [")])
    with Trials(broken) as trials, pytest.raises(ExerciseError, match=r"checks of 01.7 cannot be loaded: .*no wind"):
        trials.run(["pass"])


@pytest.mark.parametrize("end", ["pass", "import os; os._exit(0)", "while True: pass"])
def test_no_process_is_left_behind(exercise, tmp_path, end):
    start = (
        f"import subprocess; open({str(tmp_path / 'pid')!r}, 'w').write(str(subprocess.Popen(['sleep', '300']).pid))"
    )
    with Trials(exercise) as trials:
        trials.run([start, end], seconds=2)
    sleeper = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while is_running(sleeper) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(sleeper)


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
