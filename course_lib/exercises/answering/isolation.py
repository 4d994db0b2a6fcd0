"""How far can a learner's code be kept from everything else on this machine?

Strong: bubblewrap (`bwrap`, Linux) gives the process a file system of its own that holds Python, this library and an
empty folder, no network, and processes of its own; it runs without privileges, and all of it dies with its parent.
Basic: an ordinary process in an empty folder, whose Python refuses to open other files, connect, or start programs
(`guard`). That stops accidents and curiosity, not someone determined, who can reach around Python.
"""

import contextlib
import functools
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from course_lib.exercises.answering import seccomp
from course_lib.exercises.answering.limits import MIB, SessionLimits

SANDBOX_SCRATCH = "/tmp/scratch"
SHARED_MEMORY = 64 * MIB
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/alternatives",
    "/etc/fonts",
)
# Only these of an environment: a course checked out into its own environment's folder stays out of sight.
PARTS_OF_AN_ENVIRONMENT = ("bin", "lib", "lib64", "libexec", "share", "etc", "pyvenv.cfg")
# With a user of its own and no way to become another, or at least without privileges where that is not allowed.
PRIVILEGES = (
    ("--unshare-user", "--uid", "1000", "--gid", "1000", "--disable-userns", "--cap-drop", "ALL"),
    ("--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"),
    ("--cap-drop", "ALL"),
)
INSTALL = "install bubblewrap (`apt install bubblewrap`; Linux only)"


class IsolationError(RuntimeError):
    """This machine cannot isolate as was asked, or the isolated process does not start. The message says why."""


@dataclass(frozen=True)
class Isolation:
    """A way to keep a process apart.

    privileges: what bwrap is told about them. filtered: whether it also refuses calls of the kernel (`seccomp`).
    lacking: why it is not strong.
    """

    level: Literal["strong", "basic"]
    privileges: tuple[str, ...] = ()
    filtered: bool = False
    lacking: str = ""

    def describe(self) -> str:
        """What it gives and what it does not, in plain words."""
        if self.level == "strong":
            return (
                "Strong isolation (bubblewrap): submitted code sees no network, no file but Python's and its own, and "
                "no other process. It shares this machine's kernel, so a hole in the kernel would be a way out."
            )
        return (
            f"Basic isolation only, since {self.lacking}: submitted code runs in a process of its own with limits, and "
            "its Python refuses other files, the network and programs. That stops accidents and curiosity; someone "
            "determined can get around it, so run strangers' code in a container or a virtual machine."
        )


def choose(require_strong: bool = False) -> Isolation:
    """The strongest isolation that works here. Raises IsolationError if it must be strong and cannot be."""
    if sys.platform == "win32":
        raise IsolationError("submitted code cannot be kept apart on Windows; use WSL, or a container")
    isolation = _strongest()
    if require_strong and isolation.level != "strong":
        lacking = isolation.lacking
        raise IsolationError(f"strong isolation does not work here: {lacking}; {INSTALL}, or use a virtual machine")
    return isolation


@functools.cache
def _strongest() -> Isolation:
    """The strongest way in which bwrap works here, or the basic one and why. Tried once a process."""
    if sys.platform != "linux":
        return Isolation("basic", lacking="bubblewrap needs Linux")
    if shutil.which("bwrap") is None:
        return Isolation("basic", lacking="bubblewrap is not installed")
    said = ""
    for filtered, privileges in itertools.product((True, False), PRIVILEGES):
        said = _try(Isolation("strong", privileges, filtered))
        if not said:
            return Isolation("strong", privileges, filtered)
    return Isolation("basic", lacking=f"bubblewrap does not work here ({said})")


def _try(isolation: Isolation) -> str:
    """Why a process does not run so, or nothing if it does."""
    with seccomp.descriptor() if isolation.filtered else contextlib.nullcontext() as kernel_filter:
        try:
            tried = subprocess.run(
                [
                    *sandbox(isolation.privileges, SessionLimits(), {}, kernel_filter),
                    *(sys.executable, "-I", "-S", "-c", "print('works')"),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=() if kernel_filter is None else (kernel_filter,),
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    if tried.stdout.strip() == b"works":
        return ""
    return ([*tried.stderr.decode(errors="replace").strip().splitlines()] or ["it gives no reason"])[-1]


def sandbox(
    privileges: Iterable[str],
    limits: SessionLimits,
    environment: Mapping[str, str],
    kernel_filter: int | None = None,
) -> list[str]:
    """The bwrap command to put before another, which then runs in an empty, writable SANDBOX_SCRATCH.

    kernel_filter: an inherited descriptor from which bwrap reads which calls the kernel shall refuse.
    """
    command = [
        shutil.which("bwrap") or "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        *("--hostname", "answers"),
        *privileges,
        *(() if kernel_filter is None else ("--seccomp", str(kernel_filter))),
    ]
    command += ["--clearenv", *(part for pair in environment.items() for part in ("--setenv", *pair))]
    for place in SYSTEM:
        if os.path.islink(place):
            command += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            command += ["--ro-bind", place, place]
    for file in SYSTEM_FILES:
        command += ["--ro-bind-try", file, file]
    for hidden in _hidden():
        command += ["--tmpfs", str(hidden)]
    for needed in python_places():
        command += ["--ro-bind", str(needed), str(needed)]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHARED_MEMORY), "--tmpfs", "/dev/shm"]
    command += ["--size", str(limits.scratch), "--tmpfs", "/tmp", "--dir", SANDBOX_SCRATCH, "--chdir", SANDBOX_SCRATCH]
    # /proc too: where the one who grades is root, the system's settings there belong to the sandbox's own user.
    return [*command, *(part for place in ("/proc", "/dev", "/") for part in ("--remount-ro", place)), "--"]


def package() -> Path:
    """The folder of this library, of which the sandbox sees no neighbour."""
    return Path(__file__).resolve().parents[2]


def python_places() -> list[Path]:
    """What Python needs to run this library: the interpreter, its environment, and the library itself."""
    places = []
    for prefix in dict.fromkeys((sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, sys.prefix)):
        places += [Path(prefix) / part for part in PARTS_OF_AN_ENVIRONMENT]
    places += [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    # A chain of links may lead from the environment's python to another's: each end of it must be there.
    python = Path(sys.executable)
    while python.is_symlink():
        python = python.parent / os.readlink(python)
        places.append(python)
    places.append(package())
    kept: list[Path] = []
    for place in places:
        if place.exists() and not any(place.is_relative_to(other) for other in (*kept, *_unhidden_system())):
            kept.append(place)
    return kept


def _unhidden_system() -> list[Path]:
    """The system's folders, if nothing within them is hidden: else what Python needs there is bound once more."""
    return [] if _hidden() else [Path(place) for place in SYSTEM]


def _hidden() -> list[Path]:
    """Folders of this user that lie within the system's own, such as a course in /usr/src."""
    mine = [package().parent]
    with contextlib.suppress(OSError):  # a working directory that was deleted
        mine.append(Path.cwd().resolve())
    with contextlib.suppress(RuntimeError):
        mine.append(Path.home().resolve())
    found = [
        place
        for place in dict.fromkeys(mine)
        if place.name not in ("site-packages", "dist-packages")
        and any(place.is_relative_to(root) and len(place.parts) > len(Path(root).parts) + 1 for root in SYSTEM)
    ]
    return [place for place in found if not any(place != other and place.is_relative_to(other) for other in found)]


def environment(scratch: str, marker: Mapping[str, str]) -> dict[str, str]:
    """The variables of the worker: few, and none that tells of this user. Sums are computed on one thread."""
    return {
        **marker,
        "COURSE_ANSWERING": "1",
        "COURSE_MODE": "batch",
        "HOME": scratch,
        "IPYTHONDIR": f"{scratch}/.ipython",
        "JUPYTER_CONFIG_DIR": f"{scratch}/.jupyter",
        "LANG": "C.UTF-8",
        "LOGNAME": "learner",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": f"{scratch}/.matplotlib",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "PYTHONPATH": str(package().parent),
        "TMPDIR": scratch,
        "TZ": "UTC",
        "USER": "learner",
    }


def system_places() -> list[Path]:
    """What of this machine Python's libraries read: their own shared libraries, fonts, time zones."""
    more = (
        "/sys/devices/system",
        "/System/Library",
        "/Library/Fonts",
        "/etc/mime.types",
        "/etc/ssl",
        "/etc/resolv.conf",
    )
    return [Path(place) for place in (*SYSTEM, *SYSTEM_FILES, *more) if Path(place).exists()]
