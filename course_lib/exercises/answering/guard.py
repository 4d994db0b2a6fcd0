"""What does Python refuse to submitted code where no sandbox surrounds it?

An audit hook, which cannot be taken away again, lets files be read only below given folders and written only in the
scratch folder, and refuses connections and other programs. Python reports what it does itself; code that reaches
around Python (ctypes) is not seen, so this stops accidents and curiosity only.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

ANYONE_MAY_READ = (
    "/dev/null",
    "/dev/urandom",
    "/dev/random",
    "/dev/tty",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events, and which of their arguments are paths.
READS = {"os.listdir": (0,), "os.scandir": (0,), "os.getxattr": (0,), "os.listxattr": (0,)}
WRITES = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.link": (0, 1),
    "os.symlink": (0, 1),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.lchown": (0,),
    "os.chflags": (0,),
    "os.utime": (0,),
    "os.setxattr": (0,),
    "os.removexattr": (0,),
    "sqlite3.connect": (0,),
}
NETWORK = {
    f"socket.{name}"
    for name in ("connect", "bind", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg")
}
PROGRAMS = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
    "os.startfile",
}


def refuse_what_lies_outside(writable: Sequence[str], readable: Sequence[str]) -> None:
    """From now on raise PermissionError for what reaches out of these folders. There is no way back."""
    # Bound here, so that code which later replaces a function of `os` does not replace the hook's.
    realpath, fsdecode, getpid, at_home = os.path.realpath, os.fsdecode, os.getpid, os.sep
    may_write = tuple(realpath(place) for place in writable)
    may_read = (*may_write, *(realpath(place) for place in readable), *ANYONE_MAY_READ)

    def within(path: Any, places: Sequence[str]) -> bool:
        if path is None:
            path = "."
        if isinstance(path, int):  # an open file, which was let through before
            return True
        real = realpath(fsdecode(path))
        return any(real == place or real.startswith(place + at_home) for place in places)

    def refuse(what: str) -> None:
        raise PermissionError(f"{what}; answers are computed from what the check passes in and files of their own")

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = bool(isinstance(flags, int) and flags & WRITING) or any(sign in str(mode or "") for sign in "wax+")
            if not within(path, may_write if writes and path != "/dev/null" else may_read):
                refuse(f"{'writing' if writes else 'reading'} {path!r} is refused here")
        elif event in READS or event in WRITES:
            positions, places = (READS[event], may_read) if event in READS else (WRITES[event], may_write)
            if not all(within(arguments[position], places) for position in positions):
                refuse(f"{event}{arguments[: len(positions)]!r} is refused here")
        elif event in NETWORK:
            refuse("there is no network here")
        elif event in PROGRAMS:
            refuse("starting programs is refused here")
        elif event in ("os.kill", "os.killpg") and arguments[0] != getpid():
            refuse("other processes are out of bounds here")

    sys.addaudithook(look)
