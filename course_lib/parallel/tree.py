"""Is a ring always the best shape? For small tensors its 2(N-1) steps take longer than the bytes: trees need log N.

- Tree: sums go up to rank 0, the result comes down again. 2·log2(N) steps, but the whole tensor each time, and rank 0
  hears from log2(N) others.
- Recursive halving and doubling: partners at a distance of N/2, N/4, … exchange halves of what they still have, then
  the way back. 2·log2(N) steps and no more bytes than the ring, for N a power of two.

Source: Thakur, Rabenseifner and Gropp 2005 (sections 4.3 and 4.5).
"""

import torch
from jaxtyping import Shaped
from torch import Tensor

from course_lib.parallel.agreement import agree, description
from course_lib.parallel.messages import Wire, flat_copy


def tree_children(rank: int, world_size: int) -> list[int]:
    """Whom a rank hears from, the nearest first, in the binomial tree with rank 0 at its root.

    Rank r's parent is r without its lowest bit. Raises ValueError for a rank outside of the group.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"expected a rank from 0 to {world_size - 1}, got {rank}")
    distance, children = 1, []
    while rank & distance == 0 and rank + distance < world_size:
        children.append(rank + distance)
        distance *= 2
    return children


def tree_parent(rank: int) -> int:
    """Whom a rank reports to; rank 0 to nobody, which raises ValueError."""
    if rank < 1:
        raise ValueError(f"expected a rank of 1 or more, got {rank}; rank 0 is the root")
    return rank & (rank - 1)


def broadcast(tensor: Shaped[Tensor, "..."], root: int = 0, wire: Wire | None = None) -> Shaped[Tensor, "..."]:
    """The root's tensor, on every rank, in a new tensor. The others bring one of the same shape.

    Raises DisagreementError if shapes, kinds of numbers or roots differ; ValueError for a root outside of the group.
    """
    wire = wire or Wire()
    if not 0 <= root < wire.size:
        raise ValueError(f"expected root from 0 to {wire.size - 1}, got {root}")
    agree(f"{description('broadcast', tensor)}, root {root}", tensor.device)
    result = flat_copy(tensor)
    _broadcast(wire, result, root)
    return result.view(tensor.shape)


def tree_allreduce(tensor: Shaped[Tensor, "..."], wire: Wire | None = None) -> Shaped[Tensor, "..."]:
    """The sum of all ranks' tensors on each of them: up the tree to rank 0, and down again.

    Raises DisagreementError if shapes or kinds of numbers differ.
    """
    wire = wire or Wire()
    agree(description("tree_allreduce", tensor), tensor.device)
    total = flat_copy(tensor)
    landing = torch.empty_like(total)
    for child in tree_children(wire.rank, wire.size):
        wire.receive(landing, child)
        total += landing
    if wire.rank:
        wire.send(total, tree_parent(wire.rank), phase="reduce", step=(wire.rank & -wire.rank).bit_length() - 1)
    _broadcast(wire, total, root=0)
    return total.view(tensor.shape)


def halving_allreduce(tensor: Shaped[Tensor, "..."], wire: Wire | None = None) -> Shaped[Tensor, "..."]:
    """The sum of all ranks' tensors on each of them, by recursive halving and then doubling.

    If N is no power of two, the ranks above the largest one in N hand their numbers to a partner first, and get the
    sum back in the end. Raises DisagreementError if shapes or kinds of numbers differ.
    """
    wire = wire or Wire()
    agree(description("halving_allreduce", tensor), tensor.device)
    total = flat_copy(tensor)
    power = 1 << (wire.size.bit_length() - 1)
    if wire.rank >= power:
        wire.send(total, wire.rank - power, phase="fold")
        wire.receive(total, wire.rank - power)
        return total.view(tensor.shape)
    folded = wire.rank + power < wire.size
    if folded:
        landing = torch.empty_like(total)
        wire.receive(landing, wire.rank + power)
        total += landing
    ranges = [(0, len(total))]  # what this rank was still responsible for, at each step
    distance = power // 2
    while distance:
        kept, given = _halves(*ranges[-1], upper=bool(wire.rank & distance))
        landing = torch.empty_like(total[slice(*kept)])
        _swap(wire, total[slice(*given)], landing, distance, "halving", step=len(ranges) - 1)
        total[slice(*kept)] += landing
        ranges.append(kept)
        distance //= 2
    distance = 1
    while distance < power:
        kept, given = _halves(*ranges[-2], upper=bool(wire.rank & distance))
        _swap(wire, total[slice(*kept)], total[slice(*given)], distance, "doubling", step=distance.bit_length() - 1)
        ranges.pop()
        distance *= 2
    if folded:
        wire.send(total, wire.rank + power, phase="unfold")
    return total.view(tensor.shape)


def _broadcast(wire: Wire, flat: Tensor, root: int) -> None:
    """Down the tree. Ranks are counted from the root on, so that it stands where rank 0 stands."""
    place = (wire.rank - root) % wire.size
    if place:
        wire.receive(flat, (tree_parent(place) + root) % wire.size)
    for child in reversed(tree_children(place, wire.size)):  # the one with the most below it first
        step = (wire.size - 1).bit_length() - (child - place).bit_length()
        wire.send(flat, (child + root) % wire.size, phase="broadcast", step=step)


def _halves(first: int, end: int, upper: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """The half of a range that this rank goes on with, and the one that its partner does."""
    middle = first + (end - first + 1) // 2
    lower_half, upper_half = (first, middle), (middle, end)
    return (upper_half, lower_half) if upper else (lower_half, upper_half)


def _swap(wire: Wire, outgoing: Tensor, landing: Tensor, distance: int, phase: str, step: int) -> None:
    partner = wire.rank ^ distance
    wire.exchange([(outgoing, partner)], [(landing, partner)], phase=phase, step=step)
