"""Tiny notebooks, and batches of them, for the runner's tests."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.batch.record import NotebookRecord, RunRecord

PARAMETERS = (
    'profile: str = "cpu"  # smoke, cpu or gpu\n'
    "seed: int = 0  # of every random number\n"
    'weights: str = "bundled"  # or random'
)


@pytest.fixture(scope="session")
def write_notebook() -> Callable[..., Path]:
    """Write `folder/name.ipynb`: a title, the cell tagged parameters, and one code cell for each source given."""

    def write(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS, title: str = "A title") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        content = new_notebook(
            cells=[new_markdown_cell(f"# {title}"), tagged, *(new_code_cell(cell) for cell in cells)]
        )
        path = folder / f"{name}.ipynb"
        nbformat.write(content, path)
        return path

    return write


@pytest.fixture(scope="session")
def recording() -> str:
    """A cell that defines `write(**entry)`, which adds a line to the record file as the lesson's side does."""
    return (
        "import json, os\n"
        "def write(**entry):\n"
        "    with open(os.environ['COURSE_RECORD_FILE'], 'a') as file:\n"
        "        print(json.dumps(entry), file=file, flush=True)"
    )


@pytest.fixture(scope="session")
def living() -> Callable[[str], list[int]]:
    """The numbers of living processes whose command line or environment holds a text."""

    def find(text: str) -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                told = " ".join([*process.cmdline(), *process.environ().values()])
                if text in told and process.status() != psutil.STATUS_ZOMBIE and process.pid != psutil.Process().pid:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    return find


@pytest.fixture(scope="session")
def notebook_record() -> Callable[..., NotebookRecord]:
    """The record of one notebook that went well, with what is given changed."""

    def make(name: str = "02_attention", seed: int = 0, **changed: object) -> NotebookRecord:
        values: dict = {
            "key": f"{name}__seed={seed}",
            "name": name,
            "status": "ok",
            "title": f"{name}: what is it?",
            "seconds": 60.0,
            "peak_ram_bytes": 800 * 2**20,
            "parameters": {"profile": "cpu", "seed": seed, "weights": "bundled"},
            "seed": seed,
            "attempts": 1,
        }
        return NotebookRecord(**(values | changed))

    return make


@pytest.fixture
def run_record(tmp_path: Path) -> Callable[..., RunRecord]:
    """A finished run of the given notebooks; its directory is a new one below tmp_path."""
    directories = (tmp_path / f"run{number}" for number in count(1))

    def make(*notebooks: NotebookRecord, **changed: object) -> RunRecord:
        directory = next(directories)
        directory.mkdir()
        values: dict = {
            "profile": "cpu",
            "commit": "0123456789abcdef",
            "hardware": {"cpu": "Some CPU", "cores": 2, "ram_bytes": 8 * 2**30, "gpus": []},
            "versions": {"python": "3.12.1", "torch": "2.13.0"},
            "notebooks": list(notebooks),
            "state": "finished",
            "started": "2026-11-21T07:30:00+00:00",
            "finished": "2026-11-21T07:34:10+00:00",
            "command": ["course", "run"],
            "directory": directory,
        }
        return RunRecord(**(values | changed))

    return make
