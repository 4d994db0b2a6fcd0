"""How do N machines add up their gradients when none may be the bottleneck? In a ring, in chunks.

Each rank only ever sends to the next one. First every chunk travels once round, growing by a summand at each stop, so
that each rank ends with one finished chunk (scatter-reduce); then the finished chunks travel round (allgather). That is
2(N-1) steps of K/N bytes: each rank sends 2(N-1)/N·K bytes, which hardly depends on N.

Source: the ring of Patarasuk and Yuan 2009, as in Baidu's baidu-allreduce (collectives.cu) and Horovod.
"""

from typing import NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor

from course_lib.parallel.agreement import agree, description
from course_lib.parallel.messages import Wire, flat_copy


class Row(NamedTuple):
    """What one rank does in one step: which chunk it sends to the next, which one it gets from the one before."""

    phase: str
    step: int
    rank: int
    sent: int
    received: int


def chunk_sizes(length: int, world_size: int) -> list[int]:
    """`length` elements in `world_size` chunks: the first (length mod world_size) have one more than the others.

    Raises ValueError for a negative length or no rank.
    """
    if length < 0 or world_size < 1:
        raise ValueError(f"expected length of 0 or more and world_size of 1 or more, got {length} and {world_size}")
    least, longer = divmod(length, world_size)
    return [least + 1] * longer + [least] * (world_size - longer)


def schedule(world_size: int) -> list[Row]:
    """All that happens in a ring allreduce, in order: 2(N-1) steps with a row for each rank. None for one rank.

    Raises ValueError for no rank.
    """
    if world_size < 1:
        raise ValueError(f"expected world_size of 1 or more, got {world_size}")
    return [
        Row(phase, step, rank, (rank + first - step) % world_size, (rank + first - step - 1) % world_size)
        for phase, first in (("scatter-reduce", 0), ("allgather", 1))
        for step in range(world_size - 1)
        for rank in range(world_size)
    ]


def ring_bytes(tensor_bytes: int, world_size: int) -> float:
    """What each rank sends in a ring allreduce if the chunks are equal: 2(N-1)/N·K."""
    return 2 * (world_size - 1) / world_size * tensor_bytes


def ring_allreduce(tensor: Shaped[Tensor, "..."], wire: Wire | None = None) -> Shaped[Tensor, "..."]:
    """The sum of all ranks' tensors, on each of them, in a new tensor of the same shape.

    Raises DisagreementError if the shapes or kinds of numbers differ.
    """
    total = flat_copy(tensor)
    _allreduce(total, description("ring_allreduce", tensor), wire or Wire())
    return total.view(tensor.shape)


def ring_allreduce_(tensor: Shaped[Tensor, "..."], wire: Wire | None = None) -> None:
    """The same in place, as torch's all_reduce does it: a copy of a large tensor takes a good part of the time.

    Raises DisagreementError if the shapes or kinds of numbers differ; ValueError for a tensor with gaps.
    """
    if not tensor.is_contiguous():
        raise ValueError("expected a contiguous tensor, which can be filled as it lies; use tensor.contiguous()")
    _allreduce(tensor.detach().view(-1), description("ring_allreduce_", tensor), wire or Wire())


def ring_reduce_scatter(tensor: Shaped[Tensor, "rows ..."], wire: Wire | None = None) -> Shaped[Tensor, "mine ..."]:
    """Rank r's share of the rows of the sum; the first (rows mod N) ranks get one row more.

    The first half of the allreduce. Its rank r ends with chunk r+1, so here each works under its neighbour's number.
    Raises DisagreementError if shapes or kinds of numbers differ.
    """
    wire = wire or Wire()
    agree(description("ring_reduce_scatter", tensor), tensor.device)
    chunks = list(
        tensor.detach().clone(memory_format=torch.contiguous_format).split(chunk_sizes(len(tensor), wire.size))
    )
    for row in schedule(wire.size):
        if row.phase != "scatter-reduce" or row.rank != wire.rank:
            continue
        sent, received = (row.sent - 1) % wire.size, (row.received - 1) % wire.size
        _pass_on_and_add(wire, chunks[sent].view(-1), chunks[received].view(-1), row._replace(sent=sent))
    return chunks[wire.rank].clone()


def ring_allgather(tensor: Shaped[Tensor, "..."], wire: Wire | None = None) -> Shaped[Tensor, "rows ..."]:
    """All ranks' tensors one below the other, by rank. They may differ in their number of rows, and only there.

    Raises DisagreementError if the other dimensions or the kinds of numbers differ, or for a tensor without dimensions.
    """
    wire = wire or Wire()
    agree(description("ring_allgather", tensor, ignore_first_dimension=tensor.ndim > 0), tensor.device)
    if tensor.ndim == 0:
        raise ValueError("expected a tensor with at least one dimension, got a single number; use tensor.reshape(1)")
    # The lengths, 8 bytes each, go round first: one must know how much to wait for.
    lengths = torch.zeros(wire.size, dtype=torch.int64, device=tensor.device)
    lengths[wire.rank] = len(tensor)
    _gather_round(wire, list(lengths.split(1)), "lengths")
    rows = [tensor.new_empty((length, *tensor.shape[1:])) for length in lengths.tolist()]
    rows[wire.rank] = tensor.detach().contiguous()
    _gather_round(wire, rows, "allgather")
    return torch.cat(rows)


def _allreduce(total: Tensor, what: str, wire: Wire) -> None:
    agree(what, total.device)
    chunks = list(total.split(chunk_sizes(len(total), wire.size)))
    for row in schedule(wire.size):
        if row.rank != wire.rank:
            continue
        if row.phase == "scatter-reduce":
            _pass_on_and_add(wire, chunks[row.sent], chunks[row.received], row)
        else:
            _pass_on(wire, chunks[row.sent], chunks[row.received], row)


def _gather_round(wire: Wire, chunks: list[Tensor], phase: str) -> None:
    for step in range(wire.size - 1):
        sent, received = (wire.rank - step) % wire.size, (wire.rank - step - 1) % wire.size
        _pass_on(wire, chunks[sent], chunks[received], Row(phase, step, wire.rank, sent, received))


def _pass_on(wire: Wire, outgoing: Tensor, landing: Tensor, row: Row) -> None:
    after, before = (wire.rank + 1) % wire.size, (wire.rank - 1) % wire.size
    wire.exchange([(outgoing, after)], [(landing, before)], phase=row.phase, step=row.step, chunk=row.sent)


def _pass_on_and_add(wire: Wire, outgoing: Tensor, total: Tensor, row: Row) -> None:
    after, before = (wire.rank + 1) % wire.size, (wire.rank - 1) % wire.size
    wire.exchange_and_add(outgoing, after, total, before, phase=row.phase, step=row.step, chunk=row.sent)
