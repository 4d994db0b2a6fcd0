"""How does the worker talk over its two pipes? One whole message at a time."""

import os
from typing import Any

from course_lib.exercises.answering.codec import HEADER, Decoding, decode, lengths


class Closed(ConnectionError):  # noqa: N818 - it reads as what happened
    """The other side is gone."""


class Channel:
    """The worker's end: reads that wait, of messages that it may trust, and writes."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests = requests
        self.replies = replies
        for descriptor in (requests, replies):
            os.set_inheritable(descriptor, False)

    def receive(self, decoding: Decoding) -> Any:
        """The next message. Raises Closed when there will be none."""
        skeleton, tensors = lengths(self._read(HEADER.size))
        return decode(self._read(skeleton), self._read(tensors), decoding)

    def send(self, message: bytes) -> None:
        """Raises OSError when nobody reads."""
        left = memoryview(message)
        while left:
            left = left[os.write(self.replies, left) :]

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            if not (piece := os.read(self.requests, min(size - len(data), 2**20))):
                raise Closed
            data += piece
        return bytes(data)
