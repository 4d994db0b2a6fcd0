"""On what is a property tried? On named arguments, from small to large, so that the first failure is small."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.failures import AnswerRaised, PropertyFailed, answer_raised, text_of

Example = dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer. `recognises(example, output)` tells it from other wrong answers; `key` names its hint.

    It is only asked about answers that already failed. Common ones are made in `properties.mistakes`.
    """

    key: str
    recognises: Callable[[Example, Any], Any]


def smallest_first(examples: Iterable[Example]) -> list[Example]:
    """The examples by the number of values in them; those of one size keep their order."""
    return sorted(examples, key=lambda example: sum(_size(value) for value in example.values()))


def _size(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, dict):
        return sum(_size(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(item) for item in value)
    return len(value) if isinstance(value, str) else 1


def answer_to(function: Callable[..., Any], example: Example) -> Any:
    """What the answer gives for an example, whose values are its arguments in order.

    They are copied, so that the answer cannot change them. Raises AnswerRaised with the example when the learner's
    code raises; only Ctrl-C passes through, and PropertyFailed, which `part_of` and an example's own functions raise.
    """
    try:
        return function(*(copy_of(value) for value in example.values()))
    except (AnswerRaised, PropertyFailed) as failure:
        failure.example = failure.example or example
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise answer_raised(error, example) from error


def copy_of(value: Any) -> Any:
    """A copy down to the tensors; functions and other things are handed on as they are."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: copy_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_of(item) for item in value]
    if type(value) is tuple:
        return tuple(copy_of(item) for item in value)
    return value


def part_of(function: Callable[..., Any], index: int, *, of: int) -> Callable[..., Any]:
    """The function that gives one part of the answer's tuple of `of` things, such as the weights of (context, weights).

    It raises PropertyFailed when the answer gives something else.
    """

    def part(*arguments: Any) -> Any:
        output = function(*arguments)
        if not isinstance(output, tuple | list) or len(output) != of:
            raise PropertyFailed(
                f"the answer is a tuple of {of}", f"expected {of} things, got {described(output)}", {}, output
            )
        return output[index]

    return part


def expect_tensor(
    output: Any, shape: Sequence[int], example: Example, failed: str, mistakes: Iterable[Mistake] = ()
) -> Tensor:
    """`output` as a detached tensor on the CPU, if it is a tensor of numbers of this shape and without NaN.

    Raises PropertyFailed otherwise, with the first mistake that recognises the output, or "not_a_tensor",
    "wrong_shape" or "nan". For the shape () a plain number will do.
    """

    def refuse(found: str, mistake: str) -> PropertyFailed:
        return PropertyFailed(failed, found, example, output, recognised(mistakes, example, output) or mistake)

    if not len(shape) and isinstance(output, int | float) and not isinstance(output, bool):
        output = torch.tensor(float(output), dtype=torch.float64)
    if not isinstance(output, Tensor):
        what = "a tensor" if len(shape) else "a number or a tensor without axes"
        raise refuse(f"expected {what}, got {described(output)}", "not_a_tensor")
    if output.dtype == torch.bool or output.is_complex() or output.layout != torch.strided or output.is_meta:
        raise refuse(f"expected an ordinary tensor of numbers, got {described(output)}", "not_a_tensor")
    if tuple(output.shape) != tuple(shape):
        raise refuse(f"expected the shape {list(shape)}, got {list(output.shape)}", "wrong_shape")
    if output.isnan().any():
        raise refuse("there is NaN in the result", "nan")
    return output.detach().cpu()


def described(value: Any) -> str:
    """A few words on what a value is: "None", "a tuple of 2", "a torch.bool tensor of shape [2, 3]"."""
    if value is None:
        return "None (is there a `return`?)"
    if isinstance(value, Tensor):
        layout = "" if value.layout == torch.strided else "sparse "
        return f"a {layout}{value.dtype} tensor of shape {list(value.shape)}"
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, bool | int | float | str):
        return f"the {type(value).__name__} {text_of(value, 'repr')}"
    return f"{type(value).__name__}"


def recognised(mistakes: Iterable[Mistake], example: Example, output: Any) -> str | None:
    """The key of the first known mistake that explains this output, or None."""
    for mistake in mistakes:
        try:
            if mistake.recognises(example, output):
                return mistake.key
        except Exception:
            continue  # a recogniser that cannot read this output does not recognise it
    return None


def close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two tensors have one shape and differ nowhere by more than `tolerance`; infinities equal themselves."""
    if first.shape != second.shape:
        return False
    first, second = first.detach().cpu().double(), second.detach().cpu().double()
    distance = torch.where(first == second, 0.0, (first - second).abs())
    return not bool((distance.nan_to_num(nan=float("inf")) > tolerance).any())
