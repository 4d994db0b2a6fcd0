"""Is every notebook graded, by nothing but its answers, and is grading taken up where it stopped?"""

import json
import os
import shutil

import pytest

from course_lib.exercises.answering import Isolation, SessionLimits
from course_lib.exercises.catalogue import find_exercises
from course_lib.exercises.grading import engine
from course_lib.exercises.grading.engine import changed_checks, file_name, own_cells
from course_lib.exercises.grading.papers import read_paper
from course_lib.exercises.grading.reading import read_notebook
from course_lib.exercises.grading.submissions import find_submissions

RIGHT = "def double(number):\n    return number + number"
SQUARED = "def double(number):\n    return number * number"
STUB = "def double(number):\n    # YOUR CODE HERE\n    raise NotImplementedError()"

pytestmark = pytest.mark.usefixtures("nothing_left")


def outcome_of(item):
    return item.judgement.points, item.judgement.error_class


def test_a_class_of_kinds_is_graded_each_by_its_own(handed_in, grade_all, notebook):
    root = handed_in(
        good=notebook("import math", RIGHT),
        untouched=notebook(STUB),
        squared=notebook(SQUARED),
        hidden=notebook("def double(number):\n    return abs(number) * 2"),
        raises=notebook("def double(number):\n    return number['a']"),
        crashes=notebook("import nothing_like_this", "1 / 0"),
        crashes_but_right=notebook("1 / 0", RIGHT),
        loops=notebook("def double(number):\n    while True: pass"),
        cell_loops=notebook("while True: pass", RIGHT),
        leaves=notebook("import os\nos._exit(0)", RIGHT),
        leaves_when_called=notebook("import os\ndef double(number):\n    os._exit(0)"),
        odd=notebook("def double(number):\n    return {'a': [None, 'x']}"),
        no_text=b"nonsense",
    )
    outcome, graded = grade_all(root, limits=SessionLimits(seconds=6, cell_seconds=2, call_seconds=2))
    assert {name: outcome_of(item) for name, item in graded.items()} == {
        "good": (3, "ok"),
        "untouched": (0, "not written"),
        "squared": (1, "wrong answer"),
        "hidden": (1, "wrong answer"),
        "raises": (0, "exception"),
        "crashes": (0, "exception"),
        "crashes_but_right": (3, "ok"),
        "loops": (0, "time limit"),
        "cell_loops": (3, "ok"),
        "leaves": (0, "process died"),
        "leaves_when_called": (0, "process died"),
        "odd": (0, "wrong answer"),
        "no_text": (0, "not a notebook"),
    }
    assert outcome.broken == {}
    squared = graded["squared"].judgement
    assert squared.mistake == ("square", "You squared it, with `number * number`.")
    assert [(value.name, value.text) for value in squared.cells[0].example] == [("number", "10")]
    assert squared.cells[0].answer.text == "100"
    hidden = graded["hidden"].judgement.cells[0]
    assert hidden.hidden
    assert "seventeen" not in hidden.found
    assert "seventeen" in hidden.detail
    loops = graded["loops"].judgement
    assert [cell.verdict for cell in loops.cells] == ["raised", "not judged"]
    assert loops.seconds < 6


def test_check_cells_of_a_notebook_change_nothing(handed_in, grade_all, notebook, papers):
    cheated = json.loads(notebook(SQUARED))
    cheated["cells"][1]["source"] = "pass"
    cheated["cells"][2]["source"] = "def double(number):\n    return number * 2"
    root = handed_in(
        deleted=notebook(RIGHT, checks=()),
        deleted_and_wrong=notebook(SQUARED, checks=()),
        edited=json.dumps(cheated),
        unmarked=notebook(RIGHT, 'check("01.1", "double_works")', "raise SystemExit", checks=()),
    )
    _, graded = grade_all(root)
    points = {name: item.judgement.points for name, item in graded.items()}
    assert points == {"deleted": 3, "deleted_and_wrong": 1, "edited": 1, "unmarked": 3}
    changed = changed_checks(graded["edited"].submission.notebook, papers[0])
    assert changed == ["double_works", "double_of_nothing"]


def test_nothing_patched_from_inside_gives_points(handed_in, grade_all, notebook):
    patches = [
        "import builtins\nbuiltins.__import__ = None",
        "import course_lib.exercises as e\ne.check = lambda *a: None",
        "import course_lib.exercises.checking as c\nc.run_checks = c.run_check = lambda *a, **k: None",
        "import sys\nfor name in list(sys.modules):\n    sys.modules[name] = None",
        "import os\nfor n in range(3, 50):\n    try: os.write(n, b'{\"points\": 3}' * 100)\n    except OSError: pass",
        "class Always(float):\n    __eq__ = lambda *a: True\n    __ne__ = lambda *a: False\n"
        "def double(number):\n    return Always(1)",
        "class Always:\n    __eq__ = lambda *a: True\n    __ne__ = lambda *a: False\n"
        "def double(number):\n    return Always()",
        "check = hint = step = float = abs = len = lambda *a: True",
    ]
    root = handed_in(**{f"patch{number}": notebook(patch, SQUARED) for number, patch in enumerate(patches[:5])})
    handed_in(**{f"patch{number}": notebook(patch) for number, patch in enumerate(patches[5:7], start=5)})
    handed_in(patch7=notebook(patches[7], SQUARED), patch8=notebook(patches[7], RIGHT))
    _, graded = grade_all(root)
    points = {name: item.judgement.points for name, item in graded.items()}
    assert points.pop("patch8") == 3
    assert all(value <= 1 for value in points.values())  # what the squared answer earns
    assert points["patch5"] == points["patch6"] == 0


def test_what_is_graded_is_kept_until_anything_changes(handed_in, grade_all, notebook, monkeypatch):
    root = handed_in(alice=notebook(RIGHT), bob=notebook(SQUARED))

    def kept(**options):
        _, graded = grade_all(root, **options)
        assert [item.judgement.points for item in graded.values()][-1] == 1
        return [name for name, item in graded.items() if item.kept]

    assert kept() == []
    assert kept() == ["alice", "bob"]
    handed_in(alice=notebook("x = 1", RIGHT))
    assert kept() == ["bob"]
    monkeypatch.setattr("course_lib.batch.fingerprint.code_version", lambda: "another")
    assert kept() == []


def test_all_that_a_result_depends_on_is_in_its_key(papers, basic, course, monkeypatch):
    def version(paper=papers[0], isolation=basic, **limits):
        return engine._version(paper, SessionLimits(**limits), isolation)

    strong = Isolation("strong")
    others = [version(papers[1]), version(seconds=61), version(memory=2**30), version(isolation=strong)]
    checks = papers[0].exercise.master.parent / "checks.py"
    before = checks.read_text()
    checks.write_text(before + "\n")
    others.append(version())
    checks.write_text(before)
    monkeypatch.setattr("course_lib.batch.fingerprint.code_version", lambda: "another")
    others.append(version())
    monkeypatch.undo()
    assert len({version(), version(), *others}) == 1 + len(others)


def test_one_students_result_is_not_taken_for_anothers(handed_in, grade_all, notebook, tmp_path):
    root = handed_in(alice=notebook(RIGHT), bob=notebook(RIGHT + " + 1"))
    grade_all(root)
    results = tmp_path / "results"
    (results / "bob" / "01.1.json").write_text((results / "alice" / "01.1.json").read_text())
    _, graded = grade_all(root)
    assert graded["bob"].judgement.points == 0


@pytest.fixture
def broken_course(course, tmp_path):
    """The course with one check of `double` that no answer passes."""
    shutil.copytree(course, tmp_path / "broken")
    checks = next((tmp_path / "broken").glob("*/masters/01.1*/checks.py"))
    text = checks.read_text().replace("if result != 0:", "if result != no_such_name:")
    checks.write_text(text)
    return [read_paper(exercise) for exercise in find_exercises(tmp_path / "broken")]


def test_a_broken_check_is_the_graders_error_and_nobodys_fault(handed_in, notebook, broken_course, tmp_path, basic):
    found = find_submissions(handed_in(alice=notebook(RIGHT), bob=notebook(SQUARED)), broken_course)
    options = {"limits": SessionLimits(seconds=20), "isolation": basic, "jobs": 2}
    outcome = engine.grade(found.submissions, broken_course, tmp_path / "results", **options)
    assert list(outcome.broken) == ["01.1"]
    assert "no_such_name" in outcome.broken["01.1"]["double_of_nothing"]
    told = [(item.judgement.points, item.judgement.error_class) for item in outcome.graded]
    assert told == [(2, "grader error"), (0, "grader error")]
    assert "not yours" in outcome.graded[0].judgement.cells[1].found


@pytest.mark.parametrize(
    ("fault", "error_class", "said"),
    [
        ("import time; time.sleep(1000)", "grader error", "judging took longer than 6 s"),
        ("import os; os.abort()", "grader error", "the status -6"),
        ("import os; os.fork() or os.setsid() or __import__('time').sleep(1000)", "ok", ""),
    ],
)
def test_a_judge_that_is_lost_is_told_and_leaves_nothing(
    handed_in, notebook, course, tmp_path, basic, monkeypatch, fault, error_class, said
):
    shutil.copytree(course, tmp_path / "broken")
    checks = next((tmp_path / "broken").glob("*/masters/01.1*/checks.py"))
    checks.write_text(f"{fault}\n{checks.read_text()}")
    papers = [read_paper(exercise) for exercise in find_exercises(tmp_path / "broken")]
    monkeypatch.setattr(engine, "TRUSTED_SECONDS", 6.0 - 20.0 - 120.0 if "longer" in said else 100.0)
    found = find_submissions(handed_in(alice=notebook(RIGHT)), papers)
    limits = SessionLimits(seconds=20, start_seconds=120)
    outcome = engine.grade(found.submissions, papers, tmp_path / "results", limits=limits, isolation=basic, jobs=2)
    judgement = outcome.graded[0].judgement
    assert said in judgement.problem
    assert judgement.error_class == error_class


def test_own_cells_leave_out_the_checks(papers, notebook):
    read = read_notebook(notebook("a = 1", "", "b = 2").encode())
    assert own_cells(read, papers[0]) == ((0, "a = 1"), (2, "b = 2"))


def test_file_names_are_safe_and_stay_apart():
    names = ["alice", "Alice", "a/b", "a_b", "../..", "", "a" * 300, "a" * 301, "Jürgen", "x\ny", "CON."]
    made = [file_name(name) for name in names]
    assert len({name.casefold() for name in made}) == len(names)
    assert made[0] == "alice"
    assert not any("/" in name or name.startswith(".") or "\n" in name or len(name) > 100 for name in made)


def test_as_many_jobs_as_cores():
    assert 1 <= engine.default_jobs() <= (os.cpu_count() or 1)
