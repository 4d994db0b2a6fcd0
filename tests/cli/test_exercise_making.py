"""`course exercise build` and `course exercise faults` on a folder of exercises: output, files and exit status."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_lib import cli
from course_lib.exercises import faults
from course_lib.exercises.catalogue import find_exercise
from course_lib.exercises.faults import FaultResult

MASTERS = Path(__file__).parents[2] / "exercises" / "02_bahdanau_attention" / "masters"
STUDENT = "exercises/02_bahdanau_attention/02.1_masked_softmax.ipynb"
SOLUTION = "exercises/02_bahdanau_attention/solutions/02.1_masked_softmax.ipynb"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with one exercise of the course, in which the command is called."""
    monkeypatch.delenv("COURSE_EXERCISES_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    copied = tmp_path / "exercises" / "02_bahdanau_attention" / "masters" / "02.1_masked_softmax"
    shutil.copytree(MASTERS / "02.1_masked_softmax", copied)
    return tmp_path


def course(*arguments):
    return CliRunner().invoke(cli.app, ["exercise", *map(str, arguments)])


def test_build_says_what_it_wrote_and_check_agrees(project):
    told = course("build")
    assert told.exit_code == 0, told.output
    assert told.output.startswith(f"02.1 A softmax that knows padding: {STUDENT}, {SOLUTION} (")
    assert Path(STUDENT).exists()
    assert Path(SOLUTION).exists()

    told = course("build", "--check")
    assert (told.exit_code, told.output) == (0, "Up to date: 02.1\n")
    told = course("build", "02.1")
    assert told.output.startswith("02.1 A softmax that knows padding: up to date (")


def test_check_names_what_is_missing_or_stale_and_writes_nothing(project):
    course("build", "--no-solutions")
    card = project / "exercises/02_bahdanau_attention/masters/02.1_masked_softmax/card.toml"
    card.write_text(card.read_text(encoding="utf-8").replace("minutes = ", "minutes = 9"), encoding="utf-8")
    before = Path(STUDENT).read_bytes()
    told = course("build", "--check")
    assert told.exit_code == 1
    assert told.output.splitlines() == [
        f"{STUDENT} is out of date",
        f"{SOLUTION} is missing",
        "Make them with: course exercise build",
    ]
    assert Path(STUDENT).read_bytes() == before
    assert not Path(SOLUTION).exists()


def test_check_names_a_notebook_whose_master_is_gone(project):
    course("build", "--no-solutions")
    shutil.copy(STUDENT, "exercises/02_bahdanau_attention/02.0_gone.ipynb")
    told = course("build", "--check")
    assert told.exit_code == 1
    assert "exercises/02_bahdanau_attention/02.0_gone.ipynb belongs to no master any more; remove it" in told.output


def test_a_malformed_master_is_one_line_with_its_file_and_cell(project):
    master = project / "exercises/02_bahdanau_attention/masters/02.1_masked_softmax/master.py"
    text = master.read_text(encoding="utf-8")
    master.write_text(text.replace("    ### END SOLUTION\n", ""), encoding="utf-8")
    told = course("build")
    assert told.exit_code == 2
    assert told.output.count("\n") == 1
    assert "master.py: cell " in told.output
    assert "has no END SOLUTION" in told.output


def test_an_unknown_exercise_is_answered_with_those_there_are(project):
    told = course("build", "02.9")
    assert told.exit_code == 2
    assert told.output.startswith("course: no exercise '02.9'; ")
    assert "02.1" in told.output


@pytest.mark.parametrize("other", [["--force"], ["--release", "somewhere"]])
def test_check_together_with_writing_is_refused(project, other):
    told = course("build", "--check", *other)
    assert told.exit_code == 2
    assert "--check writes nothing" in told.output
    assert not Path("somewhere").exists()


def test_release_writes_a_course_folder_for_nbgrader(project):
    told = course("build", "--no-solutions", "--release", "class")
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1] == "class: 2 notebooks, nbgrader_config.py and gradebook.db"
    assert Path("class/release/02_bahdanau_attention/02.1_masked_softmax.ipynb").exists()


def test_faults_are_tried_and_listed_with_totals(project):
    told = course("faults", "--json", "faults.json")
    number = len(find_exercise("02.1").faults)
    assert told.exit_code == 0, told.output
    assert f"{number} faults: {number} caught, 0 survived; 100% caught by a public check" in told.output
    assert "✓ wrong_axis" in told.output
    assert json.loads(Path("faults.json").read_text(encoding="utf-8"))["totals"]["killed"] == number


@pytest.mark.parametrize(
    ("right", "wrong_hint", "survived", "status"), [(20, 0, 0, 0), (19, 1, 0, 0), (18, 2, 0, 1), (99, 0, 1, 1)]
)
def test_survivors_and_wrong_hints_decide_the_exit_status(project, monkeypatch, right, wrong_hint, survived, status):
    fault = find_exercise("02.1").faults[0]

    def result(catcher, recognised):
        return FaultResult("02.1", fault, catcher, "a check", "", recognised, 0.1)

    results = [result("public", fault.mistake)] * right + [result("public", None)] * wrong_hint
    monkeypatch.setattr(faults, "try_faults", lambda exercise: results + [result("nothing", None)] * survived)
    told = course("faults")
    assert told.exit_code == status, told.output
    assert told.output.count("✗ none, expected") == wrong_hint + survived
