"""Every committed notebook passes every check; that the checks can fail is shown in test_notebook_checks.py."""

from pathlib import Path

import nbformat
import pytest

from course_lib.batch.notebook_checks import problems

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def test_the_series_is_there():
    assert NOTEBOOKS, "no notebooks found: every test over them would pass unseen"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_is_fit_to_be_read_run_and_compared(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert problems(notebook, path.stem) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_starts_under_its_own_name(path):
    assert f'lesson.start("{path.stem}"' in path.read_text(encoding="utf-8").replace('\\"', '"')
