"""How do N replicas stay one model? Each takes its share of the batch, and before the update they average gradients.

One message for each parameter would cost a latency each, so gradients travel in buckets of many; and a bucket can
leave as soon as it is full, while the rest of the backward pass still runs. The last layers' gradients come first, so
the buckets are filled from the end.

Sources: Li et al. 2020, PyTorch Distributed (section 3.2); tensor fusion in Sergeev and Del Balso 2018, Horovod.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from course_lib.parallel.agreement import DisagreementError, all_descriptions
from course_lib.parallel.messages import size_in_bytes
from course_lib.parallel.ring import ring_allreduce
from course_lib.parallel.tree import broadcast

MEGABYTE = 1 << 20


def buckets_of(parameters: Iterable[Tensor], bucket_bytes: int) -> list[list[Tensor]]:
    """The parameters from the last to the first, in groups of one kind of number and at most `bucket_bytes`.

    A larger parameter is alone in its group. Raises ValueError for a size below 1.
    """
    if bucket_bytes < 1:
        raise ValueError(f"expected bucket_bytes of 1 or more, got {bucket_bytes}")
    buckets: list[list[Tensor]] = []
    room = 0
    for parameter in reversed(list(parameters)):
        size = size_in_bytes(parameter)
        if not buckets or size > room or parameter.dtype != buckets[-1][0].dtype:
            buckets.append([])
            room = bucket_bytes
        buckets[-1].append(parameter)
        room -= size
    return buckets


def share_of(batch: Tensor, rank: int, world_size: int) -> Tensor:
    """The rows of a batch that a rank works on; the first (rows mod N) ranks have one more."""
    return batch.tensor_split(world_size)[rank]


def same_start(module: nn.Module) -> None:
    """Give every rank the parameters and buffers of rank 0. Raises DisagreementError if the models differ in shape."""
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.copy_(broadcast(tensor))


def average_gradients(
    parameters: Iterable[Tensor],
    *,
    examples: int | None = None,
    bucket_bytes: int = 25 * MEGABYTE,
    allreduce: Callable[[Tensor], Tensor] = ring_allreduce,
) -> None:
    """After `backward`, replace each rank's gradients by those of the loss over all ranks' examples.

    The loss is a mean over a rank's examples. If their number differs between ranks, tell it: `examples` weighs the
    gradients by it. A parameter without a gradient counts as zero here, as others may have used it.
    """
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    if not wanted:
        return
    weight = _weight(examples, wanted[0])
    for bucket in buckets_of(wanted, bucket_bytes):
        _unpack(allreduce(_pack(bucket, weight)), bucket)


class DataParallel(nn.Module):
    """A replica that averages its gradients while they come; call `finish()` between `backward` and the update.

    Each bucket's sum (torch's all_reduce) starts when its gradients are there, in the same order on all ranks, since
    the n-th operation of one rank meets the n-th of the others. Starts with rank 0's parameters and buffers.

    Raises DisagreementError if the ranks' models differ.
    """

    def __init__(self, module: nn.Module, bucket_bytes: int = 25 * MEGABYTE) -> None:
        super().__init__()
        self.module = module
        same_models(module)
        same_start(module)
        self.buckets = buckets_of([each for each in module.parameters() if each.requires_grad], bucket_bytes)
        self._place = {id(parameter): number for number, bucket in enumerate(self.buckets) for parameter in bucket}
        self._restart()
        for bucket in self.buckets:
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(self._on_gradient)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the replica computes."""
        return self.module(*inputs, **named)

    def finish(self) -> None:
        """Wait for all buckets, and put the averages where the gradients are."""
        while len(self._travelling) < len(self.buckets):  # with parameters that this loss did not use
            self._send_next()
        for bucket, (packed, request) in zip(self.buckets, self._travelling, strict=True):
            request.wait()
            _unpack(packed, bucket)
        self._restart()

    def _restart(self) -> None:
        self._missing = [len(bucket) for bucket in self.buckets]
        self._travelling: list[tuple[Tensor, Any]] = []

    def _on_gradient(self, parameter: Tensor) -> None:
        number = self._place[id(parameter)]
        if number < len(self._travelling):
            raise RuntimeError(
                "a gradient came for a bucket that is already on its way: call finish() after each backward; to "
                "accumulate over several, use average_gradients after the last one"
            )
        self._missing[number] -= 1
        while len(self._travelling) < len(self.buckets) and self._missing[len(self._travelling)] == 0:
            self._send_next()

    def _send_next(self) -> None:
        packed = _pack(self.buckets[len(self._travelling)], 1 / distributed.get_world_size())
        self._travelling.append((packed, distributed.all_reduce(packed, async_op=True)))


def same_models(module: nn.Module) -> None:
    """Raises DisagreementError unless all ranks' models have the same tensors; names the first one that differs."""
    named = [*module.named_parameters(), *module.named_buffers()]
    device = named[0][1].device if named else None
    counts = all_descriptions(str(len(named)), device)
    for place in range(max(map(int, counts))):
        name, tensor = named[place] if place < len(named) else ("nothing", torch.empty(0, device=device))
        said = all_descriptions(f"{name} {list(tensor.shape)} {tensor.dtype}", device)
        for rank, other in enumerate(said):
            if other != said[0]:
                raise DisagreementError(
                    f"the ranks' models differ: tensor {place} is {said[0]} on rank 0 and {other} on rank {rank}"
                )


def _weight(examples: int | None, like: Tensor) -> float:
    if examples is None:
        return 1 / distributed.get_world_size()
    if examples < 0:
        raise ValueError(f"expected examples of 0 or more, got {examples}")
    total = torch.tensor([float(examples)], dtype=torch.float64, device=like.device)
    distributed.all_reduce(total)
    if not total.item():
        raise ValueError("expected at least one example on some rank, got examples=0 on all of them")
    return examples / total.item()


def _pack(bucket: Sequence[Tensor], weight: float) -> Tensor:
    parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in bucket]
    return torch.cat([part.detach().reshape(-1) for part in parts]).mul_(weight)


def _unpack(packed: Tensor, bucket: Sequence[Tensor]) -> None:
    for parameter, part in zip(bucket, packed.split([each.numel() for each in bucket]), strict=True):
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(part.view_as(parameter))
