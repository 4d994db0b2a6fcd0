"""How does each judgement get a process of its own without loading torch each time? By forks of one that has it.

A judge that hangs or crashes, because a check is broken or an answer is odder than anyone thought of, can then be
ended without harm to the others, and random numbers drawn for one notebook do not depend on the next.
"""

import contextlib
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

FRAME = struct.Struct("<Q")
SECONDS_TO_CLOSE = 5.0
STARTING = "from course_lib.exercises.grading.forking import serve; serve()"


@dataclass(frozen=True)
class Ended:
    """A judge that has ended. status: its exit status, negative for a signal; overdue: whether its time was up."""

    number: int
    status: int
    overdue: bool


class ForkServer:
    """Runs `work(*arguments)` in forks of a warm process. Use as a context manager; nothing is left after it.

    Only what is trusted goes through here, so pickle is safe.
    """

    def __init__(self, said: Path) -> None:
        self.said = said  # a file for whatever the judges print, such as the traceback of a crash

    def __enter__(self) -> "ForkServer":
        self.said.parent.mkdir(parents=True, exist_ok=True)
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with open(self.said, "ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", STARTING],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                bufsize=0,
                env={**os.environ, **one_thread},
                start_new_session=True,  # Ctrl-C is for the grader, which then ends this
            )
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(2 * SECONDS_TO_CLOSE)
        except subprocess.TimeoutExpired:
            _kill_tree(self.process.pid)
            self.process.wait()
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()

    def start(self, number: int, seconds: float, work: Callable[..., None], *arguments: Any) -> None:
        """Run `work(*arguments)` in a fork of its own, killed after `seconds`. Raises RuntimeError if none is there."""
        frame = pickle.dumps((number, seconds, work, arguments))
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(FRAME.pack(len(frame)) + frame)
        except OSError:
            raise RuntimeError(f"the process that starts the judges has ended; see {self.said}") from None

    def ended(self, timeout: float) -> list[Ended]:
        """The judges that have ended; waits until one has, at most `timeout` seconds. Raises RuntimeError."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        if not ready:
            return []
        line = self.process.stdout.read(4096)
        if not line:
            raise RuntimeError(f"the process that starts the judges has ended; see {self.said}")
        while not line.endswith(b"\n"):
            line += self.process.stdout.read(4096)
        fields = [text.split() for text in line.decode().splitlines()]
        return [Ended(int(number), int(status), overdue == "overdue") for number, status, overdue in fields]


def serve() -> None:
    """The warm process: reads what to do from its standard input, tells of what has ended, ends with the input."""
    from course_lib.batch.processes import adopt_orphans

    replies = os.dup(1)
    os.dup2(2, 1)  # what a check prints is not a reply
    adopt_orphans()
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, tuple[int, float]] = {}  # by process: the number, and when it is overdue
    overdue: set[int] = set()
    import torch

    import course_lib.exercises.grading.judging  # noqa: F401 - so that every fork has it, and torch with it

    torch.set_num_threads(1)
    while True:
        soonest = min((due for _, due in running.values()), default=None)
        patience = None if soonest is None else max(0.0, soonest - time.monotonic()) + 0.1
        ready, _, _ = select.select([0, wake], [], [], patience)
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
        for pid, (_, due) in running.items():
            if pid not in overdue and time.monotonic() > due:
                overdue.add(pid)
                _kill_tree(pid)
        for pid, status in _reaped():
            if pid in running:
                number, _ = running.pop(pid)
                _sweep(set(running))
                os.write(replies, f"{number} {status} {'overdue' if pid in overdue else '-'}\n".encode())
        if 0 in ready:
            request = _read_frame()
            if request is None:
                _close(set(running))
                return
            number, seconds, work, arguments = request
            running[_fork(work, arguments, (replies, wake, woken))] = (number, time.monotonic() + seconds)


def _fork(work: Callable[..., None], arguments: tuple[Any, ...], not_for_it: tuple[int, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _leave)
        for descriptor in (0, *not_for_it):
            os.close(descriptor)
        os.open(os.devnull, os.O_RDONLY)  # takes the place of standard input
        work(*arguments)
        status = 0
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(1)


def _read_frame() -> Any:
    head = _read_whole(FRAME.size)
    body = _read_whole(FRAME.unpack(head)[0]) if head else None
    return pickle.loads(body) if body else None


def _read_whole(size: int) -> bytes | None:
    parts, left = [], size
    while left:
        part = os.read(0, left)
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _reaped() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _close(running: set[int]) -> None:
    """End the judges, politely first, so that they end their students' processes themselves."""
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_CLOSE
    while running and time.monotonic() < deadline:
        running -= {pid for pid, _ in _reaped()}
        time.sleep(0.02)
    _sweep(set())


def _sweep(running: set[int]) -> None:
    """Kill the children of this process that are no running judge: what a dead judge left behind has come here."""
    for child in psutil.Process().children():
        if child.pid not in running:
            _kill_tree(child.pid)


def _kill_tree(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        whole = psutil.Process(pid)
        # Stopped first, so that it starts nothing more while its children are killed.
        whole.suspend()
        for process in (*whole.children(recursive=True), whole):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
