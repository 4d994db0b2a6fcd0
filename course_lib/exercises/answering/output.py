"""How is all that a learner's code prints taken away, and a bounded part of it kept?"""

import os
import threading
import time

HEAD = 64 * 2**10
TAIL = 16 * 2**10
PIECE = 2**16


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
        self.descriptor = descriptor
        self.kept = Kept()
        self._lock = threading.Lock()
        self._open = True

    def drain(self, seconds: float = 0.2) -> None:
        """Take what is there now, for at most `seconds` if it does not stop coming."""
        deadline = time.monotonic() + seconds
        with self._lock:
            while self._open and time.monotonic() < deadline:
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

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.descriptor)
