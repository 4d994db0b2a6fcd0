"""How is every process of a notebook found, measured, and ended, even those that tried to leave?

A job's processes carry a marker in their environment, and on Linux orphans fall back to the job's own first process
(a "subreaper"), so a child is found by its parents or by its marker, whatever it did with sessions and forks.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

JOB_VARIABLE = "COURSE_JOB_ID"
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied)


def adopt_orphans() -> None:
    """Make this process the parent of all descendants that lose theirs (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[psutil.Process]:
    """All living children of `pid` and theirs, zombies left out."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except GONE:
        return []
    return [child for child in children if _lives(child)]


def marked(job_id: str) -> list[psutil.Process]:
    """All living processes, but for this one, whose environment marks them as part of `job_id` (a prefix counts)."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(*GONE, OSError):
            if process.environ().get(JOB_VARIABLE, "").startswith(job_id) and _lives(process):
                found.append(process)
    return found


def end_descendants(pid: int, job_id: str) -> list[psutil.Process]:
    """Kill what is below `pid` or carries the marker, but not `pid` itself; returns what would not die."""
    return _kill_until_none(lambda: {*descendants(pid), *marked(job_id)} - {psutil.Process(pid)})


def end_marked(job_id: str) -> list[psutil.Process]:
    """Kill what carries the marker, for a job whose first process is gone already; returns what would not die."""
    return _kill_until_none(lambda: set(marked(job_id)))


def end_job(pid: int, job_id: str) -> list[psutil.Process]:
    """Kill a job's living first process, the leader of its group, and all that belongs to it.

    The first process is stopped before, so that it still adopts orphans but starts nothing new. Returns what would
    not die.
    """
    os.kill(pid, signal.SIGSTOP)
    end_descendants(pid, job_id)
    os.killpg(pid, signal.SIGKILL)
    return end_marked(job_id)


def _kill_until_none(find: Callable[[], set[psutil.Process]], seconds: float = 5.0) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while (left := find()) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(*GONE):
                process.kill()
        psutil.wait_procs(left, timeout=0.2)
    return list(left)


def memory_in_use(processes: list[psutil.Process], at_least: int) -> int:
    """Bytes of RAM that `processes` hold together.

    Pages shared between them are counted once where the system tells (proportional set size on Linux); that costs
    some milliseconds, so it is only asked when the plain sum is above `at_least`.
    """
    resident = [(process, _resident(process)) for process in processes]
    total = sum(size for _, size in resident)
    if total <= at_least or len(resident) < 2:
        return total
    return sum(_proportional(process, size) for process, size in resident)


def highest_memory(processes: list[psutil.Process]) -> int:
    """The largest high-water mark among `processes`, which catches peaks between two looks (Linux)."""
    peaks = [0]
    for process in processes:
        with contextlib.suppress(OSError, ValueError):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            peaks.extend(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    return max(peaks)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except GONE:
        return False


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except GONE:
        return 0


def _proportional(process: psutil.Process, otherwise: int) -> int:
    try:
        return getattr(process.memory_full_info(), "pss", otherwise)
    except (*GONE, OSError):
        return otherwise
