"""What goes over each link, and when? All that the course's collectives send passes through here and is written down.

The bytes of a formula can then be held against the bytes of the run, and the timeline drawn from the same record.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor, distributed

SEGMENT = 2 << 20  # bytes; a part of a message small enough to be added while it still lies in the cache
SEGMENTS_ON_THE_WAY = 2  # the next one arrives while one is added


@dataclass(frozen=True)
class Message:
    """One tensor on its way, as its sender saw it. Seconds are of a clock that the processes of a machine share."""

    phase: str
    step: int
    sender: int
    receiver: int
    chunk: int | None
    bytes: int
    start: float
    end: float


class Wire:
    """One rank's end of all links: sends, receives, and keeps `messages`, the record of what it sent."""

    def __init__(self) -> None:
        if not distributed.is_initialized():
            raise RuntimeError("this process is not a rank yet; call this from a function that `launch` runs")
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.messages: list[Message] = []

    def exchange(
        self,
        sends: Sequence[tuple[Tensor, int]] = (),
        receives: Sequence[tuple[Tensor, int]] = (),
        *,
        phase: str,
        step: int = 0,
        chunk: int | None = None,
    ) -> None:
        """Send tensors to ranks and fill tensors from ranks, all at the same time; returns when all is done.

        At the same time: if everyone sent first and received then, each could wait for a partner that waits, too. An
        empty tensor is not sent, nor waited for. Tensors must be contiguous: they are sent and filled as they lie.
        """
        start = time.monotonic()
        for request in _begun(sends, receives):
            request.wait()
        self._note(sends, start, phase, step, chunk)

    def exchange_and_add(
        self,
        outgoing: Tensor,
        receiver: int,
        total: Tensor,
        sender: int,
        *,
        phase: str,
        step: int = 0,
        chunk: int | None = None,
    ) -> None:
        """Send a row of numbers, and add another to `total` as it comes in; returns when both are done.

        What comes lands in segments, and one is added while the next one travels. A landing place for the whole
        message would be new memory for each step, and would be read again when the cache has forgotten it.
        """
        start = time.monotonic()
        numbers = max(1, SEGMENT // total.element_size())
        rows = max(1, min(SEGMENTS_ON_THE_WAY, -(-len(total) // numbers)))
        landing = total.new_empty(rows, min(numbers, len(total)))
        nothing = total[:0]
        travelling: list[tuple[Tensor, Tensor, list[distributed.Work]]] = []  # where to add, what, is it there?
        pairs = zip_longest(outgoing.split(numbers), total.split(numbers), fillvalue=nothing)
        for number, (leaving, place) in enumerate(pairs):
            if number >= rows:
                _add_arrived(*travelling.pop(0))  # its landing place is the one to be used next
            arriving = landing[number % rows, : len(place)]
            requests = _begun([(leaving, receiver)], [(arriving, sender)])
            travelling.append((place, arriving, requests))
        for segment in travelling:
            _add_arrived(*segment)
        self._note([(outgoing, receiver)], start, phase, step, chunk)

    def _note(
        self, sends: Sequence[tuple[Tensor, int]], start: float, phase: str, step: int, chunk: int | None
    ) -> None:
        end = time.monotonic()
        self.messages += [
            Message(phase, step, self.rank, partner, chunk, size_in_bytes(tensor), start, end)
            for tensor, partner in sends
            if tensor.numel()
        ]

    def send(self, tensor: Tensor, receiver: int, *, phase: str, step: int = 0, chunk: int | None = None) -> None:
        """Send one tensor; returns when it may be changed again."""
        self.exchange([(tensor, receiver)], phase=phase, step=step, chunk=chunk)

    def receive(self, tensor: Tensor, sender: int) -> None:
        """Fill one tensor."""
        self.exchange([], [(tensor, sender)], phase="")


def _begun(sends: Sequence[tuple[Tensor, int]], receives: Sequence[tuple[Tensor, int]]) -> list[distributed.Work]:
    """Begin all these, apart from the empty ones. As one batch: NCCL needs to know what belongs together."""
    operations = [
        distributed.P2POp(what, tensor, partner)
        for what, pairs in ((distributed.isend, sends), (distributed.irecv, receives))
        for tensor, partner in pairs
        if tensor.numel()
    ]
    return distributed.batch_isend_irecv(operations) if operations else []


def _add_arrived(place: Tensor, arriving: Tensor, requests: list[distributed.Work]) -> None:
    for request in requests:
        request.wait()
    place += arriving


def size_in_bytes(tensor: Tensor) -> int:
    """What a tensor's numbers take."""
    return tensor.numel() * tensor.element_size()


def bytes_by_link(messages: Iterable[Message]) -> dict[tuple[int, int], int]:
    """Bytes from each sender to each receiver; give it the messages of all ranks."""
    total: Counter[tuple[int, int]] = Counter()
    for message in messages:
        total[message.sender, message.receiver] += message.bytes
    return dict(total)


def bytes_by_rank(messages: Iterable[Message], world_size: int) -> list[int]:
    """Bytes in and out of each rank, which is what its network card carries."""
    total = [0] * world_size
    for message in messages:
        total[message.sender] += message.bytes
        total[message.receiver] += message.bytes
    return total


def flat_copy(tensor: Tensor) -> Tensor:
    """The numbers of a tensor in one contiguous row of their own."""
    return tensor.detach().reshape(-1).clone(memory_format=torch.contiguous_format)
