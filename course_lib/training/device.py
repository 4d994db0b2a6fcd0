"""How does one loop serve a laptop, a GPU and several processes? The course's use of Accelerate, undone afterwards."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn


def move_to(batch: Any, device: torch.device) -> Any:
    """The batch on `device`: a tensor, a dict, list or tuple of tensors, a dataclass, or anything with `.to(device)`.

    Numbers, strings and None stay what they are.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=device.type == "cuda")
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: move_to(part, device) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a named tuple
        return type(batch)(*(move_to(part, device) for part in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(move_to(part, device) for part in batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        return replace(batch, **{field.name: move_to(getattr(batch, field.name), device) for field in fields(batch)})
    return batch


@contextmanager
def own_accelerator(mixed_precision: str, accumulation_steps: int) -> Iterator[Accelerator]:
    """An Accelerator with exactly these settings, whatever other Accelerators this process has or had.

    Accelerate keeps its settings once per process: a second Accelerator either refuses another mixed precision or
    changes the first one's accumulation. So the shared settings are put aside, and put back at the end. The process
    group, which is costly and cannot differ, stays.
    """
    shared = [AcceleratorState._shared_state, GradientState._shared_state]
    aside = [dict(settings) for settings in shared]
    for settings in shared:
        settings.clear()
    try:
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # else Accelerate does not see that torchrun started many
            mixed_precision=mixed_precision,
            gradient_accumulation_steps=accumulation_steps,
        )
        _check_process_count(accelerator)
        yield accelerator
    finally:
        for settings, before in zip(shared, aside, strict=True):
            settings.clear()
            settings.update(before)


@contextmanager
def prepared(accelerator: Accelerator, model: nn.Module) -> Iterator[nn.Module]:
    """What to call in place of the model while it trains: the model on its device, or its wrapper for many processes.

    Accelerate leaves marks on the model (a `forward` with the mixed precision of this run, "already prepared"), which
    a second training would trip over: they are taken off at the end. The weights stay on the device.
    """
    attributes = dict(vars(model))
    try:
        yield accelerator.prepare_model(model)
    finally:
        for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
            vars(model).pop(name, None)
            if name in attributes:
                vars(model)[name] = attributes[name]
        accelerator.free_memory()


def _check_process_count(accelerator: Accelerator) -> None:
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise RuntimeError(
            f"{launched} processes were launched, but Accelerate was set up for {accelerator.num_processes} in this "
            "one, so that each would train alone: make no Accelerator before `train`, and on a machine with fewer GPUs "
            "than processes set ACCELERATE_USE_CPU=1"
        )
