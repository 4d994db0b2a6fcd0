"""Refreshing is all or nothing: new outputs that are fit to be committed, or the old file."""

import json
import os
import stat
from pathlib import Path

import nbformat
import pytest

from course_lib.batch import refresh as module
from course_lib.batch.refresh import RefreshFailed, kernel_environment, refresh

PARAMETERS = (
    'profile: str = "cpu"  # smoke, cpu or gpu\nseed: int = 0  # of all random numbers\n'
    'weights: str = "bundled"  # where weights come from'
)
# Stands in for the lesson, whose import would load torch: these tests are about the file.
COURSE = "class course:\n    @staticmethod\n    def finish():\n        print('all well')"


def write(path, *sources, metadata=None):
    code = [PARAMETERS, COURSE, *sources, "course.finish()"]
    cells = [nbformat.v4.new_markdown_cell("# Trial"), *map(nbformat.v4.new_code_cell, code)]
    cells[1].metadata = {"tags": ["parameters"], "papermill": {"status": "completed"}, "execution": {"a": "b"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata or {})
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "00_trial.ipynb"


def outputs(path):
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


GOOD = ["print('one')", "print('two')", "print('three')"]


def test_outputs_and_counts_are_stored_and_traces_of_the_run_are_not(path, capsys):
    write(path, *GOOD, metadata={"widgets": {}, "papermill": {}, "language_info": {"name": "python", "version": "3.9"}})
    refresh([path])
    notebook = nbformat.read(path, as_version=4)
    assert outputs(path)[2][0].text == "one\n"
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == [1, 2, 3, 4, 5, 6]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert "version" not in notebook.metadata.language_info
    assert [dict(cell.metadata) for cell in notebook.cells if cell.metadata] == [{"tags": ["parameters"]}]
    assert "00_trial: " in capsys.readouterr().out


def test_a_second_refresh_changes_no_byte(path):
    write(path, *GOOD)
    refresh([path])
    once = path.read_bytes()
    refresh([path])
    assert path.read_bytes() == once
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444, "everybody may read it"


def test_the_source_is_formatted(path):
    write(path, *GOOD, "x=[1,2]\nprint(  x )")
    refresh([path])
    assert "x = [1, 2]\nprint(x)" in [cell.source for cell in nbformat.read(path, as_version=4).cells]


def test_the_environment_is_the_one_of_the_check(path, monkeypatch):
    monkeypatch.setenv("COURSE_RECORD_FILE", "somewhere")
    monkeypatch.setenv("COURSE_DATA_DIR", "somewhere")
    names = "COURSE_MODE", "TQDM_DISABLE", "OMP_NUM_THREADS", "COURSE_RECORD_FILE", "COURSE_DATA_DIR"
    write(path, *GOOD, f"import os\n\nprint([os.environ.get(name) for name in {names}])")
    refresh([path])
    assert outputs(path)[5][0].text == "['batch', '1', '1', None, None]\n"


def test_the_kernel_is_this_python_and_runs_in_the_notebooks_folder(path, tmp_path):
    import sys

    write(path, *GOOD, f"import os\nimport sys\n\nprint(sys.prefix == {sys.prefix!r}, os.path.exists('{path.name}'))")
    with pytest.raises(RefreshFailed, match="path of one machine"):
        refresh([path])
    write(
        path,
        *GOOD,
        f"import hashlib\nimport os\nimport sys\n\nprint(hashlib.md5(sys.prefix.encode()).hexdigest())\n"
        f"print(os.path.exists('{path.name}'))",
    )
    refresh([path])
    import hashlib

    assert outputs(path)[5][0].text == f"{hashlib.md5(sys.prefix.encode()).hexdigest()}\nTrue\n"


def test_a_cell_that_raises_is_named_and_the_file_stays(path):
    before = write(path, *GOOD, "numbers = []\nnumbers[3]").read_bytes()
    with pytest.raises(
        RefreshFailed, match=r"00_trial.ipynb: code cell 6 \('numbers = \[\]'\): IndexError: list index"
    ):
        refresh([path])
    assert path.read_bytes() == before


def test_a_kernel_that_dies_is_named_and_the_file_stays(path):
    before = write(path, *GOOD, "import os\n\nos._exit(1)").read_bytes()
    with pytest.raises(RefreshFailed, match=r"code cell 6 \('import os'\): the kernel died"):
        refresh([path])
    assert path.read_bytes() == before


def test_a_cell_that_hangs_is_named_and_the_file_stays(path, monkeypatch):
    monkeypatch.setattr(module, "CELL_TIMEOUT", 2)
    before = write(path, *GOOD, "import time\n\ntime.sleep(1000)").read_bytes()
    with pytest.raises(RefreshFailed, match=r"code cell 6 .*it took longer than 2 s"):
        refresh([path])
    assert path.read_bytes() == before


def test_what_ruff_would_not_pass_is_refused_before_it_runs(path):
    before = write(path, *GOOD, "print(undefined_name").read_bytes()
    with pytest.raises(RefreshFailed, match="ruff check"):
        refresh([path])
    assert path.read_bytes() == before


def test_a_notebook_unfit_to_be_committed_is_refused_and_its_run_kept_elsewhere(path):
    before = write(path, *GOOD, "import sys\n\nprint('a warning', file=sys.stderr)").read_bytes()
    with pytest.raises(RefreshFailed, match="writes to stderr") as caught:
        refresh([path])
    assert path.read_bytes() == before
    kept = str(caught.value).split("(see ")[1].split(")")[0]
    assert json.loads(Path(kept).read_text())["cells"]
    os.unlink(kept)


def test_one_that_fails_does_not_stop_the_others(tmp_path):
    bad, good = tmp_path / "00_bad.ipynb", tmp_path / "00_good.ipynb"
    write(bad, *GOOD, "1 / 0")
    write(good, *GOOD)
    with pytest.raises(RefreshFailed, match=r"00_bad\.ipynb: .*ZeroDivisionError") as caught:
        refresh([bad, good])
    assert "00_good" not in str(caught.value)
    assert outputs(good)[2][0].text == "one\n"


@pytest.mark.parametrize(
    "content", ["", "not json", '{"cells": 3}', '{"nbformat": 4, "nbformat_minor": 5, "cells": [{}]}']
)
def test_a_file_that_is_no_notebook_is_refused(path, content):
    path.write_text(content)
    with pytest.raises(RefreshFailed, match=r"00_trial\.ipynb"):
        refresh([path])
    assert path.read_text() == content


def test_a_missing_file_is_refused(path):
    with pytest.raises(RefreshFailed, match="No such file"):
        refresh([path])


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    before = write(path, *GOOD).read_bytes()

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RefreshFailed, match="No space left on device"):
        refresh([path])
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_injected_parameters_are_not_left_in(path):
    write(path, *GOOD)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(2, nbformat.v4.new_code_cell("seed = 5", metadata={"tags": ["injected-parameters"]}))
    nbformat.write(notebook, path)
    refresh([path])
    assert not any("seed = 5" in cell.source for cell in nbformat.read(path, as_version=4).cells)


def test_the_environment_is_complete():
    environment = kernel_environment()
    assert environment["PATH"] == os.environ["PATH"]
    assert "COURSE_RECORD_FILE" not in environment
