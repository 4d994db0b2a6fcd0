"""What does a solved exercise put out? Runs it as committed outputs are made: alone, quiet, and the same each time."""

import asyncio
import tempfile
from pathlib import Path

from course_lib.exercises.building.master import Notebook
from course_lib.exercises.catalogue import Exercise, ExerciseError

CELL_TIMEOUT = 120.0  # seconds, as for the lessons


def execute(exercise: Exercise, notebook: Notebook) -> None:
    """Run all cells in a fresh kernel and keep their outputs in `notebook`.

    Raises ExerciseError, which names the cell, where one fails: a solution must pass its own checks.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    from course_lib.batch.refresh import METADATA_OF_ONE_RUN, ThisPython, kernel_environment

    reached = {"id": ""}

    def begin(cell: Notebook, cell_index: int) -> None:
        reached["id"] = cell.id

    exercise.solution.parent.mkdir(exist_ok=True)
    metadata = dict(notebook.metadata)
    with tempfile.TemporaryDirectory() as scratch:
        connection = {"transport": "ipc", "connection_file": str(Path(scratch) / "kernel.json")}
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_spec_manager=ThisPython(), **connection),
            timeout=CELL_TIMEOUT,
            coalesce_streams=True,
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": str(exercise.solution.parent)}},
            on_cell_start=begin,
        )
        environment = kernel_environment() | {
            "COURSE_EXERCISES_DIR": str(exercise.folder.parent.resolve()),
            # A maintainer's build is no learner's progress.
            "COURSE_PROGRESS_FILE": str(Path(scratch) / "progress.json"),
        }
        try:
            asyncio.run(client.async_execute(cleanup_kc=True, env=environment))
        except CellExecutionError as error:
            raise ExerciseError(_failed(exercise, reached["id"], f"{error.ename}: {error.evalue}")) from None
        except CellTimeoutError:
            raise ExerciseError(_failed(exercise, reached["id"], f"it took over {CELL_TIMEOUT:.0f} s")) from None
        except DeadKernelError:
            raise ExerciseError(_failed(exercise, reached["id"], "the kernel died")) from None
    notebook.metadata = type(notebook.metadata)(metadata)
    for cell in notebook.cells:
        for key in METADATA_OF_ONE_RUN:
            cell.metadata.pop(key, None)


def output_complaints(notebook: Notebook) -> list[str]:
    """Why the outputs of an executed solution should not be committed; empty if they may."""
    from course_lib.batch import notebook_checks

    checks = [
        notebook_checks.counted_without_gaps,
        notebook_checks.no_errors_or_stderr,
        notebook_checks.no_widget_state,
        notebook_checks.no_paths_of_one_machine,
        notebook_checks.stable_under_nbval,
        notebook_checks.alt_text_everywhere,
        notebook_checks.small_file,
    ]
    return [complaint for check in checks for complaint in check(notebook)]


def _failed(exercise: Exercise, cell: str, reason: str) -> str:
    return f"the solution of {exercise.id} fails in cell {cell!r} of {exercise.master}: {' '.join(reason.split())}"
