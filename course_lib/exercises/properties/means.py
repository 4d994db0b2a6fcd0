"""Is a loss a mean? Then seeing every row twice leaves it as it is."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.batches import changed
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    expect_tensor,
    recognised,
    smallest_first,
)


def mean_not_sum(
    loss: Answer,
    examples: Iterable[Example],
    *,
    repeat: Sequence[str],
    times: Sequence[int] = (2, 3),
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """Repeating every row leaves the loss as it is, as it does a mean, and not a sum.

    repeat: the arguments that have a row (first axis of a tensor, or item of a list) for each sentence or word.
    Raises PropertyFailed with the first (smallest) example; there, `repeated X` is the argument X with its rows
    repeated. A loss that grows by as much as the rows do is recognised as "sum_not_mean", unless `mistakes` know more.
    """
    failed = "the loss is a mean: repeating every row leaves it as it is"
    for example in smallest_first(examples):
        output = answer_to(loss, example)
        once = expect_tensor(output, (), example, failed, mistakes).item()
        if not math.isfinite(once):
            raise PropertyFailed(failed, f"the loss is {once}", example, output, recognised(mistakes, example, output))
        for count in times:
            longer = {name: _repeated(value, count) if name in repeat else value for name, value in example.items()}
            answer = answer_to(loss, longer)
            more = expect_tensor(answer, (), longer, failed, mistakes).item()
            margin = tolerance * max(1.0, abs(once))
            if not abs(more - once) <= margin:
                found = f"with every row {count} times, {more:.4g} instead of {once:.4g}"
                mistake = recognised(mistakes, longer, answer) or recognised(mistakes, example, output)
                if mistake is None and abs(more - count * once) <= count * margin:
                    mistake = "sum_not_mean"
                shown = {**example, **changed(example, longer, "repeated {}")}
                raise PropertyFailed(failed, found, shown, {"once": output, f"{count} times": answer}, mistake)


def _repeated(value: Any, times: int) -> Any:
    if isinstance(value, Tensor):
        return torch.repeat_interleave(value, times, dim=0)
    return [item for item in value for _ in range(times)]
