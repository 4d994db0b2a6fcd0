"""What runs in the process that nobody trusts? The learner's cells, and then calls of their functions.

Started by `AnswerSession` as `python -m course_lib.exercises.answering.worker REQUESTS REPLIES`, the numbers of its
two pipes. Whatever comes back from here was perhaps written by the learner's code and not by this module.
"""

import builtins
import contextlib
import ctypes
import os
import random
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from course_lib.batch.processes import adopt_orphans
from course_lib.exercises.answering.channel import Channel, Closed
from course_lib.exercises.answering.codec import CodecError, Decoding, encode
from course_lib.exercises.answering.limits import SessionLimits, hold_this_process_to

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CELL = re.compile(r"^<cell \d+>$")
SHOWN_TEXT = 2_000
SHOWN_TRACEBACK = 20_000
SHOWN_FRAMES = 8
SHOWN_NAME = 100
NAMES = 5_000
NESTED_CALLS = 40
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class TimeLimit(BaseException):
    """A cell or a call has used its time. Not an Exception, so that `except Exception` does not swallow it."""


class Clock:
    """Interrupts the learner's code when its time is up; whoever cannot be interrupted is killed from outside."""

    def __init__(self) -> None:
        self.running = False
        self.waiting = False  # for the other side, in the middle of a message: an interrupt would tear it
        self.due = False
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, self._ring)

    @contextlib.contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Raise TimeLimit in this block after `seconds`; within another such block, that one counts."""
        if self.running or not hasattr(signal, "SIGALRM"):
            yield
            return
        self.running, self.due = True, False
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            self.running = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextlib.contextmanager
    def whole_message(self) -> Iterator[None]:
        """Keep an interrupt until this block is done."""
        self.waiting = True
        try:
            yield
        finally:
            self.waiting = False
            if self.due and self.running:
                self.due = False
                raise TimeLimit

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self.running and self.waiting:
            self.due = True
        elif self.running:
            raise TimeLimit


class Worker:
    """Runs cells in an IPython shell and serves calls, until the other side is gone."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.clock = Clock()
        self.nested = 0
        self.calls = 0  # how many have begun; a callback belongs to one
        self.active: set[int] = set()

    def prepare(self) -> None:
        """Limits, files, seeds and imports, before any of the learner's code."""
        start = self.channel.receive(Decoding())
        self.limits = SessionLimits(**start["limits"])
        self.sources: list[str] = start["sources"]
        scratch = Path.cwd()
        for name, data in start["files"].items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(data)
        tie_to_parent(start["parent"])
        hold_this_process_to(self.limits, start["other_threads"])
        self._make_shell()
        random.seed(0)
        if any("torch" in source for source in self.sources):
            import torch

            torch.manual_seed(0)
        if any("numpy" in source or "torch" in source for source in self.sources):
            import numpy

            numpy.random.seed(0)
        sys.path.insert(0, str(scratch))  # modules beside the notebook
        if start["guarded"]:
            from course_lib.exercises.answering.guard import refuse_what_lies_outside

            refuse_what_lies_outside([str(scratch)], start["readable"])

    def _make_shell(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        config.InteractiveShell.xmode = "Context"
        self.shell = InteractiveShell.instance(config=config)
        self.shown: list[str] = []
        self.shell._showtraceback = self._keep_traceback  # type: ignore[method-assign]
        self.shell.compile.get_code_name = lambda *_: f"<cell {self.cell + 1}>"  # type: ignore[method-assign]
        self.shell.enable_gui = lambda gui=None: None  # type: ignore[method-assign] # for %matplotlib inline
        self.shell.system = self.shell.system_raw  # type: ignore[method-assign] # needs no terminal of its own
        self.cell = 0
        self.given = dict(self.shell.user_ns)

    def _keep_traceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        self.shown.append("\n".join(stb))

    def run_cells(self) -> None:
        """Run every cell in order, an error in one or not, and tell of each."""
        for index, source in enumerate(self.sources):
            self.channel.receive(Decoding())  # when what the cell before has printed is put away
            self.cell = index
            self.shown.clear()
            keep_something_to_print_to()
            began = time.monotonic()
            error: BaseException | None = None
            try:
                with self.clock.limit(self.limits.cell_seconds):
                    result = self.shell.run_cell(source, store_history=True)
                    error = result.error_before_exec or result.error_in_exec
            except BaseException as escaped:  # even an interrupt, or what the shell itself stumbled over
                error = escaped
            seconds = time.monotonic() - began
            flush()
            outcome: dict[str, Any] = {"kind": "cell", "index": self.cell, "seconds": seconds, "names": self.names()}
            if error is not None:
                told = self.told(error)
                outcome |= told | {"traceback": COLOURS.sub("", "\n".join(self.shown))[-SHOWN_TRACEBACK:]}
            self.channel.send(encode(outcome))
        self.channel.send(encode({"kind": "done"}))

    def names(self) -> dict[str, str]:
        """What the cells have defined by now, and whether it can be called."""
        found: dict[str, str] = {}
        for name, value in list(self.shell.user_ns.items()):
            if type(name) is not str or len(name) > SHOWN_NAME or name.startswith("_") or isinstance(value, type(sys)):
                continue
            if name in self.given and self.given[name] is value:  # the shell's own, not defined anew
                continue
            found[name] = "function" if callable(value) and not isinstance(value, type) else "value"
            if len(found) == NAMES:
                break
        return found

    def serve(self, until_answered: bool = False) -> Any:
        """Do what is asked for; with `until_answered`, until the answer to a callback comes, which is returned."""
        while True:
            with self.clock.whole_message() if until_answered else contextlib.nullcontext():
                request = self.channel.receive(Decoding(self._proxy, self._function, keep_grad=True))
            if until_answered and request["kind"] in ("answer", "error"):
                return request
            self._reply(lambda request=request: self._result(request))  # type: ignore[misc]

    def _result(self, request: Mapping[str, Any]) -> Any:
        target = self.shell.user_ns[request["name"]]
        return target if request["kind"] == "value" else target(*request["args"], **request["kwargs"])

    def _reply(self, work: Callable[[], Any]) -> None:
        self.calls += 1
        call = self.calls
        self.active.add(call)
        self.nested += 1
        began = time.monotonic()
        try:
            # Encoding counts as the learner's time: it asks their objects how they show themselves.
            with self.clock.limit(self.limits.call_seconds):
                if self.nested > NESTED_CALLS:
                    raise RecursionError(f"calls within calls, deeper than {NESTED_CALLS}")
                message = encode({"kind": "result", "value": work()}, limit=self.limits.message)
        except CodecError as error:
            text = f"the result cannot be handed over: it is {error}"
            message = encode({"kind": "raised", "error_kind": "ResultTooLarge", "error_text": text, "where": ""})
        except Closed:
            raise
        except BaseException as error:
            message = encode({"kind": "raised", "seconds": time.monotonic() - began} | self.told(error))
        finally:
            self.nested -= 1
            self.active.discard(call)
        flush()
        self.channel.send(message)

    def _function(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def _proxy(self, number: int) -> Callable[..., Any]:
        """A function that asks the other side to run the one it was given as an argument."""
        call = self.calls + 1  # the one that this argument comes with

        def given(*args: Any, **kwargs: Any) -> Any:
            if call not in self.active or threading.current_thread() is not threading.main_thread():
                raise RuntimeError("a function that was passed in can be called only while the call lasts")
            message = encode({"kind": "callback", "number": number, "args": args, "kwargs": kwargs})
            with self.clock.whole_message():
                self.channel.send(message)
            answer = self.serve(until_answered=True)
            if answer["kind"] == "error":
                raise error_called(answer["error_kind"], answer["error_text"])
            return answer["value"]

        return given

    def told(self, error: BaseException) -> dict[str, str]:
        """An error's kind and text and the learner's own lines that led to it, whatever the error does when asked."""
        try:
            kind, text = type(error).__name__, str(error)
        except BaseException as worse:
            kind, text = type(error).__name__, f"(its text cannot be shown: {type(worse).__name__})"
        if isinstance(error, TimeLimit):
            text = "it takes longer than its time limit; perhaps a loop never ends"
        elif isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
            kind, text = "MemoryLimit", f"it needs more memory than the limit of {self.limits.memory_in_words}"
        return {"error_kind": str(kind)[:100], "error_text": text[:SHOWN_TEXT], "where": where(error)}


def where(error: BaseException) -> str:
    """The lines of the learner's cells on the way to `error`, the innermost last."""
    try:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if CELL.match(frame.filename)]
    except Exception:
        return ""
    lines = [
        f"{frame.filename[1:-1]}, line {frame.lineno}, in {frame.name.strip('<>')}:\n    {(frame.line or '')[:200]}"
        for frame in frames[-SHOWN_FRAMES:]
    ]
    return "\n".join(lines)[:SHOWN_TRACEBACK]


def error_called(kind: str, text: str) -> Exception:
    """An error of the built-in kind of that name, or else one of a class made for it."""
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception):
        with contextlib.suppress(Exception):
            return known(text)
    made: Exception = type(kind, (RuntimeError,), {})(text)
    return made


def flush() -> None:
    """Write out what was printed, as far as the learner's code left something to write to."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr]


def keep_something_to_print_to() -> None:
    """Put streams that print into nothing where a cell has closed or deleted them; the shell itself needs some."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        if stream is None or getattr(stream, "closed", False):
            with contextlib.suppress(OSError):
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it stays


def tie_to_parent(parent: int) -> None:
    """On Linux, die with the process that started this one, and adopt all that this one's children leave behind.

    parent: its number, or 0 where bubblewrap sees to it.
    """
    if sys.platform != "linux" or not parent:
        return
    adopt_orphans()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    worker = Worker(Channel(int(sys.argv[1]), int(sys.argv[2])))
    sys.argv[:] = ["notebook"]
    try:
        worker.prepare()
        worker.channel.send(encode({"kind": "ready"}))
        worker.run_cells()
        worker.serve()
    except (Closed, OSError, KeyboardInterrupt):
        pass
    finally:
        flush()
        os._exit(0)  # threads that the learner's code left running do not keep it


if __name__ == "__main__":
    main()
