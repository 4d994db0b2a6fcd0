import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

from course_lib import cli, progress

CARD = """\
title = "Twice"
teaches = "what two times a number is"
difficulty = 2
minutes = 5
needs = ["twice"]
[hints]
nudge = "Add."
outline = "Add it to itself."
code = "`return number + number`"
"""
CHECKS = '''\
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import answer_to

def doubles(twice):
    """Twice three is six."""
    if (answer := answer_to(twice, {"number": 3})) != 6:
        raise PropertyFailed("twice three is six", f"it is {answer}", {"number": 3}, answer)

CHECKS = [doubles]
'''
SOLUTION = "    ### BEGIN SOLUTION\n    return number + number\n    ### END SOLUTION"
MASTER = f"""\
# %% nbgrader={{"solution": true, "grade_id": "twice"}}
def twice(number):
{SOLUTION}
"""
STUB = "def twice(number):\n    # YOUR CODE HERE\n    raise NotImplementedError()"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A course with one exercise, in which the command is called by a new learner."""
    folder = tmp_path / "exercises" / "07_numbers"
    master = folder / "masters" / "07.1_twice"
    master.mkdir(parents=True)
    for name, text in (("master.py", MASTER), ("card.toml", CARD), ("checks.py", CHECKS)):
        (master / name).write_text(text)
    solved = {"nbgrader": {"solution": True, "grade": False, "locked": False, "grade_id": "twice", "schema_version": 3}}
    cells = [new_code_cell(STUB, metadata=solved), new_code_cell('check("07.1")')]
    nbformat.write(new_notebook(cells=cells), folder / "07.1_twice.ipynb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_PROGRESS_FILE", str(tmp_path / "progress.jsonl"))
    monkeypatch.setattr(progress, "_kept_in_memory", [])
    for name in ("COURSE_EXERCISES_DIR", "COURSE_MODE", "COURSE_RECORD_FILE", "COURSE_ANSWERING"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def course(*arguments, **options):
    return CliRunner().invoke(cli.app, ["exercise", *arguments], **options)


def answer(home, body):
    path = home / "my_exercises/07_numbers/07.1_twice.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = f"def twice(number):\n    return {body}"
    nbformat.write(notebook, path)
    return path


def test_help_says_what_each_command_does(home):
    shown = course("--help").output
    for name in ("list", "open", "check", "hint", "reset", "progress"):
        assert f" {name} " in shown
        assert course(name, "--help").exit_code == 0


def test_listing_loads_no_torch(home):
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom course_lib import cli\n"
        "assert CliRunner().invoke(cli.app, ['exercise', 'list']).exit_code == 0\nassert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_learner_opens_fails_takes_a_hint_and_passes(home):
    assert "–  07.1  Twice" in course("list").output
    assert course("open", "07.1", "--no-browser").output == "my_exercises/07_numbers/07.1_twice.ipynb\n"
    assert course("open", "07.1", "--no-browser").output.endswith("(your copy, as you left it)\n")
    assert "…  07.1  Twice" in course("list").output

    answer(home, "number * number")
    failed = course("check", "07.1")
    assert failed.exit_code == 1
    assert "Does not hold: twice three is six: it is 9" in failed.output
    assert "Hints used: 0 of 3. course exercise hint 07.1 gives a nudge." in failed.output

    assert "hint 1 of 3 (nudge)" in course("hint", "07.1").output
    answer(home, "number + number")
    passed = course("check", "twice")
    assert passed.exit_code == 0
    assert "✓ 07.1 Twice: the property holds" in passed.output
    assert "With help: 1 of 3 hints." in passed.output

    (listed,) = json.loads(course("list", "--json").output)
    expected = {"id": "07.1", "state": "passed", "attempts": 2, "best": 1, "of": 1, "hints_used": 1, "difficulty": 2}
    assert listed.items() >= expected.items()
    assert "✓  07.1  Twice     ●●○○○             5  1 of 3  1 of 1" in course("list").output


def test_an_unknown_exercise_is_bad_usage_with_the_nearest_name(home):
    for command in ("open", "check", "hint", "reset"):
        done = course(command, "twic")
        assert done.exit_code == 2
        assert done.output == "course: no exercise 'twic'; did you mean twice?\n"


def test_a_hint_can_be_seen_again_but_not_before(home):
    assert course("hint", "07.1", "1").exit_code == 2
    course("hint", "07.1")
    assert "Add." in course("hint", "07.1", "1").output
    assert course("hint", "07.1", "2").exit_code == 2


def test_a_step_begins_the_copy(home):
    assert course("open", "07.1", "--step", "gaps", "--no-browser").exit_code == 2, "the exercise has no gaps"
    assert not (home / "my_exercises").exists()
    assert course("open", "07.1", "--step", "order", "--no-browser").exit_code == 0
    assert "It takes one line" in (home / "my_exercises/07_numbers/07.1_twice.ipynb").read_text()


def test_reset_asks_first_and_says_where_the_work_is(home):
    course("open", "07.1", "--no-browser")
    path = answer(home, "7")
    assert course("reset", "07.1", input="n\n").exit_code == 1
    assert course("reset", "07.1", input="").exit_code == 1, "nobody there to answer"
    assert "return 7" in path.read_text()
    done = course("reset", "07.1", "--yes")
    assert done.exit_code == 0
    assert "Your work is kept in my_exercises/kept/07.1_twice." in done.output
    (kept,) = (home / "my_exercises/kept").iterdir()
    assert "return 7" in kept.read_text()
    assert "YOUR CODE HERE" in path.read_text()


@pytest.mark.parametrize("content", ["", "not a notebook", "[1]"])
def test_what_is_no_notebook_is_one_clear_line(home, content):
    course("open", "07.1", "--no-browser")
    (home / "my_exercises/07_numbers/07.1_twice.ipynb").write_text(content)
    done = course("check", "07.1")
    assert done.exit_code == 2
    assert done.output.startswith("course: ")
    assert len(done.output.splitlines()) == 1


def test_progress_is_told_by_lesson_and_in_all(home):
    progress.note("check", "07.1", check=None, held=1, of=1)
    progress.note("hint", "07.1", number=2)
    progress.note("recall", "07_numbers", question="1", known=True)
    progress.note("recall", "07_numbers", question="2", known=False)
    progress.note("prediction", "06_other", question="which?", right=True)
    progress.note("prediction", "06_other", question="how many?", right=None)
    lines = course("progress").output.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["06_other", "–", "–", "–", "1", "of", "1,", "1", "in", "numbers"],
        ["07_numbers", "1", "of", "1", "2", "1", "of", "2", "–"],
        ["all", "1", "of", "1", "2", "1", "of", "2", "1", "of", "1,", "1", "in", "numbers"],
    ]
    told = json.loads(course("progress", "--json").output)
    assert told["file"] == str(home / "progress.jsonl")
    assert told["lessons"]["07_numbers"] == {"known": 1, "asked": 2, "right": 0, "judged": 0, "made": 0}
    assert told["exercises"][0]["passed"] is True


def test_jupyterlab_is_started_on_the_copy_from_the_courses_folder(home, monkeypatch):
    started = {}

    class Lab:
        def __init__(self, command, cwd):
            started.update(command=command, cwd=cwd)

        def wait(self):
            return 0

    monkeypatch.setattr(subprocess, "Popen", Lab)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert course("open", "07.1").exit_code == 0
    assert started["command"][1:4] == ["-m", "jupyter", "lab"]
    assert f"--ServerApp.root_dir={home}" in started["command"]
    assert started["command"][-1] == str(home / "my_exercises/07_numbers/07.1_twice.ipynb")
