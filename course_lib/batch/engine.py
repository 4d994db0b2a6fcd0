"""How does a whole plan get run on this machine, so that nothing is lost and nothing is left running?"""

import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from course_lib.batch.errors import UsageError
from course_lib.batch.events import Event, JobFinished, JobRetried, JobStarted, Notice
from course_lib.batch.files import lock_directory, point_latest
from course_lib.batch.fingerprint import fingerprint
from course_lib.batch.hardware import (
    default_jobs,
    describe_hardware,
    describe_versions,
    git_commit,
    gpu_slots,
    usable_cores,
)
from course_lib.batch.job import Job, Limits
from course_lib.batch.layout import Places
from course_lib.batch.pages import PageMaker
from course_lib.batch.plan import Spec
from course_lib.batch.processes import end_marked
from course_lib.batch.publish import publish
from course_lib.batch.record import NotebookRecord, RunRecord, read_record_file, save_run
from course_lib.batch.resume import earlier_run, finished_before, holds_run, mark_done, marked_records, save_plan
from course_lib.batch.vram import VramSampler

__all__ = ["Limits", "RunResult", "UsageError", "run_batch"]

SECONDS_BETWEEN_LOOKS = 0.1


@dataclass
class RunResult:
    """What `run_batch` returns.

    exit_code: 0 all ran and all claims hold, 1 something failed, 130 interrupted (the run can be resumed).
    error: one line when the run itself could not go on (no room on the disk), else None.
    """

    run: RunRecord
    exit_code: int
    interrupted: bool = False
    error: str | None = None

    @property
    def directory(self) -> Path:
        return self.run.directory


def run_batch(
    specs: list[Spec],
    out: Path,
    *,
    jobs: int | None = None,
    gpus: list[str] | None = None,
    limits: Limits | None = None,
    resume: bool = False,
    on_event: Callable[[Event], None] | None = None,
    latest: Path | None = None,
    command: list[str] | None = None,
    html: bool = True,
) -> RunResult:
    """Run every spec, each in processes of its own, and keep run.json in `out` true all the time.

    jobs: how many at once (default: `hardware.default_jobs`). gpus: slots, one to each job; see `hardware.gpu_slots`.
    resume: continue the run in `out`; what finished with the same code and values is kept, the rest is run.
    latest: a link (runs/latest) to point at this run. on_event is called in this thread.
    Raises UsageError for an `out` that holds a run (without resume), holds none (with resume), or is in use.
    """
    if not specs:
        raise UsageError("no notebooks to run")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, got {jobs}")
    profile = specs[0].profile
    slots = gpu_slots(gpus, profile)
    jobs = min(jobs or default_jobs(len(slots)), len(slots) or len(specs), len(specs))
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; --out needs a directory, which is made when it is missing")
    if resume and not holds_run(out):
        raise UsageError(f"nothing to resume: there is no run at {out}")
    out.mkdir(parents=True, exist_ok=True)
    with lock_directory(out):
        batch = _Batch(specs, out, jobs, slots, limits or Limits(), on_event or (lambda event: None), html)
        batch.prepare(resume, command or [])
        if latest is not None:
            point_latest(latest, out)
        return batch.run_all()


class _Batch:
    """One call of run_batch: what waits, what runs, and the record of it."""

    def __init__(
        self,
        specs: list[Spec],
        out: Path,
        jobs: int,
        slots: list[str],
        limits: Limits,
        tell: Callable[[Event], None],
        html: bool,
    ) -> None:
        self.specs, self.out, self.jobs, self.limits, self.tell = specs, out, jobs, limits, tell
        self.free_slots, self.slots_are_distinct = deque(slots), len(set(slots)) == len(slots)
        self.has_slots = bool(slots)
        self.threads = max(1, usable_cores() // jobs)
        # Follows from the place alone, so that a later runner finds what a killed one left behind.
        self.run_id = sha256(str(out).encode()).hexdigest()[:16]
        self.records: dict[str, NotebookRecord] = {}
        self.waiting: deque[tuple[Spec, int]] = deque()
        self.running: list[Job] = []
        self.fingerprints = {spec.key: fingerprint(spec) for spec in specs}
        self.pages = PageMaker() if html else None
        self.vram = VramSampler() if slots else None
        self.stop_signals = 0
        self.error: str | None = None

    def prepare(self, resume: bool, command: list[str]) -> None:
        """Read what an earlier runner left in the directory, and write the first run.json."""
        earlier = earlier_run(self.out, resume, self.specs[0].profile, self._notice)
        left_over = end_marked(self.run_id) if resume else []
        for process in left_over:
            self._notice(f"process {process.pid} of an earlier runner would not end")
        for folder in ("notebooks", "logs", ".jobs"):
            (self.out / folder).mkdir(exist_ok=True)
        self.run = RunRecord(
            profile=self.specs[0].profile,
            commit=git_commit(self.specs[0].notebook.parent),
            hardware=describe_hardware(),
            versions=describe_versions(),
            run_id=self.run_id,
            started=earlier.started if earlier else _now(),
            command=command,
            jobs=self.jobs,
            directory=self.out,
        )
        if self.has_slots and not self.run.hardware["gpus"]:
            self._notice(
                "nvidia-smi shows no GPU on this machine; each notebook is given the one asked for all the same"
            )
        elif self.run.profile == "gpu" and not self.has_slots:
            self._notice("no GPU is visible: on a CPU the gpu profile takes many hours; use --profile cpu")
        for spec in self.specs:
            places = Places(self.out, spec.key)
            done = finished_before(places, self.fingerprints[spec.key]) if resume else None
            if done:
                self.records[spec.key] = done
                self._tell_finished(done, resumed=True)
                if done.html is None:
                    self._make_page(spec.key)
            else:
                self._clear(places)
                self.records[spec.key] = _unfinished(spec, "waiting")
                self.waiting.append((spec, 1))
        kept = {record.key: record for record in earlier.notebooks} if earlier else {}
        for key, record in (kept | marked_records(self.out)).items():
            self.records.setdefault(key, record)
        save_plan(self.out, self.specs)
        self._save()

    def run_all(self) -> RunResult:
        with self._signals(), self.pages or nullcontext():
            if self.vram:
                self.vram.start()
            try:
                while (self.waiting or self.running) and not self.stop_signals and not self.error:
                    self._start_waiting()
                    self._look_at_running()
                    self._collect_pages()
                    if self.running:
                        time.sleep(SECONDS_BETWEEN_LOOKS)
                self._collect_pages(wait=not self.stop_signals)
            except OSError as error:
                self.error = self.error or _disk_error(error)
            finally:
                self._stop_running()
                if self.vram:
                    self.vram.stop()
        return self._result()

    def _start_waiting(self) -> None:
        while self.waiting and len(self.running) < self.jobs and (self.free_slots or not self.has_slots):
            spec, attempt = self.waiting.popleft()
            job = Job(
                spec=spec,
                places=Places(self.out, spec.key),
                attempt=attempt,
                job_id=f"{self.run_id}/{spec.key}/{attempt}/",
                threads=self.threads,
                gpu=self.free_slots.popleft() if self.has_slots else None,
                limits=self.limits,
            )
            record = self.records[spec.key] = _unfinished(spec, "running")
            record.attempts, record.gpu, record.started = attempt, job.gpu, _now()
            record.log = job.places.relative(job.log)
            self._save()
            job.start()
            self.running.append(job)
            if self.vram and job.gpu:
                self.vram.watch(spec.key, job.gpu, alone=self.slots_are_distinct)
            self.tell(JobStarted(spec.key, attempt, job.gpu, time.time()))

    def _look_at_running(self) -> None:
        for job in list(self.running):
            for event in job.poll():
                self.tell(event)
            if self.vram and job.outcome is None:
                self.vram.processes(job.spec.key, job.processes)
            if job.outcome is not None:
                self._take_back(job)
                if job.outcome.lost and job.attempt <= self.limits.retries:
                    self._retry(job)
                else:
                    self._finish(job)

    def _take_back(self, job: Job) -> None:
        self.running.remove(job)
        if job.gpu is not None:
            self.free_slots.append(job.gpu)
        for pid in job.survivors:
            self._notice(f"process {pid} of {job.spec.key} would not end")

    def _retry(self, job: Job) -> None:
        assert job.outcome is not None
        job.partial.unlink(missing_ok=True)
        self.tell(JobRetried(job.spec.key, job.attempt, job.outcome.error or "", time.time()))
        self.waiting.appendleft((job.spec, job.attempt + 1))

    def _finish(self, job: Job) -> None:
        outcome, places, key = job.outcome, job.places, job.spec.key
        assert outcome is not None
        record = self.records[key]
        self._fill(record, job)
        record.status, record.error, record.finished = outcome.status, outcome.error, _now()
        broken = [claim for claim in record.claims if claim.holds is False]
        if broken and outcome.status in {"ok", "failed"}:
            record.status = "failed"
            record.error = "; ".join(
                f"claim does not hold: {claim.text} (measured {claim.measured}, bound {claim.bound})"
                for claim in broken
            )
        cut_off = outcome.error if outcome.status in {"timeout", "killed"} else None
        if outcome.cannot_save:
            self.error = f"{outcome.error}; nothing more was started, free some room and continue with --resume"
        elif publish(job.partial, places.output, cell_index=job.cell_index, error=cut_off):
            record.output = places.relative(places.output)
        if not outcome.cannot_save:
            mark_done(places, self.fingerprints[key], record)
        self._save()
        self._tell_finished(record)
        if record.output:
            self._make_page(key)

    def _fill(self, record: NotebookRecord, job: Job) -> None:
        record.seconds = round(job.seconds, 3)
        record.peak_ram_bytes = job.peak_ram or None
        record.peak_vram_bytes = self.vram.peak(job.spec.key) if self.vram else None
        record.cells, record.cells_done, record.cell_seconds = job.cells_total, job.cells_done, job.cell_seconds
        record.records, record.claims, complaints = read_record_file(job.record_file)
        for complaint in complaints:
            self._notice(f"{job.spec.key}: {complaint}")

    def _stop_running(self) -> None:
        why = "interrupted" if self.stop_signals else "the run had to stop"
        for job in self.running:
            job.stop()
            record = self.records[job.spec.key]
            self._fill(record, job)
            record.error = f"not finished: {why}"
        for spec, _ in self.waiting:
            self.records[spec.key].error = f"not finished: {why}"
        self.running, self.waiting = [], deque()

    def _make_page(self, key: str) -> None:
        if self.pages:
            places = Places(self.out, key)
            self.pages.make(key, places.output, places.html)

    def _collect_pages(self, wait: bool = False) -> None:
        if not self.pages:
            return
        changed = False
        for key, error in self.pages.finished(wait):
            places = Places(self.out, key)
            if error:
                self._notice(f"{key}: no HTML page was made: {error}")
            else:
                self.records[key].html = places.relative(places.html)
                mark_done(places, self.fingerprints[key], self.records[key])
                changed = True
        if changed:
            self._save()

    def _result(self) -> RunResult:
        interrupted = bool(self.stop_signals)
        self.run.state = "interrupted" if interrupted else "finished"
        self.run.finished = _now()
        try:
            self._save()
        except OSError as error:
            self.error = self.error or _disk_error(error)
        failed = self.error or not self.run.ok
        return RunResult(self.run, 130 if interrupted else int(bool(failed)), interrupted, self.error)

    def _save(self) -> None:
        self.run.notebooks = list(self.records.values())
        save_run(self.run)

    def _clear(self, places: Places) -> None:
        """Remove what an unfinished or outdated run of this notebook left."""
        shutil.rmtree(places.job, ignore_errors=True)
        for path in places.output.parent.glob(f"{places.key}.attempt*.partial.ipynb"):
            path.unlink(missing_ok=True)
        for path in (places.output, places.html):
            path.unlink(missing_ok=True)

    def _tell_finished(self, record: NotebookRecord, resumed: bool = False) -> None:
        self.tell(JobFinished(record.key, record, resumed, time.time()))

    def _notice(self, text: str) -> None:
        self.tell(Notice(text, time.time()))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C (or SIGTERM) ends the jobs and keeps the record; a second one ends everything at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: object) -> None:
            self.stop_signals += 1
            if self.stop_signals > 1:
                for job in self.running:
                    with suppress(ProcessLookupError):
                        os.killpg(job.pid, signal.SIGCONT)  # it may be stopped, and ends itself when we are gone
                os._exit(130)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _unfinished(spec: Spec, state: str) -> NotebookRecord:
    return NotebookRecord(
        key=spec.key,
        name=spec.name,
        title=spec.title,
        parameters=spec.parameters,
        seed=spec.seed,
        cells=spec.code_cells,
        error=f"not finished: {state}",
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _disk_error(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    return f"could not write{where}: {error.strerror}; what finished is kept, free some room and continue with --resume"
