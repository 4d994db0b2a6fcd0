"""How does every rank send something else to every other rank? In N-1 steps, at a distance of 1, 2, … N-1.

In step s each rank sends to the one s places on and hears from the one s places back, so that every link carries one
message at a time. It is what moves tokens to their experts, and the rows of a matrix to where its columns are.

Source: Thakur, Rabenseifner and Gropp 2005 (section 4.4, pairwise exchange).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor, distributed

from course_lib.parallel.agreement import agree, description
from course_lib.parallel.messages import Wire


def splits_of(rows: int, world_size: int, splits: Sequence[int] | Tensor | None = None) -> list[int]:
    """How many rows go to each rank: `splits`, or the same number for each. Rows beyond their sum stay at home.

    Raises ValueError for splits that are not one for each rank, below 0 or more than there are rows; without splits,
    for rows that cannot be shared equally.
    """
    if splits is None:
        if rows % world_size:
            raise ValueError(
                f"splits not provided, but first dimension of tensor, {rows}, is not an even multiple of the number of "
                f"ranks, {world_size}; pass splits"
            )
        return [rows // world_size] * world_size
    counts = [int(count) for count in splits]
    if len(counts) != world_size:
        raise ValueError(f"number of entries in splits does not equal number of ranks: {len(counts)}, {world_size}")
    if min(counts) < 0:
        raise ValueError(f"expected splits of 0 or more, got {counts}")
    if sum(counts) > rows:
        raise ValueError(f"sum of splits entries, {sum(counts)}, is greater than the first dimension of tensor, {rows}")
    return counts


def alltoall(
    tensor: Shaped[Tensor, "..."], splits: Sequence[int] | Tensor | None = None, wire: Wire | None = None
) -> tuple[Shaped[Tensor, "received ..."], list[int]]:
    """The rows that the ranks sent here, by rank, and how many came from each. The first splits[0] rows go to rank 0.

    Raises DisagreementError if more than the number of rows differs; ValueError as `splits_of`, or for a single number.
    """
    wire = wire or Wire()
    if tensor.ndim == 0:
        raise ValueError("expected a tensor with at least one dimension, got a single number; use tensor.reshape(1)")
    sizes = splits_of(len(tensor), wire.size, splits)
    agree(description("alltoall", tensor, ignore_first_dimension=True), tensor.device)
    received = _column(sizes, wire, tensor.device)
    outgoing = tensor.detach().contiguous()[: sum(sizes)].split(sizes)
    result = tensor.new_empty((sum(received), *tensor.shape[1:]))
    incoming = result.split(received)
    incoming[wire.rank].copy_(outgoing[wire.rank])
    for step in range(1, wire.size):
        after, before = (wire.rank + step) % wire.size, (wire.rank - step) % wire.size
        wire.exchange([(outgoing[after], after)], [(incoming[before], before)], phase="alltoall", step=step - 1)
    return result, received


def _column(sizes: list[int], wire: Wire, device: torch.device) -> list[int]:
    """How many rows each rank has for this one: a column of the matrix whose rows are the ranks' splits."""
    mine = torch.tensor(sizes, device=device)
    rows = [torch.empty_like(mine) for _ in range(wire.size)]
    distributed.all_gather(rows, mine)
    return [int(row[wire.rank]) for row in rows]
