"""How does the learning rate change over the steps? The course's schedules, thin over those of transformers.

Each takes the optimizer, whose learning rate is the peak, and returns a schedule that `train` steps once per update:

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = warmup_then_cosine(optimizer, warmup_steps=50, steps=400)
    train(model, loader, loss_function, steps=400, optimizer=optimizer, schedule=schedule)
"""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
)


def warmup_then_constant(optimizer: Optimizer, *, warmup_steps: int) -> LRScheduler:
    """From 0 up to the peak in a straight line, then constant."""
    _check(warmup_steps)
    return get_constant_schedule_with_warmup(optimizer, warmup_steps)


def warmup_then_linear(optimizer: Optimizer, *, warmup_steps: int, steps: int) -> LRScheduler:
    """From 0 up to the peak, then down to 0 at `steps`, both in straight lines. Source: Devlin et al. 2018, A.2."""
    _check(warmup_steps, steps)
    return get_linear_schedule_with_warmup(optimizer, warmup_steps, steps)


def warmup_then_cosine(optimizer: Optimizer, *, warmup_steps: int, steps: int) -> LRScheduler:
    """From 0 up to the peak, then down to 0 at `steps` as half a cosine. Source: Radford et al. 2018, section 4.1."""
    _check(warmup_steps, steps)
    return get_cosine_schedule_with_warmup(optimizer, warmup_steps, steps)


def warmup_then_inverse_square_root(optimizer: Optimizer, *, warmup_steps: int) -> LRScheduler:
    """From 0 up to the peak, then as 1/sqrt(step).

    The transformer's own schedule is this one with the peak at `(model_size * warmup_steps) ** -0.5`.
    Source: Vaswani et al. 2017, section 5.3, equation 3.
    """
    _check(warmup_steps)
    if warmup_steps == 0:
        raise ValueError("warmup_steps must be at least 1, got 0: 1/sqrt(step) starts from the warm-up's end")
    return get_inverse_sqrt_schedule(optimizer, warmup_steps)


def _check(warmup_steps: int, steps: int | None = None) -> None:
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must be 0 or more, got {warmup_steps}")
    if steps is not None and not warmup_steps < steps:
        raise ValueError(
            f"warmup_steps must be below steps, got {warmup_steps} of {steps}: "
            "the learning rate would never come down; a tenth of the steps is usual"
        )
