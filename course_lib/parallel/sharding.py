"""What if N replicas do not fit? Then nobody keeps a second copy of what another rank has (ZeRO, FSDP).

Adam needs four numbers for each parameter: itself, its gradient and two moments. A replica keeps all of them.

- Stage 1: each rank keeps the moments of its share only, updates that share, and sends it to the others.
- Stage 2: it keeps only its share's gradients, too. They are summed where they are needed (reduce-scatter).
- Stage 3, which is FSDP: it keeps only its share of the parameters. A layer is gathered when it is computed, and
  forgotten again. That costs an allgather more: 1.5 times the bytes of data parallelism.

Stages 1 and 2 are written out here; for stage 3 there is PyTorch's `fully_shard`.

Sources: Rajbhandari et al. 2020, ZeRO (sections 3.1, 5 and 7); Zhao et al. 2023, PyTorch FSDP.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from course_lib.parallel.data_parallel import average_gradients
from course_lib.parallel.messages import size_in_bytes
from course_lib.parallel.ring import chunk_sizes, ring_allgather, ring_reduce_scatter


@dataclass(frozen=True)
class StateBytes:
    """What training keeps on one rank, in bytes. Activations and what is gathered for a moment are not in it."""

    parameters: float
    gradients: float
    moments: float

    @property
    def total(self) -> float:
        """All three."""
        return self.parameters + self.gradients + self.moments


def state_bytes(
    parameters: int, world_size: int, stage: int, *, parameter: int = 4, gradient: int = 4, moments: int = 8
) -> StateBytes:
    """The formula: what a stage divides by N, and what it keeps whole; stage 0 is data parallelism.

    `parameter`, `gradient`, `moments`: bytes of each for one parameter. The defaults are Adam's with 32-bit numbers;
    the paper's mixed precision has 2, 2 and 12. Raises ValueError for no rank or another stage than 0 to 3.
    """
    if world_size < 1 or stage not in range(4):
        raise ValueError(f"expected world_size of 1 or more and stage from 0 to 3, got {world_size} and {stage}")
    shares = [world_size if stage >= first else 1 for first in (3, 2, 1)]
    return StateBytes(
        *(parameters * each / share for each, share in zip((parameter, gradient, moments), shares, strict=True))
    )


def fully_sharded_bytes(shapes: Iterable[tuple[int, ...]], rank: int, world_size: int, element: int = 4) -> StateBytes:
    """The same for `fully_shard`, to the byte: it cuts each parameter by rows, in blocks of ceil(rows / N).

    The last ranks can have fewer rows, or none; a parameter with fewer rows than ranks is not on all of them.
    """
    numbers = 0
    for rows, *rest in shapes:
        block = -(-rows // world_size)
        mine = min(rows, (rank + 1) * block) - min(rows, rank * block)
        numbers += mine * torch.Size(rest).numel()
    return StateBytes(element * numbers, element * numbers, 2 * element * numbers)


def shard_fully(model: nn.Module, units: Iterable[nn.Module] = ()) -> nn.Module:
    """PyTorch's `fully_shard`, over all ranks: of the `units`, each gathered as a whole, and of what is left.

    In place; the model is returned. An optimizer is made after it, of the sharded parameters.
    """
    kind = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    mesh = init_device_mesh(kind, (distributed.get_world_size(),))
    for unit in units:
        fully_shard(unit, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def held_bytes(parameters: Iterable[Tensor], *optimizers: Optimizer) -> StateBytes:
    """What this rank holds of the parameters, their gradients, and the optimizers' states; of sharded ones its shards.

    Counted as numbers times their size. The count of steps, one number for each tensor, is left out.
    """
    parameters = list(parameters)
    states = [value for each in optimizers for state in each.state.values() for value in state.values()]
    return StateBytes(
        _bytes(parameters),
        _bytes(each.grad for each in parameters if each.grad is not None),
        _bytes(value for value in states if isinstance(value, Tensor) and value.ndim),
    )


class ShardedOptimizer:
    """An optimizer of which each rank has a share of every parameter: ZeRO's stages 1 and 2, for gradients' means.

    - `make_optimizer(parameters)` makes the optimizer that updates this rank's shares. It must treat each number by
      itself, as SGD and Adam do; a norm over all parameters it would take over the share.
    - With `stage` 2 a gradient is summed, and what others need of it forgotten, while the backward pass goes on.

    All ranks start with the same parameters (`same_start`), and use all of them. Raises ValueError for another stage.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], make_optimizer: Callable[[list[nn.Parameter]], Optimizer], stage: int
    ) -> None:
        if stage not in (1, 2):
            raise ValueError(f"expected stage 1 or 2, got {stage}; for stage 3 there is shard_fully")
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.stage, self.rank, self.size = stage, distributed.get_rank(), distributed.get_world_size()
        # Views: who updates a share updates the parameter.
        self.shares = [nn.Parameter(self._mine(parameter.detach().view(-1))) for parameter in self.parameters]
        self.optimizer = make_optimizer(self.shares)
        if stage == 2:
            self._place = {id(parameter): share for parameter, share in zip(self.parameters, self.shares, strict=True)}
            for parameter in self.parameters:
                parameter.register_post_accumulate_grad_hook(self._on_gradient)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for each in [*self.parameters, *self.shares]:
            each.grad = None

    def step(self) -> None:
        """Update this rank's shares, and get the others'."""
        if self.stage == 1:
            average_gradients(self.parameters)
            for parameter, share in zip(self.parameters, self.shares, strict=True):
                assert parameter.grad is not None
                share.grad = self._mine(parameter.grad.view(-1))
        self.optimizer.step()
        with torch.no_grad():
            for parameter, share in zip(self.parameters, self.shares, strict=True):
                parameter.view(-1).copy_(ring_allgather(share))

    def held(self) -> StateBytes:
        """What this rank holds now. Shares lie within the parameters, and in stage 1 within the gradients, too."""
        whole, mine = held_bytes(self.parameters), held_bytes(self.shares, self.optimizer)
        gradients = mine.gradients if self.stage == 2 else whole.gradients
        return StateBytes(whole.parameters, gradients, mine.moments)

    def _on_gradient(self, parameter: Tensor) -> None:
        share, gradient = self._place[id(parameter)], parameter.grad
        assert gradient is not None
        mine = ring_reduce_scatter(gradient.reshape(-1)) / self.size
        share.grad = mine if share.grad is None else share.grad + mine
        parameter.grad = None

    def _mine(self, flat: Tensor) -> Tensor:
        return flat.split(chunk_sizes(len(flat), self.size))[self.rank]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(size_in_bytes(each.to_local() if isinstance(each, DTensor) else each) for each in tensors)
