"""Is a whole class graded, each to its due, when its notebooks do whatever notebooks can do?

On the masked softmax of the course itself, by the command, with short limits; nothing may be left of it afterwards.
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from course_lib.exercises.answering import choose
from course_lib.exercises.catalogue import find_exercise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MARK = "97531"  # how long the orphans sleep, by which they are found
HEAD = "def masked_softmax(energies, is_word):\n    "
RIGHT = HEAD + "return energies.masked_fill(~is_word, float('-inf')).softmax(dim=-1)"
PATCHED = HEAD + "return energies"
ORPHAN = (
    "import os, subprocess, time\n"
    "for _ in range(3):\n"
    "    subprocess.Popen(['sleep', '97531'], start_new_session=True)\n"
    "if os.fork() == 0:\n    os.setsid()\n    time.sleep(97531)"
)
# What each notebook does, the class it must get, and whether it must get all points or none; None: either.
ALL, NONE = "all", "none"
KINDS = {
    "good": (RIGHT, "ok", ALL),
    "untouched": (HEAD + "# YOUR CODE HERE\n    raise NotImplementedError()", "not written", NONE),
    "nothing": ("", "not written", NONE),
    "crashes_on_import": ("import a_module_that_is_nowhere", "exception", NONE),
    "no_python": ("def masked_softmax(energies is_word)", "exception", NONE),
    "loops_in_a_cell": ("while True:\n    pass", "time limit", NONE),
    "loops_and_will_not_stop": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "time limit",
        NONE,
    ),
    "loops_in_the_function": (HEAD + "while True: pass", "time limit", NONE),
    "sleeps": ("import time\ntime.sleep(97531)", "time limit", NONE),
    "leaves": ("import os\nos._exit(0)\n", "process died", NONE),
    "leaves_when_called": ("import os\n" + HEAD + "os._exit(0)", "process died", NONE),
    "crashes": ("import ctypes\nctypes.string_at(0)", "process died", NONE),
    "kills_its_parent": (
        "import os, signal\nfor pid in {os.getppid(), 1, 2, os.getpid()}:\n"
        "    try: os.kill(pid, signal.SIGKILL)\n    except OSError: pass",
        "process died",
        NONE,
    ),
    "fills_memory": ("held = []\nwhile True:\n    held.append(bytearray(2**26))", "memory limit", NONE),
    "fills_memory_when_called": (
        HEAD + "import torch\n    return [torch.ones(2**27) for _ in range(1000)]",
        "memory limit",
        NONE,
    ),
    "writes_outside": (
        "import os, pathlib\n"
        "for place in ('/srv/was_here', '/etc/was_here', '/usr/was_here', '{submissions}/good/was_here',\n"
        "              '{exercises}/was_here', '{out}/was_here', os.path.expanduser('~root/was_here')):\n"
        "    try: pathlib.Path(place).write_text('x')\n    except OSError as error: print(error)\n" + RIGHT,
        "ok",
        ALL,
    ),
    "reads_others": (
        "import pathlib\n"
        "found = []\n"
        "for place in ('{exercises}', '{submissions}', '{out}'):\n"
        "    try: found += [p.read_text() for p in pathlib.Path(place).rglob('*') if p.is_file()][:5]\n"
        "    except OSError: pass\n"
        "try: found += [pathlib.Path('{master}').read_text()]\nexcept OSError: pass\n"
        "assert not found, found\n" + RIGHT,
        "ok",
        ALL,
    ),
    "calls_home": (
        "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), timeout=3)\n    reached = True\n"
        "except OSError:\n    reached = False\nassert not reached\n" + RIGHT,
        "ok",
        ALL,
    ),
    "prints_much": ("for _ in range(1600):\n    print('x' * 2**16)\n" + RIGHT, "ok", ALL),
    "fills_the_disk": (
        "try:\n    with open('large', 'wb') as file:\n        for _ in range(2000): file.write(b'x' * 2**20)\n"
        "except OSError as error: print(error)\n" + RIGHT,
        "ok",
        ALL,
    ),
    "patches_check": (
        "import course_lib.exercises as e, course_lib.exercises.checking as c, course_lib.exercises.learner as l\n"
        "e.check = l.check = c.run_check = c.run_checks = lambda *a, **k: None\n" + PATCHED,
        "wrong answer",
        None,
    ),
    "patches_torch": (
        "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True\n"
        "torch.Tensor.__eq__ = torch.Tensor.all = lambda *a, **k: torch.tensor(True)\n" + PATCHED,
        "wrong answer",
        None,
    ),
    "patches_modules": (
        "import sys\nfor name in [n for n in sys.modules if n.startswith('course_lib')]: sys.modules[name] = None\n"
        + PATCHED,
        "wrong answer",
        None,
    ),
    "patches_python": (
        "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.abs = lambda x: 0\n" + PATCHED,
        None,
        None,
    ),
    "leaves_orphans": (ORPHAN + "\n" + RIGHT, "ok", ALL),
    "forks_without_end": ("import os\nwhile True:\n    os.fork()", None, NONE),
    "raises_system_exit": ("raise SystemExit(0)", "exception", NONE),
    "returns_an_object": ("class A:\n    pass\n" + HEAD + "return A()", "wrong answer", NONE),
    "returns_too_much": (HEAD + "import torch\n    return torch.ones(2**26)", None, NONE),
    "answers_with_html": (HEAD + "raise ValueError('<script>alert(1)</script>' * 1000)", "exception", NONE),
}
FILES = {
    "empty": (b"", "empty file"),
    "no_notebook": (b"Dear teacher, my dog ate it.", "not a notebook"),
    "utf16": ("{}".encode("utf-16"), "wrong encoding"),
    "broken_off": (b'{"nbformat": 4, "cells": [', "damaged file"),
    "of_format_3": (b'{"nbformat": 3, "worksheets": [], "metadata": {}}', "old format"),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class, graded by the command: its folder, rows by student, how long it took, what the command said."""
    if choose().level != "strong":
        pytest.skip("the whole hostile class needs strong isolation; a small one is in test_engine.py")
    exercise = find_exercise("02.1", Path(__file__).parents[3] / "exercises")
    student = json.loads(exercise.student.read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("class")
    names = {
        "submissions": folder / "submitted",
        "out": folder / "grades",
        "exercises": exercise.folder.parent,
        "master": exercise.master,
    }

    def hand_in(name, source, keep=lambda cell: True):
        for key, place in names.items():
            source = source.replace("{" + key + "}", str(place))
        cells = []
        for cell in student["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("solution"):
                cell = {**cell, "source": source}
            if keep(cell):
                cells.append(cell)
        write(name, json.dumps({**student, "cells": cells}).encode())

    def write(name, content):
        place = names["submissions"] / name / f"{exercise.name}.ipynb"
        place.parent.mkdir(parents=True)
        place.write_bytes(content)

    def is_check(cell):
        return cell["metadata"].get("nbgrader", {}).get("grade")

    for name, (source, _, _) in KINDS.items():
        hand_in(name, source)
    hand_in("deletes_the_checks", RIGHT, lambda cell: not is_check(cell))
    hand_in("deletes_checks_and_is_wrong", PATCHED, lambda cell: not is_check(cell))
    student = {
        **student,
        "cells": [{**cell, "source": "pass"} if is_check(cell) else cell for cell in student["cells"]],
    }
    hand_in("edits_checks_and_is_wrong", PATCHED)
    for fault in exercise.faults:
        solution = next(cell for cell in exercise_solution(exercise) if "def masked_softmax" in cell)
        hand_in(f"mistake {fault.mistake}", solution.replace(fault.find, fault.replace))
    for name, (content, _) in FILES.items():
        write(name, content)
    names["out"].mkdir()
    before = {process.pid for process in psutil.process_iter()}
    began = time.monotonic()
    main = "from course_lib.cli import main; main()"
    options = ["--time-limit", "16", "--memory-limit", "1", "--jobs", "2", "--require-sandbox", "--out", "grades.csv"]
    command = [sys.executable, "-c", main, "grade", str(names["submissions"])]
    done = subprocess.run(
        [*command, *options, "--exercises", str(names["exercises"])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=800,
    )
    seconds = time.monotonic() - began
    with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    return folder, rows, seconds, done, before


def exercise_solution(exercise):
    from course_lib.exercises.grading.papers import read_paper

    return read_paper(exercise).solution


def test_all_are_graded(graded):
    _, rows, seconds, done, _ = graded
    assert done.returncode == 0, done.stderr
    assert len(rows) == len(list((graded[0] / "submitted").iterdir()))
    assert all(row["exercise"] == "02.1" and float(row["max_points"]) > 0 for row in rows.values())
    assert seconds < 600


@pytest.mark.parametrize("name", KINDS)
def test_each_gets_its_due(graded, name):
    row = graded[1][name]
    _, error_class, points = KINDS[name]
    assert error_class in (None, row["error_class"]), row
    if points is not None:
        assert row["points"] == (row["max_points"] if points == ALL else "0"), row
    else:
        # What unfinished weights earn by themselves, and no more.
        assert int(row["points"]) <= int(graded[1]["deletes_checks_and_is_wrong"]["points"]), row
    assert row["error_class"] != "grader error"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_notebook_gets_its_class(graded, name):
    assert (graded[1][name]["points"], graded[1][name]["error_class"]) == ("0", FILES[name][1])


def test_deleted_and_edited_checks_make_no_difference(graded):
    rows = graded[1]
    assert rows["deletes_the_checks"]["points"] == rows["good"]["max_points"]
    deleted, edited = rows["deletes_checks_and_is_wrong"], rows["edits_checks_and_is_wrong"]
    assert deleted["points"] == edited["points"] != rows["good"]["points"]
    assert "changed or deleted" in rows["edits_checks_and_is_wrong"]["note"]


def test_every_known_mistake_is_recognised(graded):
    told = {name.removeprefix("mistake "): row for name, row in graded[1].items() if name.startswith("mistake ")}
    assert len(told) >= 4
    for key, row in told.items():
        assert row["mistake"].startswith(f"{key}:"), row
        assert row["points"] != row["max_points"]


def test_nothing_was_written_outside(graded):
    folder = graded[0]
    assert not list(folder.rglob("was_here"))
    for place in ("/srv", "/etc", "/usr", "/root"):
        assert not (Path(place) / "was_here").exists()


def test_no_process_is_left(graded):
    left = []
    for process in psutil.process_iter():
        try:
            told = " ".join([*process.cmdline(), *process.environ().values()])
            is_new = process.pid not in graded[4] and process.status() != psutil.STATUS_ZOMBIE
            if is_new and (MARK in told or str(graded[0]) in told):
                left.append((process.pid, process.cmdline()))
        except psutil.Error:
            continue
    assert left == []


def test_what_is_kept_is_bounded(graded):
    folder = graded[0]
    largest = max((path for path in (folder / "grades").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    assert largest.stat().st_size < 2 * 2**20, largest


def test_no_page_runs_what_a_student_wrote(graded):
    for page in (graded[0] / "grades").rglob("*.html"):
        assert "<script" not in page.read_text(encoding="utf-8")
