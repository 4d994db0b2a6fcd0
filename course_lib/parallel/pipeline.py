"""What if the layers are shared out instead? Each rank holds a stage, and a batch passes through in small parts.

With one part only one rank would work at a time. With m micro-batches and p stages, each stage is idle for p-1 of
m+p-1 turns: the bubble. Forward and backward passes have one bubble each, with the same share.

Source: Huang et al. 2019, GPipe (section 2.3: the bubble's O((K-1)/(M+K-1))).
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.parallel.messages import Wire

MOST_DIMENSIONS = 7


@dataclass(frozen=True)
class Turn:
    """One stage's work on one micro-batch, "forward" or "backward", in seconds of a clock that all ranks share."""

    kind: str
    rank: int
    micro_batch: int
    start: float
    end: float


def bubble(stages: int, micro_batches: int) -> float:
    """The share of time in which a stage waits, if all turns take equally long: (p-1)/(m+p-1)."""
    if stages < 1 or micro_batches < 1:
        raise ValueError(f"expected stages and micro_batches of 1 or more, got {stages} and {micro_batches}")
    return (stages - 1) / (micro_batches + stages - 1)


def measured_bubble(turns: Iterable[Turn]) -> float:
    """The share of all ranks' time, from the first turn's start to the last one's end, in which no turn ran."""
    turns = list(turns)
    if not turns:
        raise ValueError("expected the turns of all ranks, got none")
    span = max(turn.end for turn in turns) - min(turn.start for turn in turns)
    work = sum(turn.end - turn.start for turn in turns)
    return 1 - work / (span * len({turn.rank for turn in turns}))


def pipeline_step(
    stage: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    micro_batches: int,
    wire: Wire | None = None,
) -> tuple[float | None, list[Turn]]:
    """Forward and backward of one batch through the ranks' stages; each stage's parameters get their gradients.

    All micro-batches go forward, then back in the opposite order. The gradients are those of `loss_function` over the
    whole batch, if it is a mean: each micro-batch counts by its size. Every rank brings the batch, of which the first
    uses the inputs, and the last one the targets. Returns the loss (on the last rank, None elsewhere) and this rank's
    turns.

    Raises ValueError if there are more micro-batches than examples, or fewer than one.
    """
    wire = wire or Wire()
    if not 1 <= micro_batches <= len(inputs) or len(inputs) != len(targets):
        raise ValueError(
            "expected as many inputs as targets and from 1 to that many micro-batches, got "
            f"{len(inputs)} inputs, {len(targets)} targets and micro_batches={micro_batches}"
        )
    first, last = wire.rank == 0, wire.rank == wire.size - 1
    turns: list[Turn] = []
    entered: list[Tensor] = []  # what came into the stage, and what left it, is kept for the way back
    left: list[Tensor] = []
    total = 0.0
    parts = list(zip(inputs.tensor_split(micro_batches), targets.tensor_split(micro_batches), strict=True))
    for number, (own, wanted) in enumerate(parts):
        entering = own if first else _receive(wire, wire.rank - 1, own.device).requires_grad_()
        start = time.monotonic()
        leaving = stage(entering)
        if last:
            leaving = loss_function(leaving, wanted) * (len(own) / len(inputs))
            total += leaving.item()
        turns.append(Turn("forward", wire.rank, number, start, time.monotonic()))
        entered.append(entering)
        left.append(leaving)
        if not last:
            _send(wire, leaving.detach(), wire.rank + 1, "forward", number)
    for number in reversed(range(micro_batches)):
        gradient = None if last else _receive(wire, wire.rank + 1, inputs.device)
        start = time.monotonic()
        left[number].backward(gradient)
        turns.append(Turn("backward", wire.rank, number, start, time.monotonic()))
        if not first:
            arriving = entered[number].grad
            assert arriving is not None
            _send(wire, arriving, wire.rank - 1, "backward", number)
    return (total if last else None), turns


KINDS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def _send(wire: Wire, tensor: Tensor, receiver: int, phase: str, number: int) -> None:
    """A tensor, after a few numbers that say what it is: the next stage cannot know."""
    shape = list(tensor.shape)
    if len(shape) > MOST_DIMENSIONS or tensor.dtype not in KINDS:
        raise ValueError(f"expected floats of at most {MOST_DIMENSIONS} dimensions, got {shape} of {tensor.dtype}")
    header = [KINDS.index(tensor.dtype), len(shape), *shape, *[0] * (MOST_DIMENSIONS - len(shape))]
    wire.send(torch.tensor(header, device=tensor.device), receiver, phase="header", step=number)
    wire.send(tensor.contiguous(), receiver, phase=phase, step=number, chunk=number)


def _receive(wire: Wire, sender: int, device: torch.device) -> Tensor:
    header = torch.zeros(2 + MOST_DIMENSIONS, dtype=torch.int64, device=device)
    wire.receive(header, sender)
    kind, dimensions, *shape = header.tolist()
    tensor = torch.empty(shape[:dimensions], dtype=KINDS[kind], device=device)
    wire.receive(tensor, sender)
    return tensor
