"""Can this training work at all? The arguments of `train`, checked before anything is changed."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, IterableDataset


def check_numbers(
    steps: int,
    accumulation_steps: int,
    mixed_precision: str,
    gradient_clip: float | None,
    wall_clock_budget: float | None,
) -> None:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if accumulation_steps < 1:
        raise ValueError(f"accumulation_steps must be at least 1 (batches per step), got {accumulation_steps}")
    if mixed_precision not in ("no", "bf16", "fp16"):
        raise ValueError(f"mixed_precision must be 'no', 'bf16' or 'fp16', got {mixed_precision!r}")
    if mixed_precision == "fp16" and not torch.accelerator.is_available():
        raise ValueError("mixed_precision='fp16' needs a GPU, and there is none here; 'bf16' also works on a CPU")
    if gradient_clip is not None and not gradient_clip > 0:
        raise ValueError(f"gradient_clip must be > 0, got {gradient_clip}; pass None for no clipping")
    if wall_clock_budget is not None and not wall_clock_budget > 0:
        raise ValueError(f"wall_clock_budget must be > 0 seconds, got {wall_clock_budget}; pass None for no limit")


def check_intervals(
    evaluate: object, evaluate_every: int | None, checkpoints: object, checkpoint_every: int | None
) -> None:
    for name, every, needed, needs in (
        ("evaluate_every", evaluate_every, evaluate, "evaluate, a function of the model"),
        ("checkpoint_every", checkpoint_every, checkpoints, "checkpoints, a folder"),
    ):
        if every is not None and every < 1:
            raise ValueError(f"{name} must be at least 1 (steps), got {every}")
        if every is not None and needed is None:
            raise ValueError(f"{name}={every} also needs {needs}")


def check_learner(model: nn.Module, optimizer: Optimizer, schedule: LRScheduler | None) -> None:
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in held for parameter in model.parameters() if parameter.requires_grad):
        raise ValueError(
            "the optimizer holds no trainable parameter of this model, which would never change: "
            "make it from this very model, torch.optim.AdamW(model.parameters(), lr=...)"
        )
    if schedule is not None and schedule.optimizer is not optimizer:
        raise ValueError("the schedule belongs to another optimizer: make it from the one that is passed")
    if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ValueError("ReduceLROnPlateau needs a measure at each step; see course_lib.training.schedule for others")


def check_loss(loss: object) -> None:
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        got = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_function must return a scalar tensor, the mean loss, got {got}; take its .mean()")
    if not loss.requires_grad:
        raise ValueError("the loss depends on no trainable parameter: was it computed under no_grad, or detached?")


def check_loader(loader: object) -> None:
    """Raises TypeError unless `loader` is a DataLoader whose order can be repeated."""
    if not isinstance(loader, DataLoader):
        raise TypeError(
            f"loader must be a torch DataLoader, got {type(loader).__name__}; "
            "a list of ready-made batches can be wrapped: DataLoader(batches, batch_size=None)"
        )
    if isinstance(loader.dataset, IterableDataset):
        raise TypeError(
            "loader's dataset is an IterableDataset, whose order can be neither repeated nor resumed; "
            "use one with __getitem__ and __len__ (a list will do)"
        )
