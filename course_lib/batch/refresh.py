"""How do the outputs in a committed notebook come about? One script, one environment, and all or nothing."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from course_lib.batch.files import write_atomically
from course_lib.batch.notebook_checks import compared_share, first_line, problems

CELL_TIMEOUT = 120.0  # seconds, the same as in the check of the outputs

# The environment of every run that makes or checks committed outputs. One thread, because two runs are checked at a
# time on two cores, and because sums in another order differ in their last digits. No GPU, for the same reason.
KERNEL_ENVIRONMENT = {
    "COURSE_MODE": "batch",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "NO_COLOR": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
# Private settings that would show in the outputs, or collect results of a run that is none.
NOT_IN_KERNELS = ["COURSE_RECORD_FILE", "COURSE_DATA_DIR"]

METADATA_OF_ONE_RUN = ["execution", "papermill", "ExecuteTime", "collapsed", "widgets", "vscode"]


class RefreshFailed(RuntimeError):  # noqa: N818 - it reads as what happened
    """One or more notebooks could not be refreshed; their files are as they were. The message says why for each."""


def kernel_environment() -> dict[str, str]:
    """The whole environment for a kernel whose outputs are committed or compared."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_IN_KERNELS}
    return {**kept, **KERNEL_ENVIRONMENT}


def refresh(paths: list[Path]) -> None:
    """Run each notebook with its default parameters, and store the new outputs if all is well.

    The source is formatted and linted by ruff, run from top to bottom in a fresh kernel of this Python, freed from
    what belongs to one run (times, widget state), and put to the checks for committed notebooks. Then the file is
    replaced in one step. A notebook that fails keeps its old file, and the others go on.

    Raises RefreshFailed at the end, naming each failed notebook, its cell and the reason.
    """
    failures = []
    for path in map(Path, paths):
        began = time.monotonic()
        try:
            notebook = _refreshed(path)
            write_atomically(path, nbformat.writes(notebook) + "\n")
        except (RefreshFailed, OSError) as error:
            failures.append(f"{path.name}: {error}")
            continue
        print(
            f"{path.stem}: {time.monotonic() - began:.0f} s, {path.stat().st_size // 1024} KiB, "
            f"{compared_share(notebook):.0%} of the code cells compared"
        )
    if failures:
        raise RefreshFailed("not refreshed, the files are as they were:\n" + "\n".join(failures))


def _refreshed(path: Path) -> Any:
    notebook = _read(_ruff(path))
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    _execute(notebook, path.parent)
    _strip(notebook)
    complaints = problems(notebook, path.stem)
    if complaints:
        with tempfile.NamedTemporaryFile("w", suffix=f".{path.name}", delete=False, encoding="utf-8") as refused:
            nbformat.write(notebook, refused)
        raise RefreshFailed(
            f"it ran, but is not fit to be committed (see {refused.name}):\n  " + "\n  ".join(complaints)
        )
    return notebook


def _read(text: str) -> Any:
    notebook = nbformat.reads(text, as_version=4)
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise RefreshFailed(f"not a valid notebook: {first_line(str(error))}") from error
    return notebook


def _ruff(path: Path) -> str:
    """The notebook's text, formatted. Raises RefreshFailed for what ruff cannot read or would not pass."""
    text = path.read_text(encoding="utf-8")
    for step in (["check", "--quiet", "--output-format=concise"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *step, "--stdin-filename", str(path.resolve()), "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RefreshFailed(f"ruff {step[0]}: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def _execute(notebook: Any, folder: Path) -> None:
    reached = {"number": 0, "code": ""}

    def begin(cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            number = sum(before.cell_type == "code" for before in notebook.cells[: cell_index + 1])
            reached.update(number=number, code=first_line(cell.source))

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=ThisPython()),
        timeout=CELL_TIMEOUT,
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=begin,
    )
    try:
        asyncio.run(client.async_execute(env=kernel_environment()))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        if isinstance(error, CellExecutionError):
            reason = f"{error.ename}: {error.evalue}"
        elif isinstance(error, CellTimeoutError):
            reason = f"it took longer than {CELL_TIMEOUT:.0f} s"
        else:
            reason = "the kernel died"
        raise RefreshFailed(f"code cell {reached['number']} ({reached['code']!r}): {reason}") from error


def _strip(notebook: Any) -> None:
    for part in (notebook, *notebook.cells):
        for key in METADATA_OF_ONE_RUN:
            part.metadata.pop(key, None)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    # Without the version of Python, which would change the file on another machine and nothing else.
    notebook.metadata["language_info"] = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}


class ThisPython(KernelSpecManager):
    """Finds one kernel: ipykernel in the Python that runs this, whatever kernels are installed on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python", name="python3")
