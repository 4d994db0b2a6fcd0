"""Does an output know the future? What comes later may not change it, not by the last bit."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    as_tensor,
    described,
    expect_tensor,
    recognised,
    smallest_first,
)


def other_values(values: Tensor) -> Tensor:
    """Other values of the same kind: whole numbers and truth values go round among those there are, others change sign.

    A tensor that holds one whole number only comes back as it is.
    """
    if values.is_floating_point():
        return torch.where(values < 0, 1.0 - values, -1.0 - values)
    there, index = values.unique(return_inverse=True)
    return there[(index + 1) % len(there)]


def future_changes_nothing(
    function: Answer,
    examples: Iterable[Example],
    *,
    sequence: str,
    axis: int = 1,
    output_axis: int | None = None,
    change: Callable[[Tensor], Tensor] = other_values,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """Causality: another input at place t leaves the outputs before t exactly as they are.

    sequence: the argument whose places are changed, one at a time and then all from t on, along `axis`.
    output_axis: the same axis of the answer, a tensor; `axis` unless you say so. change: gives other values of the
    sequence's shape. Raises PropertyFailed with the first (smallest) example in which the past changes; there,
    `changed X` is the sequence X after the change. Raises ValueError if `change` changes nothing.
    """
    failed = "what comes later changes nothing before it"
    along = axis if output_axis is None else output_axis
    for example in smallest_first(examples):
        values: Tensor = example[sequence]
        length = values.shape[axis]
        output = answer_to(function, example)
        before = _with_places(output, length, along, example, failed, mistakes)
        others = change(values)
        for place, end in _stretches(length):
            new = values.clone()
            new.narrow(axis, place, end - place).copy_(others.narrow(axis, place, end - place))
            if torch.equal(new, values):
                raise ValueError(f"`change` leaves place {place} of {sequence!r} as it is; give it other values")
            changed = {**example, sequence: new}
            answer = answer_to(function, changed)
            after = _with_places(answer, length, along, changed, failed, mistakes)
            if before.shape != after.shape:
                found = f"the shape changes from {list(before.shape)} to {list(after.shape)} with the values"
                raise PropertyFailed(failed, found, changed, answer, "wrong_shape")
            moved = (before.narrow(along, 0, place) != after.narrow(along, 0, place)).nonzero()
            if len(moved):
                early = int(moved[:, along].min())
                shown = {**example, f"changed {sequence}": new}
                later = f"place {place}" if end == place + 1 else f"the places from {place} on"
                found = f"another input at {later} changes the output at place {early}"
                mistake = recognised(mistakes, changed, answer) or recognised(mistakes, example, output)
                raise PropertyFailed(failed, found, shown, {"before": output, "after the change": answer}, mistake)


def _stretches(length: int) -> list[tuple[int, int]]:
    """Single places, then tails of several: (begin, end). The first place has nothing before it."""
    single = [(place, place + 1) for place in range(1, length)]
    return single + [(place, length) for place in range(1, length - 1)]


def _with_places(
    output: Any, length: int, axis: int, example: Example, failed: str, mistakes: Sequence[Mistake]
) -> Tensor:
    """The output as a tensor that has `length` places along `axis`. Raises PropertyFailed."""
    tensor = as_tensor(output)
    if tensor is None or not -tensor.dim() <= axis < tensor.dim() or tensor.shape[axis] != length:
        found = f"expected a tensor with {length} places along axis {axis}, got {described(output)}"
        mistake = recognised(mistakes, example, output) or "wrong_shape"
        raise PropertyFailed(failed, found, example, output, mistake)
    return expect_tensor(output, tuple(tensor.shape), example, failed, mistakes)
