"""Does `course grade` do what it says, on a course of one small exercise?"""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from typer.testing import CliRunner

from course_lib.cli import app

MASTER = """\
# %%
from course_lib.exercises import check

# %% nbgrader={"solution": true, "grade_id": "double"}
def double(number):
    ### BEGIN SOLUTION
    return number * 2
    ### END SOLUTION

# %%
check("01.1")

# %% nbgrader={"grade": true, "grade_id": "doubles", "points": 2}
check("01.1", "doubles")
"""
CHECKS = '''\
from course_lib.exercises.failures import AnswerRaised, PropertyFailed

def doubles(double):
    """It doubles."""
    try:
        result = double(3)
    except AnswerRaised:
        raise
    if result != 6:
        raise PropertyFailed("it doubles", f"{result} for 3", {"number": 3}, result)

CHECKS = [doubles]
'''
CARD = """\
title = "Twice the number"
teaches = "arithmetic"
difficulty = 1
minutes = 5
needs = ["double"]

[hints]
nudge = "a"
outline = "b"
code = "c"
"""
RIGHT = "def double(number):\n    return number + number"

WEAKER = "Basic isolation only"  # said first where bubblewrap is not installed


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one exercise, which is also the working directory."""
    place = tmp_path / "exercises" / "01_numbers" / "masters" / "01.1_double"
    place.mkdir(parents=True)
    for name, text in (("master.py", MASTER), ("checks.py", CHECKS), ("card.toml", CARD)):
        (place / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COURSE_EXERCISES_DIR", raising=False)
    return tmp_path


@pytest.fixture
def hand_in(course):
    def write(**by_student):
        for student, source in by_student.items():
            cells = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}]
            content = {"cells": cells, "metadata": {"course": {"exercise": "01.1"}}, "nbformat": 4, "nbformat_minor": 5}
            (course / "submitted" / student).mkdir(parents=True, exist_ok=True)
            (course / "submitted" / student / "01.1.ipynb").write_text(json.dumps(content))

    return write


def course_grade(*arguments):
    return CliRunner().invoke(app, ["grade", *arguments])


def rows(path="grades.csv"):
    with open(path, encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_a_class_gets_its_table_pages_and_notebooks(course, hand_in):
    hand_in(alice=RIGHT, bob="def double(number):\n    return number")
    done = course_grade("submitted", "--jobs", "2", "--due", "2000-01-01")
    assert done.exit_code == 0, done.output
    assert {name: row["points"] for name, row in rows().items()} == {"alice": "2", "bob": "0"}
    assert "2 notebooks of 2 students: 1 with all points, mean 50 %" in done.output
    assert "2 late" in done.output
    for place in ("summary.html", "feedback/alice.html", "feedback/bob.html", "autograded/alice/01.1_double.ipynb"):
        assert (course / "grades" / place).is_file()
        assert not list((course / "grades").rglob("*.tmp"))
    again = course_grade("submitted")
    assert again.exit_code == 0
    assert "2 of 2 were graded before and are unchanged" in again.output
    assert {row["late"] for row in rows().values()} == {""}


def test_places_can_be_chosen(course, hand_in):
    hand_in(alice=RIGHT)
    os.rename(course / "exercises", course / "private")
    options = ["--out", "out/class.csv", "--feedback", "pages", "--exercises", "private", "--fresh"]
    (course / "out").mkdir()
    done = course_grade("submitted", *options)
    assert done.exit_code == 0, done.output
    assert rows("out/class.csv")["alice"]["points"] == "2"
    assert (course / "pages" / "alice.html").is_file()
    assert "../../pages/alice.html" in (course / "out" / "class" / "summary.html").read_text()


@pytest.mark.slow
def test_points_go_into_nbgraders_gradebook(course, hand_in):
    from nbgrader.api import Gradebook

    hand_in(alice=RIGHT, bob="def double(number):\n    return number")
    for _ in range(2):  # entering them again changes nothing
        done = course_grade("submitted", "--gradebook", "gradebook.db")
        assert done.exit_code == 0, done.output
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        scores = {
            item.student.id: (item.score, item.max_score) for item in gradebook.assignment_submissions("01_numbers")
        }
    assert scores == {"alice": (2.0, 2.0), "bob": (0.0, 2.0)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no submissions at nowhere"),
        (["submitted", "--out", "grades.txt"], "--out needs the name of a table such as grades.csv"),
        (["submitted", "--out", "submitted.csv"], "among the submissions; use another --out"),
        (["submitted", "--jobs", "0"], "--jobs must be 1 or more"),
        (["submitted", "--time-limit", "0"], "--time-limit must be seconds from 1"),
        (["submitted", "--memory-limit", "0.1"], "--memory-limit must be GiB from 0.25"),
        (["submitted", "--due", "tomorrow"], "--due needs a time such as"),
        (["submitted", "--exercise", "01.9"], "unknown exercise '01.9'"),
        (["submitted", "--exercises", "nowhere"], "no such folder"),
        (["submitted", "--exercises", "submitted"], "no exercises in submitted"),
        (["empty"], "no notebook in empty"),
    ],
)
def test_bad_usage_is_one_line_and_exit_status_2(course, hand_in, arguments, said):
    hand_in(alice=RIGHT)
    (course / "empty").mkdir()
    done = course_grade(*arguments)
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert len([line for line in done.output.strip().splitlines() if WEAKER not in line]) == 1
    assert not (course / "grades.csv").exists()


@pytest.mark.slow
def test_without_a_sandbox_it_is_said_or_refused(course, hand_in):
    def run(*options):
        command = [sys.executable, "-c", "from course_lib.cli import main; main()", "grade", "submitted", *options]
        nowhere = {**os.environ, "PATH": str(course)}  # no bwrap there
        return subprocess.run(command, cwd=course, env=nowhere, capture_output=True, text=True)

    hand_in(alice=RIGHT)
    refused = run("--require-sandbox")
    assert refused.returncode == 1
    assert "bubblewrap is not installed" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    done = run()
    assert done.returncode == 0, done.stderr
    assert "Basic isolation only" in done.stderr
    assert "Basic isolation only" in (course / "grades" / "summary.html").read_text()
    assert rows()["alice"]["points"] == "2"


def test_a_broken_check_ends_with_exit_status_1(course, hand_in):
    hand_in(alice=RIGHT)
    checks = next((course / "exercises").rglob("checks.py"))
    checks.write_text(checks.read_text().replace("result != 6", "result != six"))
    done = course_grade("submitted")
    assert done.exit_code == 1
    assert "grader error" in done.output
    assert rows()["alice"]["error_class"] == "grader error"
    assert "name &#39;six&#39; is not defined" in (course / "grades" / "summary.html").read_text()


def wait_for_worker(grader):
    """Wait until a process that runs a notebook is there below the grader."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.Process(grader.pid).children(recursive=True):
            try:
                if "answering.worker" in " ".join(process.cmdline()):
                    return
            except psutil.Error:
                continue
        time.sleep(0.05)
    raise AssertionError("no worker was started")


def test_ctrl_c_keeps_what_is_graded_and_leaves_nothing_running(course, hand_in):
    hand_in(alice=RIGHT, bob="import time\ntime.sleep(86395)", carol=RIGHT)
    command = [sys.executable, "-c", "from course_lib.cli import main; main()", "grade", "submitted", "--jobs", "1"]
    grader = subprocess.Popen(command, cwd=course, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert "[1/3] alice 01.1: 2 of 2 points, ok" in next(line for line in grader.stdout if WEAKER not in line)
    wait_for_worker(grader)
    below = psutil.Process(grader.pid).children(recursive=True)
    assert below
    grader.send_signal(signal.SIGINT)
    said, _ = grader.communicate(timeout=30)
    assert grader.returncode == 130, said
    assert "Interrupted; 1 of 3 notebooks are graded and kept" in said
    assert psutil.wait_procs(below, timeout=5)[1] == []
    assert not (course / "grades.csv").exists()
    hand_in(bob=RIGHT)
    done = course_grade("submitted")
    assert "1 of 3 were graded before and are unchanged" in done.output
    assert [row["points"] for row in rows().values()] == ["2", "2", "2"]


@pytest.mark.slow
def test_a_killed_grader_leaves_nothing_running(course, hand_in):
    hand_in(alice="import time\ntime.sleep(86394)")
    command = [sys.executable, "-c", "from course_lib.cli import main; main()", "grade", "submitted", "--jobs", "1"]
    grader = subprocess.Popen(command, cwd=course, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_worker(grader)
    below = psutil.Process(grader.pid).children(recursive=True)
    assert len(below) >= 3  # the warm process, the judge, the worker
    grader.kill()
    grader.wait()
    assert psutil.wait_procs(below, timeout=20)[1] == []


def test_a_terminal_shows_a_bar_and_who_is_being_graded(course, hand_in):
    import io

    from rich.console import Console

    from course_lib.cli.grading import Watcher
    from course_lib.exercises.grading.engine import Graded, Step
    from course_lib.exercises.grading.results import Judgement
    from course_lib.exercises.grading.submissions import Submission

    shown = io.StringIO()
    handed = [Submission(f"[red]student {n}", "01.1", f"{n}.ipynb", 0.0, None, None, "") for n in range(6)]
    with Watcher(Console(file=shown, force_terminal=True, width=200)) as watcher:
        watcher.on_start(6)
        for submission in handed:
            watcher.on_step(Step("begun", submission))
        watcher.on_step(Step("graded", Graded(handed[0], None, Judgement([]), kept=True)))
        watcher._bar.refresh()
    assert "[red]student 1 01.1, [red]student 2 01.1" in shown.getvalue()
    assert "and 1 more" in shown.getvalue()
    assert "1/6" in shown.getvalue()
    assert "1 of 6 were graded before" in shown.getvalue()
