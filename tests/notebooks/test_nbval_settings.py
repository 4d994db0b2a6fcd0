"""What nbval lets pass and what it turns red, in the course's settings: real runs of small notebooks."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course_lib.batch.refresh import refresh

ROOT = Path(__file__).parents[2]
SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")

pytestmark = pytest.mark.slow


def nbval(path, timeout=60):
    """Check one notebook as `make test` does; the finished process."""
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "conftest"]
    command += ["-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "--nbval-sanitize-with", SANITIZE]
    command += ["--nbval-cell-timeout", str(timeout), path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)


def edit(path, change):
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def replace_output(old, new):
    """A change of the stored outputs, which must hit something."""

    def change(notebook):
        hits = 0
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if old in output.get("text", ""):
                    output.text, hits = output.text.replace(old, new), hits + 1
                for kind, content in output.get("data", {}).items():
                    if old in content:
                        output.data[kind], hits = content.replace(old, new), hits + 1
        assert hits, f"{old!r} is in no output"

    return change


def test_a_refreshed_notebook_passes(trial):
    refresh([trial])
    done = nbval(trial)
    assert done.returncode == 0, done.stdout


def test_one_changed_number_turns_it_red(trial):
    refresh([trial])
    edit(trial, replace_output("product 42", "product 43"))
    done = nbval(trial)
    assert done.returncode == 1
    assert "1 failed, 7 passed" in done.stdout
    assert "Cell outputs differ" in done.stdout


def test_another_measured_number_of_another_length_passes(trial):
    refresh([trial])
    edit(trial, replace_output("≈42", "≈1,234.5"))
    edit(trial, replace_output('"value": 42.0', '"value": 1234.5'))
    done = nbval(trial)
    assert done.returncode == 0, done.stdout


def test_a_picture_within_html_may_change_and_its_caption_may_not(trial):
    def draw(notebook):
        cell = next(cell for cell in notebook.cells if "6 * 7" in cell.source)
        picture = "<svg><rect x='1'/>\\n</svg><p>a caption</p>"
        cell.source = f'from IPython.display import HTML, display\n\n{cell.source}\ndisplay(HTML("{picture}"))'

    edit(trial, draw)
    refresh([trial])
    edit(trial, replace_output("x='1'", "x='2'"))
    done = nbval(trial)
    assert done.returncode == 0, done.stdout
    edit(trial, replace_output("a caption", "another caption"))
    assert nbval(trial).returncode == 1


def test_a_claim_that_fails_turns_it_red(trial):
    refresh([trial])

    def claim_more(notebook):
        cell = next(cell for cell in notebook.cells if "course.claim(" in cell.source)
        cell.source = cell.source.replace("equals=42", "equals=43")

    edit(trial, claim_more)
    done = nbval(trial)
    assert done.returncode == 1
    assert "ClaimFailed" in done.stdout
    assert "bound = 43" in done.stdout


def test_a_kernel_that_dies_is_noticed_at_once(trial):
    refresh([trial])

    def die(notebook):
        next(cell for cell in notebook.cells if "6 * 7" in cell.source).source = "import os\nos._exit(1)"

    edit(trial, die)
    done = nbval(trial, timeout=2000)  # longer than this test may take
    assert done.returncode == 1
    assert "the kernel died while it ran this cell" in done.stdout


def test_a_cell_that_hangs_is_ended_by_the_timeout(trial):
    refresh([trial])

    def hang(notebook):
        next(cell for cell in notebook.cells if "6 * 7" in cell.source).source = "import time\ntime.sleep(1000)"

    edit(trial, hang)
    done = nbval(trial, timeout=3)
    assert done.returncode == 1
    assert "Timeout of 3 seconds exceeded" in done.stdout
