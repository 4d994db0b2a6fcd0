"""What does training with Horovod look like? Its names and its checks, over torch.distributed.

The recipe: `init`, a GPU by `local_rank`, a learning rate that grows with `size`, the optimizer wrapped, the state of
rank 0 broadcast, checkpoints written by rank 0 alone. Before each operation the ranks tell each other what they are
about to do, and a tensor that others know by another name or shape is an error and no hang. A rank that has fewer
batches than the others joins, and brings zeros until they have joined, too.

Sources: Horovod's documentation (concepts, api) and torch/optimizer.py; Maleki et al. 2020 for Adasum.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from course_lib.parallel.alltoall import alltoall as pairwise_alltoall
from course_lib.parallel.messages import flat_copy
from course_lib.parallel.negotiation import JOIN, Request, last_to_join, negotiate, request_for
from course_lib.parallel.rank_process import join_group_of_torchrun
from course_lib.parallel.ring import chunk_sizes, ring_allgather
from course_lib.parallel.tree import broadcast as tree_broadcast


class Op(Enum):
    """How the ranks' tensors become one."""

    AVERAGE = "Average"
    SUM = "Sum"
    MIN = "Min"
    MAX = "Max"
    PRODUCT = "Product"
    ADASUM = "Adasum"


Average, Sum, Min, Max, Product, Adasum = Op  # as Horovod exports them
_OF_TORCH = {
    Average: distributed.ReduceOp.SUM,
    Sum: distributed.ReduceOp.SUM,
    Min: distributed.ReduceOp.MIN,
    Max: distributed.ReduceOp.MAX,
    Product: distributed.ReduceOp.PRODUCT,
}
COLLECTIVE_TIMEOUT = 600.0  # seconds
CPU = torch.device("cpu")
_operations = 0  # that this rank took part in since the start or the last join; it says who joined last


def init() -> None:
    """Join the group that `launch` or `torchrun` made for this process; calling it again does nothing.

    Raises RuntimeError in a process that nobody launched.
    """
    if distributed.is_initialized():
        return
    if "WORLD_SIZE" not in os.environ:
        raise RuntimeError("no ranks were started: call this from a function that `launch` runs, or use torchrun")
    join_group_of_torchrun("nccl" if torch.cuda.is_available() else "gloo", COLLECTIVE_TIMEOUT)


def size() -> int:
    """How many ranks there are."""
    _initialized()
    return distributed.get_world_size()


def rank() -> int:
    """This process's number, from 0."""
    _initialized()
    return distributed.get_rank()


def local_rank() -> int:
    """This process's number on its own machine, which is also its GPU's."""
    _initialized()
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_size() -> int:
    """How many ranks this machine has."""
    _initialized()
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def cross_rank() -> int:
    """This machine's number, from 0."""
    _initialized()
    return int(os.environ.get("GROUP_RANK", "0"))


def cross_size() -> int:
    """How many machines there are, if they have equally many ranks."""
    return size() // local_size()


def allreduce(
    tensor: Tensor, op: Op = Average, name: str = "", prescale: float = 1.0, postscale: float = 1.0
) -> Tensor:
    """The ranks' tensors combined, in a new tensor; scaled before and after. Shapes and kinds must be the same.

    Raises DisagreementError if the ranks differ; ValueError for whole numbers that would be averaged or scaled, or for
    Adasum with a number of ranks that is no power of two.
    """
    request = request_for("allreduce", tensor, name, op=op.value, prescale=prescale, postscale=postscale)
    _take_part(request, tensor.device)
    return _combined(tensor, request)


def allgather(tensor: Tensor, name: str = "") -> Tensor:
    """All ranks' rows, one below the other. Raises DisagreementError if more than the number of rows differs."""
    _take_part(request_for("allgather", tensor, name), tensor.device)
    return ring_allgather(tensor)


def broadcast(tensor: Tensor, root_rank: int, name: str = "") -> Tensor:
    """The root's tensor, on every rank. Raises DisagreementError if shapes, kinds or roots differ."""
    _take_part(request_for("broadcast", tensor, name, root=root_rank), tensor.device)
    return tree_broadcast(tensor, root_rank)


def reducescatter(tensor: Tensor, op: Op = Average, name: str = "") -> Tensor:
    """This rank's rows of the combined tensor; the first (rows mod N) ranks have one row more."""
    request = request_for("reducescatter", tensor, name, op=op.value)
    _take_part(request, tensor.device)
    return _combined(tensor, request).split(chunk_sizes(len(tensor), size()))[rank()].clone()


def alltoall(
    tensor: Tensor, splits: Sequence[int] | Tensor | None = None, name: str = ""
) -> Tensor | tuple[Tensor, Tensor]:
    """The rows that the ranks sent to this one, by rank; with `splits`, also how many came from each.

    `splits`: how many of this rank's rows go to each rank, the first ones to rank 0; without, equally many.

    Raises DisagreementError if more than the number of rows differs; ValueError for splits that do not fit.
    """
    _take_part(request_for("alltoall", tensor, name), tensor.device)
    rows, received = pairwise_alltoall(tensor, splits)
    return rows if splits is None else (rows, torch.tensor(received, dtype=torch.int32))


def join(device: torch.device | None = None) -> int:
    """Say that this rank has no more batches, and bring zeros to the others' allreduces until all have joined.

    Returns which rank joined last: it has taken part in every update, so its weights are the ones to broadcast. If
    several had equally many, the highest number. An average is still over all ranks, zeros included. `device`: where
    the zeros are made; the current GPU with nccl, else the CPU.

    Raises DisagreementError on all ranks if one that has not joined calls anything but allreduce, or reduces with Min,
    Max or Product, for which zeros would be wrong.
    """
    global _operations
    _initialized()
    device = device or _device()
    mine = Request(JOIN, done=_operations)
    while True:
        requests = negotiate(mine, device)
        wanted = next((request for request in requests if not request.joined), None)
        if wanted is None:
            _operations = 0
            return last_to_join(requests)
        _combined(torch.zeros(wanted.shape, dtype=getattr(torch, wanted.kind), device=device), wanted)


def adasum(first: Tensor, second: Tensor) -> Tensor:
    """(1 - a·b / 2|a|²) a + (1 - a·b / 2|b|²) b: the sum of gradients at right angles, the mean of equal ones."""
    dot = (first * second).sum()
    norms = [(each * each).sum() for each in (first, second)]
    first_share, second_share = (torch.where(norm > 0, 1 - dot / (2 * norm), torch.ones_like(norm)) for norm in norms)
    return first_share * first + second_share * second


def broadcast_parameters(parameters: Any, root_rank: int = 0) -> None:
    """Give all ranks the root's values, of a `state_dict()` or of `named_parameters()`.

    Raises ValueError for what is neither; DisagreementError if the ranks' tensors differ in name or shape.
    """
    if isinstance(parameters, Mapping):
        named = list(parameters.items())
    elif isinstance(parameters, Tensor | nn.Module) or not isinstance(parameters, Iterable):
        raise ValueError(
            f"expected a state_dict() or named_parameters(), got {type(parameters).__name__}; e.g. model.state_dict()"
        )
    else:
        named = list(parameters)
    with torch.no_grad():
        for name, tensor in named:
            tensor.copy_(broadcast(tensor, root_rank, name))


def broadcast_object(value: Any, root_rank: int = 0) -> Any:
    """The root's object (picklable), on every rank."""
    _take_part(Request("broadcast", "object", root=root_rank), _device())
    box = [value]
    distributed.broadcast_object_list(box, root_rank)
    return box[0]


def broadcast_optimizer_state(optimizer: Optimizer, root_rank: int = 0) -> None:
    """Give all ranks the root's optimizer state: momenta, step counts, learning rates."""
    optimizer.load_state_dict(broadcast_object(optimizer.state_dict(), root_rank))


class DistributedOptimizer:
    """An optimizer whose `step` first combines the gradients of all ranks, tensor by tensor, by name.

    - `named_parameters`: `model.named_parameters()`, all that the optimizer updates.
    - `backward_passes_per_step`: how many `backward`s a step accumulates; their gradients' mean is taken.
    - `compression`: torch.float16 or torch.bfloat16, in which the gradients travel; None for as they are.

    `synchronize()` combines at once, for clipping before the step. Raises ValueError for names that are double or
    missing, and for a number of passes below 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        named_parameters: Iterable[tuple[str, Tensor]],
        *,
        backward_passes_per_step: int = 1,
        compression: torch.dtype | None = None,
        op: Op = Average,
    ) -> None:
        _initialized()
        self.optimizer, self.named = optimizer, list(named_parameters)
        self.passes, self.compression, self.op = backward_passes_per_step, compression, op
        names = [name for name, _ in self.named]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ValueError(f"parameter names must be unique, got {', '.join(double)} more than once")
        known = {id(parameter) for _, parameter in self.named}
        missing = sum(id(each) not in known for group in optimizer.param_groups for each in group["params"])
        if missing:
            raise ValueError(
                f"{missing} of the optimizer's parameters have no name; pass the named_parameters() of all its models"
            )
        if backward_passes_per_step < 1:
            raise ValueError(f"expected backward_passes_per_step of 1 or more, got {backward_passes_per_step}")
        self._synchronized = False

    def zero_grad(self) -> None:
        """Forget the gradients. Raises RuntimeError between `synchronize` and `step`, where that must be a mistake."""
        if self._synchronized:
            raise RuntimeError(
                "zero_grad() was called between synchronize() and step(), which would lose the gradients"
            )
        self.optimizer.zero_grad()

    def synchronize(self) -> None:
        """Combine the ranks' gradients now; the next `step` does not do it again."""
        wanted = [(name, each) for name, each in self.named if each.requires_grad]
        for name, parameter in wanted:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            sent = gradient if self.compression is None else gradient.to(self.compression)
            combined = allreduce(sent, self.op, name, prescale=1 / self.passes)
            parameter.grad = combined.to(gradient.dtype)
        self._synchronized = True

    def step(self) -> None:
        """Combine the gradients unless that is done, and update."""
        if not self._synchronized:
            self.synchronize()
        self.optimizer.step()
        self._synchronized = False


def _initialized() -> None:
    if not distributed.is_initialized():
        raise RuntimeError("Horovod's layer has not been initialized; call init() in a function that `launch` runs")


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if distributed.get_backend() == "nccl" else CPU


def _take_part(request: Request, device: torch.device) -> None:
    """Count the operation, if all ranks want it."""
    global _operations
    _initialized()
    negotiate(request, device)
    _operations += 1


def _combined(tensor: Tensor, request: Request) -> Tensor:
    """What all ranks do with their tensors, those that have joined, too."""
    op, prescale, postscale = Op(request.op), request.prescale, request.postscale
    scaled = prescale != 1 or postscale != 1 or op in (Average, Adasum)
    if scaled and not tensor.is_floating_point():
        raise ValueError(f"expected floats for {op.value} and scaling, got {tensor.dtype}; use op=Sum without scaling")
    result = flat_copy(tensor)
    if prescale != 1:
        result *= prescale
    if op is Adasum:
        result = _adasum_of_all(result)
    else:
        distributed.all_reduce(result, _OF_TORCH[op])
    if op is Average:
        postscale /= size()
    if postscale != 1:
        result *= postscale
    return result.view(tensor.shape)


def _adasum_of_all(flat: Tensor) -> Tensor:
    """In pairs at a distance of 1, 2, 4, …: both partners of a pair compute the same, the lower rank's tensor first."""
    if size() & (size() - 1):
        raise ValueError(f"Adasum needs a number of ranks that is a power of two, got {size()}; use op=Average")
    distance = 1
    while distance < size():
        partner, other = rank() ^ distance, torch.empty_like(flat)
        operations = [
            distributed.P2POp(distributed.isend, flat, partner),
            distributed.P2POp(distributed.irecv, other, partner),
        ]
        for request in distributed.batch_isend_irecv(operations):
            request.wait()
        flat = adasum(flat, other) if rank() < partner else adasum(other, flat)
        distance *= 2
    return flat
