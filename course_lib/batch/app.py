"""How is a notebook served as an app, to this machine alone, so that nothing is left when it ends?

Voilà runs the notebook anew for each page that is opened. Between it and us stands a keeper, `python -m
course_lib.batch.app COMMAND …`, which ends the server and all kernels as soon as its standard input ends: when we ask
for it, and also when we were killed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from course_lib.batch.errors import UsageError, unknown
from course_lib.batch.processes import JOB_VARIABLE, adopt_orphans, end_descendants, end_marked

HOST = "127.0.0.1"
USUAL_PORT = 8866
LESSON_ONLY = "lesson-only"  # the tag of cells that the app leaves out
QUIET = "app-quiet"  # a tag of cells that run in the app and show nothing: a player did not ask for settings
FILES = Path(__file__).parent / "app_files"  # voila.json: what it may load and from where; and the page's template
GRACE = 5.0  # seconds that a server gets to end its kernels by itself


class ServerFailed(OSError):  # noqa: N818 - it reads as what happened
    """The server ended before it answered; the message holds the last lines that it wrote."""


def app_notebook(notebook: Path, folder: Path, values: Mapping[str, Any]) -> Path:
    """A copy of `notebook` in `folder` for the app: without the cells and outputs for learners, with these
    parameters.

    Raises UsageError for a file that is no notebook, and for a parameter that it does not have.
    """
    import nbformat

    from course_lib.batch.series import read_notebook_info

    known = read_notebook_info(notebook).parameters
    for name in values:
        if name not in known:
            raise unknown("parameter", name, known)
    content = nbformat.read(notebook, as_version=4)
    content.cells = [cell for cell in content.cells if LESSON_ONLY not in _tags(cell)]
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if QUIET in _tags(cell):
                cell.source = f"%%capture\n{cell.source}"
        if "parameters" in _tags(cell):
            cell.source = "\n".join([cell.source, *(f"{name} = {value!r}" for name, value in values.items())])
    copy = folder / notebook.name
    nbformat.write(content, copy)
    return copy


def voila_command(target: Path, port: int, *, token: bool = False) -> list[str]:
    """Serve a notebook, or each notebook of a folder, by Voilà. With `token`, only to who knows JUPYTER_TOKEN.

    Raises UsageError if Voilà is not installed.
    """
    if find_spec("voila") is None:
        raise UsageError('Voilà is not installed; install it with: pip install "course-lib[widgets]"')
    settings = [*(sys.executable, "-m", "voila"), f"--port={port}", *(["--Voila.auto_token=True"] if token else [])]
    return [*settings, str(target)]


def app_environment(**more: str) -> dict[str, str]:
    """The environment of a server and its kernels: live, and with the course's settings and page for Voilà."""
    environment = {**os.environ, "COURSE_MODE": "live", **more}
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        environment[name] = os.pathsep.join(filter(None, [str(FILES), os.environ.get(name)]))
    environment.pop("COURSE_RECORD_FILE", None)
    return environment


def usable_port(wanted: int | None) -> int:
    """`wanted`, or else the usual port, or else any that is free. Raises UsageError if `wanted` cannot be had."""
    if wanted is not None and not 1 <= wanted <= 65535:
        raise UsageError(f"--port must be from 1 to 65535, got {wanted}")
    try:
        return _bound(USUAL_PORT if wanted is None else wanted)
    except OSError as error:
        if wanted is None:
            return free_port()
        raise UsageError(
            f"port {wanted} cannot be used ({error.strerror}); give another one, or leave out --port"
        ) from None


def free_port() -> int:
    """A port of this machine that nobody uses."""
    return _bound(0)


def _bound(port: int) -> int:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((HOST, port))
        return int(trial.getsockname()[1])


@contextlib.contextmanager
def serving(
    command: list[str], port: int, log: Path, environment: Mapping[str, str], seconds: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers on `port`, for as long as the block lasts; then it ends, with all that it started.

    Raises ServerFailed, with the end of its log, if it does not come up within `seconds`.
    """
    job_id = f"app-{uuid.uuid4().hex}"
    keeper = [sys.executable, "-m", "course_lib.batch.app", *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            keeper,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**environment, JOB_VARIABLE: job_id},
            start_new_session=True,  # Ctrl-C comes to us alone
        )
    try:
        _await(process, port, log, seconds)
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE + 5)
        process.kill()
        process.wait()
        end_marked(job_id)


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as trial:
            trial.settimeout(1)
            if trial.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    what = f"did not answer within {seconds:.0f} s" if process.poll() is None else "ended at once"
    raise ServerFailed(f"the server {what}:\n{last_lines(log)}")


def last_lines(log: Path, count: int = 8) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def keep(command: list[str]) -> int:
    """The keeper: runs `command` until it ends or our standard input does. Returns its exit status."""
    adopt_orphans()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # only the end of standard input ends us
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end_with_our_input() -> None:
        while os.read(0, 1024):
            pass
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(GRACE)
        end_descendants(os.getpid(), os.environ[JOB_VARIABLE])

    threading.Thread(target=end_with_our_input, daemon=True).start()
    status = server.wait()
    end_descendants(os.getpid(), os.environ[JOB_VARIABLE])
    return status


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
