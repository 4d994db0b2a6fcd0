"""How is one attempt at one notebook started, watched and ended?"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from course_lib.batch import execute
from course_lib.batch.events import CellFinished, CellStarted, Event
from course_lib.batch.layout import Places
from course_lib.batch.plan import Spec
from course_lib.batch.processes import JOB_VARIABLE, descendants, end_job, end_marked, highest_memory, memory_in_use

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
SECONDS_BETWEEN_MEMORY_CHECKS = 0.2
MIB = 2**20


@dataclass
class Limits:
    """What one notebook may use: wall time in seconds, RAM in bytes (kernel and children), and further attempts.

    Another attempt is made only for what the infrastructure did (dead kernel, timeout, lost process), never for an
    error of the notebook or a failed claim, which would only fail again.
    """

    timeout: float | int | None = None
    memory: int | None = None
    retries: int = 0

    def __post_init__(self) -> None:
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError(f"timeout must be more than 0 seconds, got {self.timeout}")
        if self.memory is not None and self.memory <= 0:
            raise ValueError(f"memory must be more than 0 bytes, got {self.memory}")
        if self.retries < 0:
            raise ValueError(f"retries must be 0 or more, got {self.retries}")


@dataclass
class Outcome:
    """How an attempt ended. `lost`: through the infrastructure, so another attempt may help."""

    status: Literal["ok", "failed", "timeout", "killed"]
    error: str | None = None
    lost: bool = False
    cannot_save: bool = False


@dataclass
class Job:
    """One attempt: a process in a session of its own that runs papermill, whose kernel runs the notebook."""

    spec: Spec
    places: Places
    attempt: int
    job_id: str
    threads: int
    gpu: str | None
    limits: Limits
    cells_total: int = 0
    cells_done: int = 0
    cell_index: int | None = None
    cell_source: str = ""
    cell_seconds: list[float] = field(default_factory=list)
    peak_ram: int = 0
    processes: set[int] = field(default_factory=set)
    outcome: Outcome | None = None
    survivors: list[int] = field(default_factory=list)
    _reported_error: str | None = None
    _events_read: int = 0
    _next_memory_check: float = 0.0
    _ended: float | None = None

    def start(self) -> None:
        """Start the process. Raises OSError when its files cannot be written."""
        exchange = self.places.exchange(self.attempt)
        shutil.rmtree(exchange, ignore_errors=True)
        exchange.mkdir(parents=True)
        self.partial.unlink(missing_ok=True)
        job_file = exchange / "job.json"
        content = {
            "notebook": str(self.spec.notebook),
            "output": str(self.partial),
            "overrides": self.spec.overrides,
            "events": str(exchange / "events.jsonl"),
        }
        job_file.write_text(json.dumps(content), encoding="utf-8")
        self._runtime = tempfile.mkdtemp(prefix="course-")
        self.began = time.monotonic()
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "course_lib.batch.execute", str(job_file)],
                stdin=subprocess.PIPE,  # its end tells the job that the runner is gone
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )

    @property
    def partial(self) -> Path:
        return self.places.partial(self.attempt)

    @property
    def log(self) -> Path:
        return self.places.log(self.attempt)

    @property
    def record_file(self) -> Path:
        return self.places.exchange(self.attempt) / "records.jsonl"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def seconds(self) -> float:
        """Wall time of the attempt, so far or in all."""
        return (self._ended or time.monotonic()) - self.began

    def poll(self) -> Iterator[Event]:
        """Tell what happened since the last look; `outcome` is set once the attempt has ended."""
        returned = self._process.poll()
        yield from self._read_events()
        if returned is not None:
            self._end(self._outcome_of(returned))
            return
        if self.limits.timeout is not None and self.seconds > self.limits.timeout:
            where = f"; it was in: {self.cell_source}" if self.cell_source else ""
            self._end(Outcome("timeout", f"Timeout: took longer than {self.limits.timeout:g} s{where}", lost=True))
        elif time.monotonic() >= self._next_memory_check:
            self._check_memory()

    def stop(self) -> None:
        """End the attempt's processes now, without an outcome (the runner is interrupted)."""
        list(self._read_events())
        self._end_processes()

    def _check_memory(self) -> None:
        limit = self.limits.memory
        known = self.peak_ram if limit is None else min(self.peak_ram, limit)
        processes = descendants(self.pid)
        self.processes.update(process.pid for process in processes)
        used = memory_in_use(processes, at_least=known)
        self.peak_ram = max(self.peak_ram, used, highest_memory(processes))
        self._next_memory_check = time.monotonic() + SECONDS_BETWEEN_MEMORY_CHECKS
        if limit is not None and used > limit:
            text = f"MemoryLimit: used {used / MIB:,.0f} MiB of RAM, the limit is {limit / MIB:,.0f} MiB"
            self._end(Outcome("killed", text))

    def _outcome_of(self, returned: int) -> Outcome:
        error = self._reported_error
        if returned == execute.FINISHED:
            return Outcome("ok")
        if returned == execute.NOTEBOOK_FAILED:
            return Outcome("failed", error or "the notebook's process failed; see its log")
        if returned == execute.KERNEL_DIED:
            where = f" in: {self.cell_source}" if self.cell_source else ""
            return Outcome("killed", f"DeadKernel: the kernel died{where}", lost=True)
        if returned == execute.CANNOT_SAVE:
            return Outcome("failed", error, cannot_save=True)
        if returned == execute.NOT_EXECUTED:
            return Outcome("failed", error or "the notebook could not be executed; see its log", lost=True)
        how = f"signal {-returned}" if returned < 0 else f"exit status {returned}"
        return Outcome("killed", f"LostProcess: the notebook's process ended by {how}; see its log", lost=True)

    def _end(self, outcome: Outcome) -> None:
        self._end_processes()
        self.outcome = outcome

    def _end_processes(self) -> None:
        self._ended = time.monotonic()
        left = end_job(self.pid, self.job_id) if self._process.poll() is None else end_marked(self.job_id)
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.survivors = [process.pid for process in left]
        shutil.rmtree(self._runtime, ignore_errors=True)

    def _read_events(self) -> Iterator[Event]:
        try:
            with open(self.places.exchange(self.attempt) / "events.jsonl", "rb") as file:
                file.seek(self._events_read)
                text = file.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._events_read += len(whole)
        for line in whole.splitlines():
            yield from self._note(json.loads(line))

    def _note(self, event: dict[str, Any]) -> Iterator[Event]:
        if event["event"] == "error":
            self._reported_error = event["error"]
            return
        self.cells_total = event["total"]
        if event["event"] == "began":
            self.cell_index, self.cell_source = event["index"], event["source"]
            yield CellStarted(self.spec.key, event["number"], event["total"], event["source"], event["time"])
        else:
            self.cells_done = event["number"]
            self.cell_seconds.append(round(event["seconds"], 3))
            yield CellFinished(self.spec.key, event["number"], event["total"], event["seconds"], event["time"])

    def _environment(self) -> dict[str, str]:
        environment = {
            **os.environ,
            **dict.fromkeys(THREAD_VARIABLES, str(self.threads)),
            JOB_VARIABLE: self.job_id,
            "COURSE_RECORD_FILE": str(self.record_file),
            "COURSE_MODE": "batch",
            "TQDM_DISABLE": "1",
            # A folder of its own: no port or history file is shared, and the user's startup files stay out.
            "JUPYTER_RUNTIME_DIR": self._runtime,
            "IPYTHONDIR": self._runtime,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "PYTHONUNBUFFERED": "1",
            "CUDA_VISIBLE_DEVICES": self.gpu or "",
        }
        # With a backend from the user's shell (Agg, say) no figure would reach the notebook.
        environment.pop("MPLBACKEND", None)
        return environment
