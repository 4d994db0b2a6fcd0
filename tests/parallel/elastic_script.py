"""What the tests run under torchrun: collectives over all hosts, then training that somebody interrupts.

Arguments: the folder that all ranks see, and what happens at step INTERRUPTED of the first attempt: "nothing", "kill"
(the last rank is killed) or "cut" (all wait for the file `cut`, which the test makes when it has cut off a host).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import torch
import torch._dynamo  # the first step of an optimizer imports it, for seconds, in which others would wait
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from course_lib.parallel import horovod_style as hvd
from course_lib.parallel.data_parallel import share_of
from course_lib.parallel.elastic import add_parts, train_elastically
from course_lib.parallel.launching import launch
from course_lib.parallel.ring import ring_allreduce

STEPS, EVERY, INTERRUPTED, PARTS = 10, 2, 5, 6
COLLECTIVE_TIMEOUT = 4.0  # seconds


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def make_batch(seed, rows=12):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 6, generator=generator), torch.randn(rows, 2, generator=generator)


def collectives():
    """How far the ring's sum is from the right one, and DDP's gradients from those of one process."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    total = ring_allreduce(torch.arange(1000.0) * (rank + 1))
    ring = (total - torch.arange(1000.0) * size * (size + 1) / 2).abs().max().item()
    inputs, targets = make_batch(seed=1)
    whole, replica = make_model(), DistributedDataParallel(make_model())
    F.mse_loss(whole(inputs), targets).backward()
    F.mse_loss(replica(share_of(inputs, rank, size)), share_of(targets, rank, size)).backward()
    pairs = zip(whole.parameters(), replica.parameters(), strict=True)
    ddp = max((one.grad - other.grad).abs().max().item() for one, other in pairs)
    interface = psutil.net_if_addrs()[os.environ["GLOO_SOCKET_IFNAME"]]
    return {"ring": ring, "ddp": ddp, "machine": hvd.cross_rank(), "address": interface[0].address}


def train(folder, interruption):
    """The weights in the end, and the step at which this attempt started."""
    torch.set_num_threads(1)
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)

    def update(step):
        if step == INTERRUPTED:
            interrupt(folder, interruption)
        inputs, targets = make_batch(seed=100 + step)

        def loss_of_part(part):
            return F.mse_loss(model(inputs.chunk(PARTS)[part]), targets.chunk(PARTS)[part])

        add_parts(model.parameters(), loss_of_part, PARTS)
        optimizer.step()

    first = train_elastically(model, optimizer, update, steps=STEPS, folder=folder, every=EVERY)
    return first, nn.utils.parameters_to_vector(model.parameters()).detach()


def interrupt(folder, how):
    rank = distributed.get_rank()
    begun = folder / f"interrupted-{rank}"
    if how == "nothing" or begun.exists():
        return
    begun.touch()
    if how == "kill" and rank == distributed.get_world_size() - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while how == "cut" and not (folder / "cut").exists():
        time.sleep(0.02)


def main():
    folder, interruption = Path(sys.argv[1]), sys.argv[2]
    try:
        told = launch(collectives, collective_timeout=COLLECTIVE_TIMEOUT)
        if os.environ["RANK"] == "0":
            (folder / f"collectives-of-{len(told)}").write_text(json.dumps(told))
        (first, weights), *others = launch(train, folder, interruption, collective_timeout=COLLECTIVE_TIMEOUT)
    except Exception as error:
        with (folder / "errors").open("a") as file:  # one write, which other ranks' do not mix with
            file.write(json.dumps([os.environ["RANK"], time.time(), type(error).__name__, str(error)]) + "\n")
        raise
    if os.environ["RANK"] == "0":
        assert all(torch.equal(weights, other) for _, other in others)
        torch.save({"first": first, "weights": weights}, folder / "result")


if __name__ == "__main__":
    main()
