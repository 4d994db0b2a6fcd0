"""How is all that a learner's code prints taken away, and a bounded part of it kept?"""

import contextlib
import fcntl
import os
import select
import sys
import threading
from collections.abc import Sequence

HEAD = 64 * 2**10
TAIL = 16 * 2**10
PIECE = 2**16
# Taken away at a time: what prints without end must not keep the trusted process busy.
AT_ONCE = 8 * 2**20


class Kept:
    """The first HEAD and the last TAIL bytes of what was printed, and how many there were in all."""

    def __init__(self) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        room = HEAD - len(self.head)
        self.head += data[:room]
        self.tail += data[max(room, 0) :][-TAIL:]
        del self.tail[:-TAIL]

    @property
    def dropped(self) -> int:
        """How many bytes were thrown away."""
        return self.size - len(self.head) - len(self.tail)

    @property
    def text(self) -> str:
        head, tail = (bytes(part).decode("utf-8", "replace") for part in (self.head, self.tail))
        if not self.dropped:
            return (bytes(self.head) + bytes(self.tail)).decode("utf-8", "replace")
        return f"{head}\n… {self.dropped:,} bytes left out …\n{tail}"


class Output:
    """One pipe that the worker prints to. Several threads may drain it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # fewer turns to take for those who print much
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 2**20)
        self.descriptor = descriptor
        self.kept = Kept()
        self._lock = threading.Lock()
        self._open = True

    def drain(self) -> None:
        """Take what is there now, though no more than AT_ONCE if it does not stop coming."""
        with self._lock:
            until = self.kept.size + AT_ONCE
            while self._open and self.kept.size < until:
                try:
                    data = os.read(self.descriptor, PIECE)
                except BlockingIOError:
                    return
                except OSError:
                    data = b""
                if not data:
                    self._close()
                self.kept.add(data)

    def begin_anew(self) -> Kept:
        """What was kept since the last time; the next is kept apart from it."""
        self.drain()
        with self._lock:
            kept, self.kept = self.kept, Kept()
        return kept

    @property
    def is_open(self) -> bool:
        """Whether somebody may still print."""
        return self._open

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.descriptor)


def wait_for_output(outputs: Sequence[Output], seconds: float) -> bool:
    """Wait until something was printed, at most `seconds`. False at once if all are closed."""
    poll = select.poll()
    still_open = [output for output in outputs if output.is_open]
    for output in still_open:
        poll.register(output.descriptor, select.POLLIN)
    if still_open:
        poll.poll(seconds * 1000)
    return bool(still_open)
