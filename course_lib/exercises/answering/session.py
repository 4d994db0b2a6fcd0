"""How does a trusted process run a learner's notebook and call its functions, whatever they do?

Everything that comes from the worker is taken for data of unknown intent: read with a deadline, bounded, decoded
without running anything. A session that ends, for whatever reason, leaves no process and no file behind.
"""

import atexit
import contextlib
import dataclasses
import functools
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from course_lib.batch.processes import JOB_VARIABLE, descendants, end_job, end_marked, memory_in_use
from course_lib.exercises.answering import isolation as isolating
from course_lib.exercises.answering import seccomp
from course_lib.exercises.answering.codec import HEADER, CodecError, Decoding, Encoding, decode, encode, lengths
from course_lib.exercises.answering.isolation import Isolation, IsolationError
from course_lib.exercises.answering.limits import SessionLimits, threads_of_this_user
from course_lib.exercises.answering.output import Output, wait_for_output
from course_lib.exercises.failures import AnswerRaised, PropertyFailed

LOOK_SECONDS = 0.05
COUNT_SECONDS = 0.2
# For an interrupted worker to say so before it is taken for one that cannot be interrupted.
GRACE_SECONDS = 1.0
KINDS = {"time": "TimeLimit", "memory": "MemoryLimit", "processes": "ProcessLimit"}
NESTED_CALLS = 50
SHOWN_TEXT = 2_000
# What the worker tells of a cell may take this much, however small the limit of a value is.
LEAST_MESSAGE = 2**20
WORKER = "course_lib.exercises.answering.worker"


@dataclass
class CellOutcome:
    """What became of one code cell.

    index: its place in the sources. stdout, stderr: what it printed, bounded; dropped: how many bytes were left out.
    error_kind: the class of the error it raised, or None; traceback: as the notebook would show it.
    where: the learner's own lines on the way to the error. seconds: wall time.
    """

    index: int
    stdout: str = ""
    stderr: str = ""
    dropped: int = 0
    error_kind: str | None = None
    error_text: str = ""
    traceback: str = ""
    where: str = ""
    seconds: float = 0.0


class RemoteFunction:
    """A function of the learner's, which runs in the worker. Arguments and results are data.

    A callable may be passed in; it stays here and the worker calls back. Raises AnswerRaised: its kind is the class
    of the learner's error, or TimeLimit, MemoryLimit, ProcessLimit, ProcessDied.
    """

    def __init__(self, session: "AnswerSession", name: str) -> None:
        self._session = session
        self.__name__ = self.__qualname__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._session.call(self.__name__, args, kwargs)

    def __repr__(self) -> str:
        return f"<{self.__name__}, in a process of its own>"


class Answers(Mapping[str, Any]):
    """What the learner's cells define, by name. A plain value is fetched when it is first asked for."""

    def __init__(self, session: "AnswerSession") -> None:
        self._session = session
        self._fetched: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        kind = self._session.names[name]
        if name not in self._fetched:
            is_function = kind == "function"
            self._fetched[name] = RemoteFunction(self._session, name) if is_function else self._session.value(name)
        return self._fetched[name]

    def __contains__(self, name: object) -> bool:
        return name in self._session.names  # without fetching it

    def __iter__(self) -> Iterator[str]:
        return iter(self._session.names)

    def __len__(self) -> int:
        return len(self._session.names)


class SessionEnded(Exception):  # noqa: N818 - it reads as what happened
    """The worker is gone; `AnswerSession.ended` says why."""


_living: "weakref.WeakSet[AnswerSession]" = weakref.WeakSet()


def end_all_sessions() -> None:
    """End every session of this process, from any thread: for Ctrl-C while several run. It also happens at exit."""
    for session in list(_living):
        session.end("stopped", "everything was stopped")


atexit.register(end_all_sessions)


@functools.lru_cache(maxsize=1)
def _launcher(process: int) -> ThreadPoolExecutor:
    """The thread that starts workers: they die with it, so it must not end before this process does."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="answer-launcher")


class AnswerSession:
    """Runs `sources`, a notebook's code cells, in a process of its own, and calls what they define.

        with AnswerSession(cells) as session:
            session.answers["masked_softmax"](energies, is_word)

    files: what stands beside the notebook, by relative path. isolation: the strongest that works here, if None.
    cells: what became of each cell. ended: None, or why the worker is gone: "time", "memory", "processes", "died",
    "size" (too large to be run), "protocol" (it sent what is no message), "stopped" (from here); ended_text says it in
    words. `ended` stays None when the session is closed in good order. What the learner's code does raises nothing
    here. Raises IsolationError if the process cannot be started, ValueError for a file's name that leads elsewhere.
    """

    def __init__(
        self,
        sources: Sequence[str],
        *,
        limits: SessionLimits | None = None,
        isolation: Isolation | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self.sources = list(sources)
        self.limits = limits or SessionLimits()
        self.isolation = isolation or isolating.choose()
        self.files = dict(files or {})
        for name in self.files:
            if Path(name).is_absolute() or ".." in Path(name).parts or not name.strip():
                raise ValueError(f"a file's name must lead into the scratch folder, got {name!r}")
        self.cells: list[CellOutcome] = []
        self.names: dict[str, str] = {}
        self.answers: Mapping[str, Any] = Answers(self)
        self.ended: str | None = None
        self.ended_text = ""
        self.peak_memory = 0
        self.start_seconds = 0.0
        self._owner = os.getpid()
        self._scratch: Path | None = None
        self._pipes: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._used = 0.0  # seconds of the learner's time
        self._nested = 0
        self._lock = threading.RLock()
        self._ending = threading.Lock()
        self._gone = threading.Event()
        self._slow: dict[str, AnswerRaised] = {}

    # Beginning and end

    def __enter__(self) -> "AnswerSession":
        try:
            began = time.monotonic()
            self._start()
            self.start_seconds = time.monotonic() - began
            if not self._gone.is_set():
                self._run_cells()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker and all it started, and give back what it held here. Also safe to call twice."""
        self.end(None, "the session is closed")
        with self._lock:  # a call in another thread is told first that the worker is gone
            while self._pipes:
                os.close(self._pipes.pop())
        if self._scratch is not None and self._process is None:
            remove(self._scratch)

    def end(self, why: str | None, text: str | None) -> None:
        """Kill the worker and everything it started, and remember why; the first reason stays.

        text: None for what its exit status says.
        """
        with self._ending:
            if self._gone.is_set() or self._process is None or self._owner != os.getpid():
                return
            was_alive = not has_exited(self._process.pid)
            try:
                self._kill(self._process)
            finally:
                self.ended, self.ended_text = why, text or died(None if was_alive else self._process.returncode)
                self._gone.set()
                for output in (self._stdout, self._stderr):
                    output.drain()
                    output.close()
                if self._scratch is not None:
                    remove(self._scratch)
                _living.discard(self)

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        if self.isolation.level == "strong":
            # The first process below bwrap is the first of its own world: when it dies, the system ends all of that,
            # and then bwrap itself.
            for member in descendants(process.pid):
                with contextlib.suppress(psutil.Error):
                    member.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            process.wait()
            return
        # Nobody has waited for it before, so its number cannot be another's by now, though it may be dead.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end_job(process.pid, self._job_id)
        end_marked(self._job_id)
        process.kill()
        process.wait()

    def _start(self) -> None:
        self._job_id = f"answer-{uuid.uuid4().hex}"
        if self.isolation.level == "basic":
            self._scratch = Path(tempfile.mkdtemp(prefix="course-answer-"))
        scratch = isolating.SANDBOX_SCRATCH if self._scratch is None else str(self._scratch)
        privileges = self.isolation.privileges
        variables = isolating.environment(scratch, {JOB_VARIABLE: self._job_id})
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self._pipes = [self._requests, self._replies]
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        theirs = (requests, replies, stdout_end, stderr_end)
        python = [sys.executable, "-P", "-B", "-m", WORKER, str(requests), str(replies)]
        kernel_filter = seccomp.descriptor() if self.isolation.filtered else contextlib.nullcontext()
        try:
            with kernel_filter as inherited:
                before = [] if self._scratch else isolating.sandbox(privileges, self.limits, variables, inherited)
                starting = _launcher(os.getpid()).submit(
                    subprocess.Popen,
                    [*before, *python],
                    stdin=subprocess.DEVNULL,
                    stdout=stdout_end,
                    stderr=stderr_end,
                    pass_fds=(requests, replies) if inherited is None else (requests, replies, inherited),
                    cwd=self._scratch or "/",
                    env=variables,
                    start_new_session=True,
                )
                self._process = starting.result()
        except BaseException as error:
            for descriptor in (stdout, stderr):
                os.close(descriptor)
            if isinstance(error, OSError):
                raise IsolationError(f"the answers' process does not start: {error}") from error
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        os.set_blocking(self._requests, False)
        os.set_blocking(self._replies, False)
        self._stdout, self._stderr = Output(stdout), Output(stderr)
        _living.add(self)
        threading.Thread(target=self._watch, args=(self._process,), name="answer-watch", daemon=True).start()
        try:
            self._say_how_to_start()
        except SessionEnded:
            self._stderr.drain()
            said = self._stderr.kept.text.strip().splitlines()
            raise IsolationError(
                f"the answers' process does not start ({self.isolation.level} isolation): {self.ended_text}"
                + (f"; it says: {said[-1]}" if said else "")
            ) from None

    def _say_how_to_start(self) -> None:
        deadline = time.monotonic() + self.limits.start_seconds
        strong = self.isolation.level == "strong"
        start = {
            "limits": dataclasses.asdict(self.limits),
            "sources": self.sources,
            "files": {**matplotlib_fonts(), **self.files},
            "parent": 0 if strong else os.getpid(),
            "other_threads": threads_of_this_user(),
            "guarded": not strong,
            "readable": [str(place) for place in (*isolating.python_places(), *isolating.system_places())],
        }
        try:
            message = encode(start)
        except CodecError as error:
            self.end("size", f"the notebook's code and files are too large to be run: {error}")
            return
        self._send(message, deadline)
        if self._receive(deadline, Decoding()).get("kind") != "ready":
            self._end_for_protocol("its first message is not that it is ready")

    # Cells, calls and values

    def _run_cells(self) -> None:
        outcome: CellOutcome | None = None
        with contextlib.suppress(SessionEnded):
            for index in range(len(self.sources)):
                outcome = CellOutcome(index)
                began = time.monotonic()
                for output in (self._stdout, self._stderr):
                    output.begin_anew()
                deadline = self._deadline(self.limits.cell_seconds)
                try:
                    self._send(encode({"kind": "run"}), deadline)
                    message = self._receive(deadline, Decoding())
                finally:
                    outcome.seconds = time.monotonic() - began
                    self._used += outcome.seconds
                    self._take_output(outcome)
                    self.cells.append(outcome)
                self._take_outcome(outcome, message)
            if self._receive(time.monotonic() + GRACE_SECONDS, Decoding()).get("kind") != "done":
                self._end_for_protocol("there is a message more than there are cells")
            return
        if outcome is not None and outcome.error_kind is None:
            outcome.error_kind, outcome.error_text = KINDS.get(self.ended or "", "ProcessDied"), self.ended_text

    def _take_outcome(self, outcome: CellOutcome, message: Mapping[str, Any]) -> None:
        names = message.get("names")
        if message.get("kind") != "cell" or message.get("index") != outcome.index or not isinstance(names, dict):
            self._end_for_protocol("it does not tell of the cell that was due")
        named = {name: kind for name, kind in names.items() if _is_name(name)}
        self.names = {name: "function" if kind == "function" else "value" for name, kind in named.items()}
        if (kind := message.get("error_kind")) is not None:
            outcome.error_kind = _text(kind)
            outcome.error_text = _text(message.get("error_text"))
            outcome.traceback = _text(message.get("traceback"))
            outcome.where = _text(message.get("where"))

    def _take_output(self, outcome: CellOutcome) -> None:
        printed, warned = self._stdout.begin_anew(), self._stderr.begin_anew()
        outcome.stdout, outcome.stderr = printed.text, warned.text
        outcome.dropped = printed.dropped + warned.dropped

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the learner's function `name` returns. Raises AnswerRaised."""
        if name in self._slow:
            raise _copy(self._slow[name])
        try:
            return self._ask({"kind": "call", "name": name, "args": tuple(args), "kwargs": dict(kwargs)})
        except AnswerRaised as raised:
            # A function that loops would take its time again with every example.
            if raised.kind == "TimeLimit":
                self._slow[name] = _copy(raised)
            raise

    def value(self, name: str) -> Any:
        """The learner's plain value `name`. Raises AnswerRaised if it cannot be fetched."""
        return self._ask({"kind": "value", "name": name})

    def _ask(self, request: Mapping[str, Any]) -> Any:
        with self._lock:
            outermost = self._nested == 0
            if self._nested >= NESTED_CALLS:
                raise AnswerRaised("RecursionError", f"calls within calls, deeper than {NESTED_CALLS}")
            began = time.monotonic()
            if outermost:
                self._call_deadline = self._deadline(self.limits.call_seconds)
            self._nested += 1
            try:
                return self._exchange(request)
            except SessionEnded:
                raise AnswerRaised(KINDS.get(self.ended or "", "ProcessDied"), self.ended_text) from None
            except Exception:
                raise
            except BaseException:  # Ctrl-C in the middle of a message: what follows could not be told from it
                self.end("stopped", "it was stopped")
                raise
            finally:
                self._nested -= 1
                if outermost:
                    self._used += time.monotonic() - began

    def _exchange(self, request: Mapping[str, Any]) -> Any:
        callbacks: list[Callable[..., Any]] = []
        failed: list[PropertyFailed] = []
        self._send(self._encoded(request, callbacks), self._call_deadline)
        while True:
            message = self._receive(self._call_deadline, Decoding())
            kind = message.get("kind")
            if kind == "result":
                return message.get("value")
            if kind == "raised":
                told = [_text(message.get(part)) for part in ("error_kind", "error_text", "where")]
                for failure in failed:  # a check's own verdict, on its way through the learner's code
                    if told[:2] == [type(failure).__name__, str(failure)[:SHOWN_TEXT]]:
                        raise failure
                raise AnswerRaised(told[0] or "Error", told[1], where=told[2])
            if kind != "callback":
                self._end_for_protocol("it answers what was not asked")
            self._send(self._call_back(message, callbacks, failed), self._call_deadline)

    def _call_back(
        self, message: Mapping[str, Any], callbacks: list[Callable[..., Any]], failed: list[PropertyFailed]
    ) -> bytes:
        number, args, kwargs = (message.get(part) for part in ("number", "args", "kwargs"))
        if type(number) is not int or not 0 <= number < len(callbacks):
            self._end_for_protocol("it calls a function that it was not given")
        if not isinstance(args, tuple) or not isinstance(kwargs, dict) or not all(map(_is_name, kwargs)):
            self._end_for_protocol("it calls a function with what are no arguments")
        try:
            answer = {"kind": "answer", "value": callbacks[number](*args, **kwargs)}
            return self._encoded(answer, callbacks)
        except Exception as error:
            kind, text = type(error).__name__, str(error)
            if isinstance(error, AnswerRaised):  # another of the learner's functions, called from this one
                kind, text = error.kind, error.error
            elif isinstance(error, PropertyFailed):
                failed.append(error)
            return encode({"kind": "error", "error_kind": kind, "error_text": text[:SHOWN_TEXT]})

    def _encoded(self, value: Any, callbacks: list[Callable[..., Any]]) -> bytes:
        def remember(function: Callable[..., Any]) -> int:
            callbacks.append(function)
            return len(callbacks) - 1

        def own_name(function: Any) -> str | None:
            own = isinstance(function, RemoteFunction) and function._session is self
            return function.__name__ if own else None

        try:
            return encode(value, Encoding(remember, own_name), self.limits.message)
        except CodecError as error:
            raise ValueError(f"an argument cannot be handed over: it is {error}") from None

    # The two pipes

    def _deadline(self, seconds: float) -> float:
        """When something that begins now and may take `seconds` is killed; before that, the worker interrupts it."""
        left = self.limits.seconds - self._used
        return time.monotonic() + min(seconds + GRACE_SECONDS, max(left, 0.0))

    def _send(self, message: bytes, deadline: float) -> None:
        left = memoryview(message)
        while left:
            self._await(self._requests, select.POLLOUT, deadline)
            try:
                left = left[os.write(self._requests, left) :]
            except BlockingIOError:
                continue
            except OSError:
                self._end_as_dead()

    def _receive(self, deadline: float, decoding: Decoding) -> dict[Any, Any]:
        try:
            header = self._read(HEADER.size, deadline)
            skeleton, tensors = lengths(header, max(self.limits.message, LEAST_MESSAGE))
            message = decode(self._read(skeleton, deadline), self._read(tensors, deadline), decoding)
            if not isinstance(message, dict):
                raise CodecError("it is of the wrong kind")
        except CodecError as error:
            self._end_for_protocol(str(error))
        return message

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._await(self._replies, select.POLLIN, deadline)
            try:
                piece = os.read(self._replies, min(size - len(data), 2**20))
            except BlockingIOError:
                continue
            if not piece:
                self._end_as_dead()
            data += piece
        return bytes(data)

    def _await(self, descriptor: int, event: int, deadline: float) -> None:
        """Wait until the pipe is ready. Raises SessionEnded at the deadline, or when the worker is gone."""
        poll = select.poll()
        poll.register(descriptor, event)
        while not self._gone.is_set():
            if (left := deadline - time.monotonic()) <= 0:
                self.end("time", "it takes longer than its time limit; perhaps a loop never ends")
                break
            if poll.poll(min(left, 0.1) * 1000):
                return
        raise SessionEnded

    def _end_as_dead(self) -> NoReturn:
        deadline = time.monotonic() + 0.5
        while self._process and not has_exited(self._process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.end("died", None)
        raise SessionEnded

    def _end_for_protocol(self, what: str) -> NoReturn:
        self.end("protocol", f"its process sent something that is no answer: {what}")
        raise SessionEnded

    # The watch

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Take away what is printed, and end the session if it uses too much or its process dies."""
        counted = 0.0
        while not self._gone.is_set():
            if not wait_for_output([self._stdout, self._stderr], LOOK_SECONDS):
                self._gone.wait(LOOK_SECONDS)
            self._stdout.drain()
            self._stderr.drain()
            if has_exited(process.pid):
                # Its last words may still be in the pipe; who waits for them reads them first.
                if not self._gone.wait(0.5):
                    self.end("died", None)
                return
            if time.monotonic() - counted >= COUNT_SECONDS:
                counted = time.monotonic()
                self._count(process.pid)

    def _count(self, pid: int) -> None:
        processes = descendants(pid)
        if len(processes) > self.limits.processes:
            self.end("processes", f"it started more than {self.limits.processes} processes")
            return
        with contextlib.suppress(psutil.Error):
            processes.append(psutil.Process(pid))
        used = memory_in_use(processes, at_least=self.limits.memory)
        self.peak_memory = max(self.peak_memory, used)
        if used > self.limits.memory:
            self.end("memory", f"it needs more memory than the limit of {self.limits.memory_in_words}")


def has_exited(pid: int) -> bool:
    """Whether this child is dead, without waiting for it: until then nobody else can be given its number."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def died(status: int | None) -> str:
    """How its process ended, in words."""
    if status is None:
        return "its process closed the connection"
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        return f"its process was killed (signal {number}), by the code itself or for want of memory"
    return "its process ended itself"


def matplotlib_fonts() -> dict[str, bytes]:
    """matplotlib's list of this machine's fonts, if it has made one: it takes seconds to make anew."""
    for folder in (Path.home() / ".cache" / "matplotlib", Path.home() / ".matplotlib"):
        with contextlib.suppress(OSError):
            return {f".matplotlib/{file.name}": file.read_bytes() for file in folder.glob("fontlist-*.json")}
    return {}


def remove(folder: Path) -> None:
    """Delete a folder, also one that was made unreadable."""

    def make_writable(function: Callable[..., Any], path: Any, error: Any) -> None:
        with contextlib.suppress(OSError):
            os.chmod(Path(path).parent, 0o700)
            os.chmod(path, 0o700)
            function(path)

    shutil.rmtree(folder, onerror=make_writable)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def _copy(raised: AnswerRaised) -> AnswerRaised:
    return AnswerRaised(raised.kind, raised.error, where=raised.where)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
