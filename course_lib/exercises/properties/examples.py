"""On what is a property tried? On named arguments, from small to large, so that the first failure is small."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.failures import AnswerRaised, PropertyFailed, answer_raised, text_of

Example = dict[str, Any]
Answer = Any
"""What a learner defined under a name asked for: a function, if all is well."""


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


def answer_to(function: Answer, example: Example) -> Any:
    """What the answer gives for an example, whose values are its arguments in order.

    They are copied, so that the answer cannot change them, and so is what it gives, so that a later call cannot change
    that: a function that hands out the same tensor each time is compared as it was.

    Raises AnswerRaised with the example when the learner's code raises; only Ctrl-C passes through, and PropertyFailed,
    which `part_of` and an example's own functions raise.
    Raises PropertyFailed if there is no function to ask.
    """
    expect_function(function, example)
    try:
        return copy_of(function(*(copy_of(value) for value in example.values())))
    except (AnswerRaised, PropertyFailed) as failure:
        failure.example = failure.example or example
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise answer_raised(error, example) from error


def expect_function(function: Answer, example: Example) -> None:
    """Raise PropertyFailed if there is no function to ask."""
    if not callable(function):
        raise PropertyFailed("the answer is a function", f"expected a function, got {described(function)}", example)


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


def part_of(function: Answer, index: int, *, of: int) -> Callable[..., Any]:
    """The function that gives one part of the answer's tuple of `of` things, such as the weights of (context, weights).

    It raises PropertyFailed when the answer gives something else.
    """

    def part(*arguments: Any) -> Any:
        expect_function(function, {})
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

    tensor = as_tensor(output)
    single = "a number or a tensor without axes"
    if tensor is None or tensor.dtype == torch.bool or (len(shape) and not isinstance(output, Tensor)):
        raise refuse(
            f"expected {'a tensor of numbers' if len(shape) else single}, got {described(output)}", "not_a_tensor"
        )
    if tuple(tensor.shape) != tuple(shape):
        expected = f"the shape {list(shape)}" if len(shape) else single
        raise refuse(f"expected {expected}, got the shape {list(tensor.shape)}", "wrong_shape")
    if tensor.isnan().any():
        raise refuse("there is NaN in the result", "nan")
    return tensor


def refuse_nan(output: Any, example: Example, failed: str, mistakes: Iterable[Mistake] = ()) -> None:
    """Raise PropertyFailed if there is NaN anywhere in an answer of any form: its cause comes before all comparing."""
    if contains_nan(output):
        mistake = recognised(mistakes, example, output) or "nan"
        raise PropertyFailed(failed, "there is NaN in the result", example, output, mistake)


def expect_data(output: Any, example: Example, failed: str, mistakes: Iterable[Mistake] = ()) -> None:
    """Raise PropertyFailed unless an answer is of tensors, numbers and words, without NaN and not empty.

    Properties that compare an answer with another of the same function ask for this first, since nothing always
    equals nothing.
    """
    refuse_nan(output, example, failed, mistakes)
    if not (_is_data(output) and _is_something(output)):
        found = f"expected tensors, numbers or words, got {described(output)}"
        raise PropertyFailed(failed, found, example, output, recognised(mistakes, example, output) or "not_a_tensor")


def _is_data(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_data(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_data(item) for item in value)
    return value is None or isinstance(value, str | bool) or as_tensor(value) is not None


def _is_something(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return any(_is_something(item) for item in (value.values() if isinstance(value, dict) else value))
    return value is not None


def contains_nan(value: Any) -> bool:
    """Whether a tensor, a number, or a tuple, list or dict of them holds NaN."""
    if isinstance(value, dict):
        return any(contains_nan(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(contains_nan(item) for item in value)
    tensor = as_tensor(value)
    return tensor is not None and bool(tensor.isnan().any())


def as_tensor(value: Any) -> Tensor | None:
    """A detached tensor of a tensor or a number, on the CPU; None of anything else, and of odd kinds of tensors."""
    if isinstance(value, Tensor):
        odd = value.is_nested or value.is_meta or value.is_quantized or value.is_complex()
        odd = odd or (value.is_floating_point() and value.dtype.itemsize < 2)  # float8, with which torch cannot compare
        return None if odd or value.layout != torch.strided else value.detach().cpu()
    if isinstance(value, float):
        return torch.tensor(value, dtype=torch.float64)
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return torch.tensor(value) if whole else None


def described(value: Any) -> str:
    """A few words on what a value is: "None", "a tuple of 2", "a bool tensor of shape [2, 3]"."""
    if value is None:
        return "None (is there a `return`?)"
    if callable(value):
        return "a function"
    if isinstance(value, Tensor):
        if value.is_nested:
            return "a nested tensor"
        layout = "" if value.layout == torch.strided else "sparse "
        kind = layout + str(value.dtype).removeprefix("torch.")
        return f"{'an' if kind.startswith('i') else 'a'} {kind} tensor of shape {list(value.shape)}"
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, bool | int | float | str):
        return f"the {type(value).__name__} {text_of(value, 'repr')}"
    return type(value).__name__


def recognised(mistakes: Iterable[Mistake], example: Example, output: Any) -> str | None:
    """The key of the first known mistake that explains this output, or None."""
    for mistake in mistakes:
        try:
            if mistake.recognises(example, output):
                return mistake.key
        except KeyboardInterrupt:
            raise
        except BaseException:
            continue  # a recogniser that cannot read this output does not recognise it
    return None


def close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two tensors have one shape and differ nowhere by more than `tolerance`; infinities equal themselves."""
    if first.shape != second.shape:
        return False
    first, second = first.detach().cpu().double(), second.detach().cpu().double()
    distance = torch.where(first == second, 0.0, (first - second).abs())
    return not bool((distance.nan_to_num(nan=float("inf")) > tolerance).any())
