"""How does training go on when a machine dies? In a group that is made anew, from the last checkpoint.

`torchrun --max-restarts=3` sees that a rank has failed, ends the others, and starts all of them once more, with fewer
if `--nnodes=2:3` allows it. It knows nothing of the training: each rank begins at the first line again. So

- rank 0 writes a checkpoint every few steps, which is whole or not there at all;
- all ranks go on from the newest one; what came after it is lost, and done again;
- what a step does depends on its number alone, or the steps that are done again would be others.

With `add_parts` the result does not even depend on how many ranks there are, to the last bit.

On each of several machines the same command is given, with the address of the first, and with
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment, or a restart finds the addresses of ranks that are gone:

    torchrun --nnodes=2:3 --nproc-per-node=1 --max-restarts=3 --rdzv-backend=c10d --rdzv-endpoint=FIRST:29400 script.py

Sources: PyTorch's documentation (torchrun; torch.distributed.elastic), Horovod's (elastic: State.commit and restore).
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from course_lib.parallel.ring import ring_allgather

NAME = re.compile(r"step-(\d+)\.pt")


def save_checkpoint(folder: Path, step: int, state: Any, keep: int = 2) -> Path:
    """Write the state after so many steps, and delete all but the newest `keep`.

    Under another name first: who is killed meanwhile leaves no half of a checkpoint. Raises ValueError for a `keep`
    below 1 or a negative step.
    """
    if keep < 1 or step < 0:
        raise ValueError(f"expected keep of 1 or more and step of 0 or more, got keep={keep}, step={step}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09}.pt"
    handle, unfinished = tempfile.mkstemp(prefix="unfinished-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # or the name could reach the disk before the numbers do
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, the newest last."""
    return sorted(path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name))


def load_checkpoint(folder: Path) -> tuple[int, Any]:
    """After how many steps the newest checkpoint was written, and its state, on the CPU; 0 and None without one."""
    found = checkpoints(folder)
    if not found:
        return 0, None
    matched = NAME.fullmatch(found[-1].name)
    assert matched is not None
    return int(matched[1]), torch.load(found[-1], map_location="cpu", weights_only=True)


def train_elastically(
    model: nn.Module,
    optimizer: Optimizer,
    update: Callable[[int], Any],
    *,
    steps: int,
    folder: Path,
    every: int = 1,
) -> int:
    """Call `update(step)` for all steps that no checkpoint has; returns the first one that was called.

    `folder` is one that all machines see, as each of them can be rank 0 after a restart. Rank 0 reads the checkpoint
    and tells the others; it writes one after each `every` steps and in the end. Raises ValueError for an `every` below
    1.
    """
    if every < 1:
        raise ValueError(f"expected every of 1 or more, got {every}")
    rank = distributed.get_rank()
    found = [load_checkpoint(folder) if rank == 0 else (0, None)]
    distributed.broadcast_object_list(found)
    first, state = found[0]
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    for step in range(first, steps):
        update(step)
        if rank == 0 and ((step + 1) % every == 0 or step + 1 == steps):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            save_checkpoint(folder, step + 1, state)
    return first


def add_parts(parameters: Iterable[nn.Parameter], loss_of_part: Callable[[int], Tensor], parts: int) -> None:
    """Give the parameters the gradients of the mean of the parts' losses: the same bits for any number of ranks.

    Rank r computes the parts r, r+N, r+2N, … An allreduce would add up each rank's sum, in an order that depends on N,
    and floating-point sums depend on the order. Here each part's gradient goes to all ranks, and all add them by part:
    `parts` times the bytes of an allgather, for a result that a restart with fewer ranks does not change.

    Raises ValueError for no part.
    """
    if parts < 1:
        raise ValueError(f"expected parts of 1 or more, got {parts}")
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    rank, size = distributed.get_rank(), distributed.get_world_size()
    numbers = sum(each.numel() for each in wanted)
    mine = [
        torch.cat([each.reshape(-1) for each in torch.autograd.grad(loss_of_part(part), wanted)])
        for part in range(rank, parts, size)
    ]
    rows = ring_allgather(torch.stack(mine) if mine else wanted[0].new_empty(0, numbers))  # [parts, numbers], by rank
    order = torch.tensor([part for each in range(size) for part in range(each, parts, size)])
    total = torch.zeros_like(rows[0])
    for place in order.argsort():
        total += rows[place]
    for parameter, gradient in zip(wanted, (total / parts).split([each.numel() for each in wanted]), strict=True):
        parameter.grad = gradient.view_as(parameter).clone()
