"""How does one cell of a notebook become N processes that talk to each other, and how does it get rid of them again?

`launch` is the parent's side; a rank's own side is in `rank_process`. By default the ranks are forks of this process:

- A fork inherits a function that was defined in a cell, with all it refers to. A fresh interpreter would have to be
  sent it, and pickle sends functions by name only, a name which nobody can import from a notebook.
- A fork starts in milliseconds; N fresh interpreters that import torch need seconds each.
- The price: a fork cannot use a GPU that the parent already uses, and only the calling thread lives on in it. A rank
  therefore keeps to one compute thread (the pool of the others is gone), writes to pipes of its own instead of
  Jupyter's threads, and leaves without the parent's clean-up.

For a function of an importable module, `start="spawn"` gives fresh interpreters; it is what happens by default where
CUDA is in use already, or on Windows. Under `torchrun` the ranks exist: then `launch` only joins them.
"""

import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from course_lib.parallel import rank_process
from course_lib.parallel.failures import Failure, RanksFailedError
from course_lib.parallel.rank_process import Invitation, join_as_torchrun_says, run_rank

GRACE = 1.0  # seconds, at most, for the other ranks to tell their side once one has failed


def launch(
    function: Callable[..., Any],
    *arguments: Any,
    processes: int | None = None,
    timeout: float = 120.0,
    collective_timeout: float = 30.0,
    backend: str = "gloo",
    start: str = "auto",
    show: Callable[[str], None] | None = print,
) -> list[Any]:
    """Call `function(*arguments)` in N processes that form a torch.distributed group; their results, by rank.

    - `processes`: 2 if not given; under `torchrun`, as many as it started.
    - `timeout`: seconds for everything; `collective_timeout`: seconds that one operation waits for the other ranks.
    - `backend`: "gloo" (CPU) or "nccl" (GPU number `local_rank` is then the rank's current device).
    - `start`: "fork", "spawn" or "auto" (above).
    - `show(line)` is called for each line that a rank prints, with "[rank] " before it; None for silence.

    Results and, with "spawn", arguments must be picklable. When `launch` returns or raises, no rank is alive, nor what
    a rank started, whatever happened: each is a process group of its own that is killed. If this process is killed
    itself, Linux kills the ranks.

    Raises RanksFailedError, with the traceback of the rank that failed first, when a rank raises, dies, or does not
    end in time (with where each one waited); ValueError for arguments that cannot work; KeyboardInterrupt as usual.
    """
    if os.environ.get("TORCHELASTIC_RUN_ID"):
        return join_as_torchrun_says(function, arguments, processes, backend, collective_timeout)
    processes = 2 if processes is None else processes
    start = _checked_start(function, processes, timeout, collective_timeout, backend, start)
    if start == "fork":
        # An optimizer's first step imports this, for seconds: once here, instead of in every rank of every launch.
        importlib.import_module("torch._dynamo")
    context = multiprocessing.get_context(start)
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:  # where they meet: no port that could be in use
        ranks: list[_Rank] = []
        try:
            for number in range(processes):
                invitation = Invitation(number, processes, folder, backend, collective_timeout, os.getpid())
                ranks.append(_Rank(context, invitation, function, arguments))
            _follow(ranks, time.monotonic() + timeout, show)
        finally:
            for rank in ranks:
                rank.end()
    failures = [rank.failure for rank in ranks if rank.failure is not None]
    if failures:
        raise RanksFailedError(failures, processes)
    return [rank.result for rank in ranks]


class _Rank:
    """One process, its two pipes (what it prints, what it returns), and what is known of its fate."""

    def __init__(self, context: Any, invitation: Invitation, function: Callable[..., Any], arguments: tuple) -> None:
        self.invitation = invitation
        self.number = invitation.rank
        self.result: Any = None
        self.failure: Failure | None = None
        self.finished = False
        self.unfinished_line = b""
        self.output, output = context.Pipe(duplex=False)
        self.answer, answer = context.Pipe(duplex=False)
        self.process = context.Process(
            target=run_rank, args=(invitation, function, arguments, output, answer), name=f"rank {self.number}"
        )
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()  # or a fork would print what waits there once more
        with warnings.catch_warnings():  # Python 3.12: "multi-threaded, use of fork() may lead to deadlocks"
            warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
            self.process.start()
        output.close()
        answer.close()
        self.open_pipes: list[Connection] = [self.output, self.answer]

    def read(self, pipe: Connection, show: Callable[[str], None] | None) -> None:
        """Take what is in one pipe; a pipe that is at its end is closed."""
        try:
            if pipe is self.answer:
                self._take_answer(pickle.loads(pipe.recv_bytes()))
                return
            received = os.read(pipe.fileno(), 1 << 16)
        except Exception as error:
            if pipe is self.answer and not isinstance(error, EOFError | OSError) and self.failure is None:
                what = f"its result cannot be unpickled here: {error!r}"
                self.failure = Failure(self.number, "raised", what, time.monotonic())
            received = b""
        if not received:
            pipe.close()
            self.open_pipes.remove(pipe)
        if pipe is self.output:
            self.take_output(received, show)

    def _take_answer(self, answer: tuple[str, Any, float]) -> None:
        kind, value, moment = answer
        if kind == "result":
            self.result, self.finished = value, True
        else:
            self.failure = Failure(self.number, "raised", value, moment)

    def take_output(self, received: bytes, show: Callable[[str], None] | None) -> None:
        """Show the lines that are whole now; what follows the last end of line waits."""
        *lines, self.unfinished_line = (self.unfinished_line + received).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            if show is not None:
                show(f"[{self.number}] {text}")

    def notice_death(self) -> None:
        """A process that is gone without having said a word has failed."""
        if self.process.exitcode is None or self.finished or self.failure or self.answer in self.open_pipes:
            return
        code = self.process.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with exit code {code}"
        self.failure = Failure(self.number, "died", f"the process {how} before it returned", time.monotonic())

    def ask_where(self) -> None:
        """A rank answers this signal with its stack (faulthandler), which needs nothing from a process that hangs."""
        if hasattr(signal, "SIGUSR1") and self.process.is_alive():
            os.kill(self.process.pid, signal.SIGUSR1)

    def where(self) -> str:
        """The stack that it answered with, down to the launched function."""
        try:
            answer = Path(self.invitation.stack_file).read_text(encoding="utf-8").splitlines()[1:]
        except OSError:
            answer = []
        own = [number for number, line in enumerate(answer) if rank_process.__file__ in line]
        return "\n".join(answer[: own[0]] if own else answer) or "  (this system cannot tell where)"

    def end(self) -> None:
        """Kill the process, and whatever it started."""
        if hasattr(os, "killpg"):
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self.process.kill()
        else:
            self.process.kill()
        self.process.join(5)
        for pipe in self.open_pipes:
            pipe.close()
        self.open_pipes = []


def _follow(ranks: list[_Rank], deadline: float, show: Callable[[str], None] | None) -> None:
    """Pass on what the ranks say until all have returned, or until a while after one failed or time is up."""
    until = deadline
    while not all(rank.finished or rank.failure for rank in ranks) and time.monotonic() < until:
        _read(ranks, min(0.1, max(0.0, until - time.monotonic())), show)
        for rank in ranks:
            rank.notice_death()
        if any(rank.failure for rank in ranks):
            until = min(until, time.monotonic() + GRACE, deadline)
    waiting = [rank for rank in ranks if not rank.finished and rank.failure is None]
    for rank in waiting:
        rank.ask_where()
    if waiting:
        time.sleep(GRACE / 5)
    for rank in ranks:  # what was printed last
        while rank.output in rank.open_pipes and rank.output.poll():
            rank.read(rank.output, show)
        rank.take_output(b"\n" if rank.unfinished_line else b"", show)
    for rank in waiting:
        rank.failure = Failure(rank.number, "unfinished", rank.where(), time.monotonic())


def _read(ranks: list[_Rank], seconds: float, show: Callable[[str], None] | None) -> None:
    owners = {id(pipe): rank for rank in ranks for pipe in rank.open_pipes}
    pipes = [pipe for rank in ranks for pipe in rank.open_pipes]
    if not pipes:
        time.sleep(seconds)
    for pipe in wait(pipes, seconds) if pipes else []:
        owners[id(pipe)].read(pipe, show)  # type: ignore[arg-type]


def _checked_start(
    function: Callable[..., Any], processes: int, timeout: float, collective_timeout: float, backend: str, start: str
) -> str:
    if processes < 1 or timeout <= 0 or collective_timeout <= 0:
        raise ValueError(
            f"expected processes of 1 or more and seconds above 0, got processes={processes}, timeout={timeout}, "
            f"collective_timeout={collective_timeout}"
        )
    if backend not in ("gloo", "nccl") or start not in ("auto", "fork", "spawn"):
        raise ValueError(
            f"expected backend 'gloo' or 'nccl' and start 'auto', 'fork' or 'spawn', got {backend!r} and {start!r}"
        )
    if backend == "nccl" and torch.cuda.device_count() < processes:
        raise ValueError(
            f"nccl needs a GPU for each rank: {processes} ranks, {torch.cuda.device_count()} GPUs; use backend='gloo'"
        )
    cuda_in_use = torch.cuda.is_initialized()
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    if start == "auto":
        start = "fork" if can_fork and not cuda_in_use else "spawn"
    if start == "fork" and not can_fork:
        raise ValueError("this system cannot fork; use start='spawn' and a function from a .py file")
    if start == "fork" and backend == "nccl" and cuda_in_use:
        raise ValueError(
            "this process uses CUDA already, and a fork cannot: use start='spawn' with a function from a .py file, or "
            "restart the kernel and launch before anything is put on a GPU"
        )
    if start == "spawn":
        try:
            pickle.dumps(function)
            importable = getattr(function, "__module__", None) != "__main__" or hasattr(
                sys.modules["__main__"], "__file__"
            )
        except Exception:
            importable = False
        if not importable:
            raise ValueError(
                f"a fresh interpreter cannot import {getattr(function, '__qualname__', function)!r}: put it into a .py "
                "file, or launch with start='fork' (not on Windows, and before this process uses a GPU)"
            )
    return start
