"""On what is a property tried? On named arguments, from small to large, so that the first failure is small."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.failures import AnswerRaised, PropertyFailed

Example = dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer. `recognises(example, output)` tells it from other wrong answers; `key` names its hint."""

    key: str
    recognises: Callable[[Example, Any], bool]


def answer_to(function: Callable[..., Any], example: Example) -> Any:
    """What the answer gives for an example; its arguments are copied, so that it cannot change them.

    Raises AnswerRaised with the example when the learner's code raises.
    """
    copied = [value.clone() if isinstance(value, Tensor) else value for value in example.values()]
    try:
        return function(*copied)
    except AnswerRaised as raised:
        raised.example = raised.example or example
        raise
    except PropertyFailed:
        raise
    except Exception as error:
        raise AnswerRaised(type(error).__name__, str(error), example) from error


def expect_tensor(output: Any, shape: tuple[int, ...], example: Example, failed: str) -> Tensor:
    """`output`, if it is a tensor of numbers of this shape without NaN. Raises PropertyFailed."""
    if not isinstance(output, Tensor):
        raise PropertyFailed(failed, f"expected a tensor, got {type(output).__name__}", example, output)
    if tuple(output.shape) != tuple(shape):
        raise PropertyFailed(
            failed, f"expected the shape {list(shape)}, got {list(output.shape)}", example, output, "wrong_shape"
        )
    if output.is_floating_point() and output.isnan().any():
        raise PropertyFailed(failed, "there are NaN in the result", example, output, "nan")
    return output


def recognised(mistakes: Iterable[Mistake], example: Example, output: Any) -> str | None:
    """The key of the first known mistake that explains this output, or None."""
    for mistake in mistakes:
        try:
            if mistake.recognises(example, output):
                return mistake.key
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
            continue  # a recogniser that cannot read this output does not recognise it
    return None


def close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two tensors have one shape and differ nowhere by more than `tolerance`."""
    if first.shape != second.shape:
        return False
    if first.numel() == 0:
        return True
    return bool(torch.nan_to_num((first.double() - second.double()).abs(), nan=float("inf")).max() <= tolerance)
