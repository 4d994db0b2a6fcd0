"""Tiny notebooks, and batches of them, for the runner's tests."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

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
