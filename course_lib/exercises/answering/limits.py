"""How much time, memory, output and how many processes may a learner's code use?"""

import contextlib
import math
import os
import sys
from dataclasses import dataclass

GIB = 2**30
MIB = 2**20


@dataclass(frozen=True)
class SessionLimits:
    """What one AnswerSession may use; it ends, or the call fails, when it uses more.

    seconds: of the untrusted code's own wall time, cells and calls together; starting the process is not counted.
    cell_seconds, call_seconds: of one cell and one call. A cell or call that can be interrupted is, and the rest goes
    on; one that cannot ends the session. memory: bytes of RAM of all its processes together. processes: how many there
    may be at once. file_size: bytes of one file. scratch: bytes of all files (where bubblewrap is used). message:
    bytes of one value. start_seconds: until the process is ready, its imports done.
    """

    seconds: float = 60.0
    cell_seconds: float = 30.0
    call_seconds: float = 10.0
    memory: int = 3 * GIB
    processes: int = 64
    file_size: int = 100 * MIB
    scratch: int = 200 * MIB
    message: int = 64 * MIB
    start_seconds: float = 120.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"the limit {name} must be > 0, got {value!r}")

    @property
    def memory_in_words(self) -> str:
        return f"{self.memory / GIB:.1f} GiB"


def hold_this_process_to(limits: SessionLimits, other_threads: int) -> None:
    """Set what the system itself can enforce, for this process and all that it starts; there is no way back.

    other_threads: how many this user runs already, see `threads_of_this_user`. Where a limit is not known (macOS has
    none of data, Windows none of these), the session's own watch is left.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)
    try:
        import resource
    except ImportError:
        return
    # The processor's time only catches what outlived the session's own clock.
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": limits.file_size,
        "RLIMIT_NOFILE": 512,
        "RLIMIT_CPU": math.ceil(limits.seconds) + math.ceil(limits.start_seconds),
    }
    if sys.platform == "linux":
        # Not RLIMIT_AS: torch reserves far more addresses than it uses.
        wanted["RLIMIT_DATA"] = limits.memory
        wanted["RLIMIT_NPROC"] = other_threads + 4 * limits.processes
    for name, value in wanted.items():
        with contextlib.suppress(OSError, ValueError):
            _, highest = resource.getrlimit(getattr(resource, name))
            bound = value if highest == resource.RLIM_INFINITY else min(value, highest)
            resource.setrlimit(getattr(resource, name), (bound, bound))


def threads_of_this_user() -> int:
    """How many threads this user runs now: the system's limit of processes counts them all (and spares root)."""
    if sys.platform != "linux":
        return 0
    import psutil

    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real == os.getuid():
                count += process.num_threads()
    return count
