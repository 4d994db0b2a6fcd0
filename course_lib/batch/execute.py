"""What happens inside the process of one notebook? `python -m course_lib.batch.execute JOB.json`

papermill runs the notebook; this module sees to it that the kernel is this very Python, that saved files are always
whole, that progress is told cell by cell, and that no process outlives this one or the runner.
The exit status tells how it went (the notebook's own metadata lies after a dead kernel): see the constants below.
"""

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from course_lib.batch.files import write_atomically
from course_lib.batch.processes import JOB_VARIABLE, adopt_orphans, end_descendants

FINISHED = 0
NOTEBOOK_FAILED = 1
NOT_EXECUTED = 70  # no kernel, unreadable notebook: see the log
CANNOT_SAVE = 74
KERNEL_DIED = 138  # papermill's own number for it


class CannotSaveError(OSError):
    """The executed notebook could not be written."""


def main(job_file: Path) -> int:
    """Run the notebook that `job_file` tells of (notebook, output, overrides, events). Returns the exit status."""
    job = json.loads(job_file.read_text(encoding="utf-8"))
    job_id = os.environ[JOB_VARIABLE]
    adopt_orphans()
    threading.Thread(target=_die_with_the_runner, args=(job_id,), daemon=True).start()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    with open(job["events"], "a", encoding="utf-8") as events:
        status = _execute(job, lambda **event: print(json.dumps(event), file=events, flush=True))
    _leave_nothing(job_id)
    return status


def _execute(job: dict[str, Any], tell: Any) -> int:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.iorw import LocalHandler, papermill_io

    class WholeFiles(LocalHandler):
        def write(self, text: str, path: str) -> None:
            try:
                write_atomically(Path(path), text, durable=False)
            except OSError as error:
                raise CannotSaveError(error.errno, error.strerror, path) from error

    class FewerSaves(NBClientEngine):
        """papermill saves before and after every cell, text included; once after each code cell is as safe."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            complete_and_save = nb_man.cell_complete

            def start(cell: Any, cell_index: int) -> None:
                cell.metadata.papermill.update(status="running", exception=False, start_time=nb_man.now().isoformat())

            def complete(cell: Any, cell_index: int) -> None:
                if cell.cell_type == "code":
                    complete_and_save(cell, cell_index=cell_index)
                else:
                    cell.metadata.papermill["status"] = "completed"

            nb_man.cell_start, nb_man.cell_complete = start, complete
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register("fewer_saves", FewerSaves)
    papermill_io.register(str(Path(job["output"]).parent), WholeFiles())
    try:
        papermill.execute_notebook(
            job["notebook"],
            job["output"],
            parameters=job["overrides"],
            kernel_name="python3",
            language="python",
            cwd=str(Path(job["notebook"]).parent),
            engine_name="fewer_saves",
            progress_bar=False,
            log_output=True,
            coalesce_streams=True,
            kernel_manager_class=_kernel_manager(),
            **_cell_hooks(job["notebook"], tell),
        )
    except PapermillExecutionError as error:
        tell(event="error", error=_one_line(error.ename, error.evalue))
        return NOTEBOOK_FAILED
    except DeadKernelError:
        tell(event="error", error="the kernel died")
        return KERNEL_DIED
    except CannotSaveError as error:
        tell(event="error", error=f"could not save {error.filename}: {error.strerror}")
        return CANNOT_SAVE
    except Exception as error:
        logging.exception("The notebook could not be executed")
        tell(event="error", error=_one_line(type(error).__name__, str(error)))
        return NOT_EXECUTED
    return FINISHED


def _cell_hooks(notebook: str, tell: Any) -> dict[str, Any]:
    """nbclient's hooks around each code cell. `index` counts all cells of the executed notebook, `number` code only."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    total = 1 + sum(cell["cell_type"] == "code" and bool("".join(cell["source"]).strip()) for cell in cells)
    state = {"number": 0, "began": 0.0}

    def began(cell: Any, cell_index: int) -> None:
        state.update(number=state["number"] + 1, began=time.monotonic())
        lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        first = lines[0].strip()[:120] if lines else ""
        tell(event="began", number=state["number"], total=total, index=cell_index, source=first, time=time.time())

    def ended(cell: Any, cell_index: int, execute_reply: Any) -> None:
        seconds = time.monotonic() - state["began"]
        tell(event="ended", number=state["number"], total=total, index=cell_index, seconds=seconds, time=time.time())

    return {"on_cell_execute": began, "on_cell_executed": ended}


def _kernel_manager() -> type:
    """A manager that starts the kernel with this interpreter, whatever kernelspecs are installed.

    It talks over sockets in the job's own folder, so that jobs that start together cannot take each other's ports.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    class ThisPython(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                display_name="Python 3 (ipykernel)",
                language="python",
            )

        @default("transport")
        def _use_local_sockets(self) -> str:
            return "ipc"

        @default("connection_file")
        def _short_path(self) -> str:  # a socket's path may have about 100 characters
            return str(Path(os.environ["JUPYTER_RUNTIME_DIR"]) / "k.json")

    return ThisPython


def _die_with_the_runner(job_id: str) -> None:
    """Wait for the end of standard input, which comes only when the runner is gone, and then end everything here."""
    while os.read(0, 1024):
        pass
    _leave_nothing(job_id)
    os._exit(signal.SIGKILL + 128)


def _leave_nothing(job_id: str) -> None:
    end_descendants(os.getpid(), job_id)
    shutil.rmtree(os.environ["JUPYTER_RUNTIME_DIR"], ignore_errors=True)


def _one_line(name: str, text: str) -> str:
    first = next((line for line in str(text).splitlines() if line.strip()), "")
    return f"{name}: {first}" if first else name


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
