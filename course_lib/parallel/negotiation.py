"""Who does what, and who has run out of batches? Before each operation every rank says what it is about to do.

Horovod's coordinator collects such requests and answers with an operation or an error. Here every rank hears all
requests and comes to the same conclusion by itself. A rank that has joined, as it has no more batches, keeps listening:
from what the others say it knows the shape of the zeros that it has to bring.

Sources: Horovod's documentation (concepts; api, `join`); horovod/common/controller.cc for which differences are errors,
in which order.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.parallel.agreement import ROOM, DisagreementError, all_descriptions

JOIN = "join"
LONGEST_NAME = 100  # bytes; of a longer one the beginning and a hash are sent
ROWS_MAY_DIFFER = ("allgather", "alltoall")
ZEROS_CHANGE_NOTHING = ("", "Average", "Sum", "Adasum")


@dataclass(frozen=True)
class Request:
    """What a rank is about to do. `done`: how many operations it took part in before it joined; 0 for others."""

    operation: str
    kind: str = ""
    shape: tuple[int, ...] = ()
    op: str = ""
    prescale: float = 1.0
    postscale: float = 1.0
    root: int = -1
    done: int = 0
    name: str = ""

    @property
    def joined(self) -> bool:
        """Whether this rank has no more batches."""
        return self.operation == JOIN

    def __str__(self) -> str:
        if self.joined:
            return "join"
        shown = [*map(str, self.shape)]
        if self.operation in ROWS_MAY_DIFFER and shown:
            shown[0] = "*"
        scales = "" if self.prescale == self.postscale == 1 else f", scaled by {self.prescale} and {self.postscale}"
        root = "" if self.root < 0 else f", root {self.root}"
        op = f"({self.op})" if self.op else ""
        return (
            f"{self.operation}{op} of {self.name or 'a tensor'}, shape [{', '.join(shown)}], {self.kind}{scales}{root}"
        )


def request_for(operation: str, tensor: Tensor, name: str = "", **rest: object) -> Request:
    """The request of a rank that brings this tensor; `rest` are the other fields."""
    kind = str(tensor.dtype).removeprefix("torch.")
    return Request(operation, kind, tuple(tensor.shape), name=name, **rest)  # type: ignore[arg-type]


def negotiate(mine: Request, device: torch.device | None = None) -> list[Request]:
    """What each rank is about to do, by rank, if it can be done.

    Raises DisagreementError, the same on all ranks, if the requests do not fit together, or if they do not go with a
    rank that has joined; ValueError for a tensor of so many dimensions that they cannot be told.
    """
    requests = [decoded(each) for each in all_descriptions(encoded(mine), device)]
    objection = objection_to(requests)
    if objection:
        raise DisagreementError(objection)
    return requests


def objection_to(requests: Sequence[Request]) -> str | None:
    """Why these requests, by rank, cannot be answered with one operation; None if they can."""
    busy = [rank for rank, request in enumerate(requests) if not request.joined]
    if not busy:
        return None
    first = requests[busy[0]]
    for what, aspect in _ASPECTS.items():
        for rank in busy[1:]:
            if aspect(requests[rank]) != aspect(first):
                return (
                    f"Mismatched {what.format(operation=first.operation)}: rank {busy[0]} called {first}; rank {rank} "
                    f"called {requests[rank]}. All ranks must call the same operations in the same order with tensors "
                    "that fit"
                )
    joined = [str(rank) for rank, request in enumerate(requests) if request.joined]
    if joined and (first.operation != "allreduce" or first.op not in ZEROS_CHANGE_NOTHING):
        op = f" with op={first.op}" if first.op else ""
        return (
            f"{first.operation.capitalize()}{op} is not supported with join: rank {', '.join(joined)} has joined and "
            f"could bring zeros only, rank {busy[0]} called {first}. Until all have joined, call allreduce with "
            "op=Average, Sum or Adasum"
        )
    return None


def last_to_join(requests: Sequence[Request]) -> int:
    """Of ranks that have all joined, the one with most operations behind it; of several, the highest number."""
    return max(range(len(requests)), key=lambda rank: (requests[rank].done, rank))


def encoded(request: Request) -> str:
    """The request in few bytes, with the name at the end."""
    name = request.name
    if len(name.encode()) > LONGEST_NAME:
        start = name.encode()[: LONGEST_NAME - 20].decode(errors="ignore")
        name = f"{start}…{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    shape = ",".join(map(str, request.shape))
    scales = f"{request.prescale!r}|{request.postscale!r}"
    text = f"{request.operation}|{request.kind}|{shape}|{request.op}|{scales}|{request.root}|{request.done}|{name}"
    if len(text.encode()) > ROOM:
        raise ValueError(f"a tensor of {len(request.shape)} dimensions is too much to tell; reshape it to fewer")
    return text


def decoded(text: str) -> Request:
    """The request again."""
    operation, kind, shape, op, prescale, postscale, root, done, name = text.split("|", 8)
    sizes = tuple(int(size) for size in shape.split(",") if size)
    return Request(operation, kind, sizes, op, float(prescale), float(postscale), int(root), int(done), name)


def _compared_shape(request: Request) -> tuple[int, tuple[int, ...]]:
    first = 1 if request.operation in ROWS_MAY_DIFFER else 0
    return len(request.shape), request.shape[first:]


_ASPECTS: dict[str, Callable[[Request], object]] = {
    "data types": lambda request: request.kind,
    "operations": lambda request: request.operation,
    "reduction operations": lambda request: request.op,
    "{operation} tensor shapes": _compared_shape,
    "prescale and/or postscale factors": lambda request: (request.prescale, request.postscale),
    "{operation} root ranks": lambda request: request.root,
    "tensor names": lambda request: request.name,
}
