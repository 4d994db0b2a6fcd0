"""Run by tests as a program of its own: trains a small model, and may be killed on the way."""

import argparse
import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_lib.training.checkpoint import CheckpointFolder
from course_lib.training.loop import train
from course_lib.training.schedule import warmup_then_cosine

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--checkpoints", type=Path)
parser.add_argument("--steps", type=int, default=30)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--accumulation", type=int, default=2)
parser.add_argument("--dropout", type=float, default=0.2)
parser.add_argument("--noise", type=float, default=0.1)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--mixed-precision", default="no")
parser.add_argument("--kill-at-step", type=int)
parser.add_argument("--kill-while-saving-step", type=int)
parser.add_argument("--budget-on-process", type=int)
parser.add_argument("--full-disk-on-process", type=int)
parser.add_argument("--twice", action="store_true", help="train a second model first, in the same process")
options = parser.parse_args()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def noisy(items):
    """A collate function that draws from all three generators, as one that masks words would."""
    inputs, outputs = torch.utils.data.default_collate(items)
    noise = torch.rand_like(inputs) * random.random() * np.random.rand()
    return inputs + options.noise * noise, outputs


def make():
    inputs = torch.randn(104, 6, generator=torch.Generator().manual_seed(3))
    data = TensorDataset(inputs, inputs[:, :2].sum(dim=1, keepdim=True))
    loader = DataLoader(
        data, batch_size=options.batch_size, shuffle=True, collate_fn=noisy, num_workers=options.workers
    )
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(options.dropout), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return model, loader, optimizer


def squared_error(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def kill_when_told(step, model):
    if step == options.kill_at_step:
        die()


def disk_full(*_, **__):
    raise OSError(28, "No space left on device")


save = CheckpointFolder.save


def save_or_die(folder, step, model, state):
    if options.full_disk_on_process == process:
        Path.mkdir = disk_full
    if step == options.kill_while_saving_step:
        Path.rename = lambda *_: die()  # all is written, nothing in place yet
    return save(folder, step, model, state)


CheckpointFolder.save = save_or_die
torch.set_num_threads(1)
process = int(os.environ.get("RANK", "0"))

if options.twice:
    model, loader, optimizer = make()
    train(model, loader, squared_error, steps=2, optimizer=optimizer, accumulation_steps=3, mixed_precision="bf16")

model, loader, optimizer = make()
random_before = (random.getstate(), torch.get_rng_state().tolist())
result = train(
    model,
    loader,
    squared_error,
    steps=options.steps,
    optimizer=optimizer,
    schedule=warmup_then_cosine(optimizer, warmup_steps=5, steps=40),
    accumulation_steps=options.accumulation,
    mixed_precision=options.mixed_precision,
    evaluate=lambda model: {"noise": random.random(), "weight": model[0].weight.sum().item()},
    evaluate_every=7,
    checkpoints=options.checkpoints,
    checkpoint_every=4 if options.checkpoints else None,
    wall_clock_budget=1e-9 if options.budget_on_process == process else 1e9,
    on_step=kill_when_told,
    seed=11,
)
options.out.with_suffix(f".{process}.json").write_text(
    json.dumps(
        {
            "steps_done": result.steps_done,
            "measures": result.measures,
            "evaluations": result.evaluations,
            "stopped_because": result.stopped_because,
            "resumed_from": result.resumed_from,
            "weights": {name: value.double().tolist() for name, value in model.state_dict().items()},
            "class": type(model).__name__,
            "generators_untouched": random_before == (random.getstate(), torch.get_rng_state().tolist()),
        }
    )
)
