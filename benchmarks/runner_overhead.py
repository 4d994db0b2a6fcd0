"""How long does the batch runner take over the time of a notebook's own cells?

Runs a notebook of the size of a lesson (40 text and 40 code cells, 40 small pictures) some times, one at a time, and
writes the wall time that its cells did not use, page included, to `results/runner_overhead.json`:

    python -m benchmarks.runner_overhead
"""

import argparse
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from benchmarks.writing import write_result
from course_lib.batch.engine import run_batch
from course_lib.batch.plan import make_plan
from course_lib.batch.series import find_notebooks

CELLS = 40
PICTURE = (
    "import base64, os\nfrom IPython.display import display\n"
    "display({'image/png': base64.b64encode(os.urandom(9000)).decode(), 'text/plain': 'a picture'}, raw=True)"
)


def write_lesson(folder: Path) -> None:
    """A notebook with as many cells, formulas and pictures as a lesson has, but nothing to compute."""
    parameters = new_code_cell('profile: str = "cpu"\nseed: int = 0', metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# A lesson"), parameters]
    for number in range(CELLS):
        cells.append(new_markdown_cell(f"Look at $h_{{{number}}}$. " + "It says one thing in thirty words. " * 4))
        cells.append(new_code_cell(PICTURE))
    nbformat.write(new_notebook(cells=cells), folder / "01_lesson.ipynb")


def overhead(folder: Path, repeats: int) -> tuple[float, float]:
    """Seconds over the cells' own time, per notebook: of a run of one, and of each in a run of `repeats`."""
    infos = find_notebooks(folder)

    def run(seeds: list[int]) -> float:
        began = time.perf_counter()
        result = run_batch(make_plan(infos, seeds=seeds), folder / f"run{len(seeds)}", jobs=1)
        if result.exit_code:
            raise RuntimeError(f"the benchmark's notebook failed: {result.run.notebooks[0].error}")
        own = sum(sum(record.cell_seconds) for record in result.run.notebooks)
        return (time.perf_counter() - began - own) / len(seeds)

    return run([0]), run(list(range(repeats)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        write_lesson(Path(folder))
        alone, each = overhead(Path(folder), repeats)
    write_result(
        "runner_overhead",
        command=f"python -m benchmarks.runner_overhead --repeats {repeats}",
        settings={"code_cells": CELLS, "notebooks_in_a_row": repeats, "jobs": 1},
        measured={"seconds_for_one_notebook": round(alone, 2), "seconds_for_each_of_several": round(each, 2)},
    )


if __name__ == "__main__":
    main()
