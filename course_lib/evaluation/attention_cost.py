"""What does one more word cost? Time and memory against the length of a text (notebook 03)."""

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def bytes_kept(compute: Callable[[], Tensor]) -> int:
    """Bytes that `compute` keeps for its backward pass: what a training holds in memory besides weights and inputs.

    Counted exactly, by storage: a tensor kept twice counts once, and the leaves (parameters, inputs that require a
    gradient) are not counted. Raises ValueError if nothing of it can be differentiated.
    """
    kept: dict[int, int] = {}
    held: list[Tensor] = []  # or a freed storage's address could come again and be counted as the same

    def note(tensor: Tensor) -> Tensor:
        whole = tensor if tensor._base is None else tensor._base  # a parameter is often kept transposed: a view of it
        if not whole.is_leaf or not whole.requires_grad:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = compute()
    if not result.requires_grad:
        raise ValueError("nothing is kept without a gradient: give compute() a tensor with requires_grad=True")
    return sum(kept.values())


def seconds_of(compute: Callable[[], object], repeats: int = 5) -> float:
    """The fastest of several calls, after one that is not counted: other work on the machine can only add to it.

    Waits for a GPU, if there is one. Raises ValueError for fewer than one repeat.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times = []
    for _ in range(repeats + 1):
        wait()
        start = time.perf_counter()
        compute()
        wait()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def log_log_slope(lengths: Sequence[float], costs: Sequence[float]) -> float:
    """The power with which the cost grows: 1 if twice the length costs twice as much, 2 if four times.

    The least-squares line through the logarithms. Raises ValueError for fewer than two different lengths, lists of
    different size, or numbers that have no logarithm.
    """
    if len(lengths) != len(costs) or len(set(lengths)) < 2:
        raise ValueError(
            f"a slope needs a cost for each of at least two different lengths, got {len(lengths)} lengths "
            f"and {len(costs)} costs"
        )
    if min(*lengths, *costs) <= 0:
        raise ValueError("lengths and costs must be above 0: they are drawn on logarithmic axes")
    x, y = [math.log(length) for length in lengths], [math.log(cost) for cost in costs]
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
    return rise / sum((a - x_mean) ** 2 for a in x)
