"""Where do two answers differ? Tensors, numbers, words, and tuples, lists and dicts of them."""

from typing import Any

import torch
from torch import Tensor

from course_lib.exercises.failures import text_of
from course_lib.exercises.properties.examples import as_tensor, described


def difference(
    expected: Any,
    found: Any,
    tolerance: float = 1e-5,
    *,
    expected_is: str = "expected",
    where: str = "",
    equal_nan: bool = False,
) -> str | None:
    """What is different in `found`, in words with the place of the largest difference, or None.

    A number may differ by `tolerance`, or by `tolerance` times the expected number where that is larger than 1. NaN
    never will do, unless `equal_nan`. A tensor without axes and a plain number are the same thing, and so are a list
    and a tuple. Whole numbers and truth values must be such and exact, since they may be used as indices and masks.
    expected_is: where the expected answer comes from. where: the name of the place, if it is part of something.
    """
    at = f"{where}: " if where else ""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or set(found) != set(expected):
            return (
                f"{at}expected {_keys(expected)}, got {_keys(found) if isinstance(found, dict) else described(found)}"
            )
        parts = [(f"{where}[{key!r}]", expected[key], found[key]) for key in expected]
    elif isinstance(expected, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            return f"{at}expected {described(expected)}, got {described(found)}"
        parts = [(f"{where}[{index}]", *pair) for index, pair in enumerate(zip(expected, found, strict=True))]
    elif isinstance(expected, Tensor) or as_tensor(expected) is not None:
        return _difference_of_numbers(expected, found, tolerance, expected_is, where, equal_nan)
    else:
        same = type(found) is type(expected) and found == expected
        return None if same else f"{at}{described(found)} instead of {described(expected)} ({expected_is})"
    for place, one, other in parts:
        if differs := difference(one, other, tolerance, expected_is=expected_is, where=place, equal_nan=equal_nan):
            return differs
    return None


def _keys(value: dict[Any, Any]) -> str:
    return f"a dict with {', '.join(text_of(key, 'repr') for key in value)}" if value else "an empty dict"


def _difference_of_numbers(
    expected: Tensor | float, found: Any, tolerance: float, expected_is: str, where: str, equal_nan: bool
) -> str | None:
    at = f"{where}: " if where else ""
    right, given = as_tensor(expected), as_tensor(found)
    if given is None or right is None:
        return f"{at}expected {described(expected)}, got {described(found)}"
    if given.shape != right.shape:
        return f"{at}expected the shape {list(right.shape)}, got {list(given.shape)}"
    if _kind(expected) != "float" and _kind(found) != _kind(expected):
        return f"{at}expected {described(expected)}, got {described(found)}"
    if _kind(expected) == "float" and _kind(found) == "bool":
        return f"{at}expected numbers, got {described(found)}"
    same = right == given
    if equal_nan:
        same |= right.isnan() & given.isnan()
    if _kind(expected) != "float":
        excess = (~same).double()
    else:
        distance, margin = (right.double() - given.double()).abs(), tolerance * right.double().abs().clamp(min=1.0)
        # Where the expected number is infinite, only the same one will do: infinity less infinity is NaN.
        excess = torch.where(same, 0.0, (distance - margin).nan_to_num(nan=float("inf")))
    if right.numel() == 0 or not bool((excess > 0).any()):
        return None
    place = tuple(int(index) for index in torch.unravel_index(excess.argmax(), excess.shape))
    inside = f"{where}{list(place)}" if place else where
    given_digits, right_digits = _digits(given[place].item(), right[place].item())
    return f"{f'{inside}: ' if inside else ''}{given_digits} instead of {right_digits} ({expected_is})"


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        # A plain whole number may stand for any number, such as a loss of 0.
        return "float" if isinstance(value, float) else "int"
    return "bool" if value.dtype == torch.bool else "float" if value.is_floating_point() else "int"


def _digits(given: float, right: float) -> tuple[str, str]:
    """Both numbers with as few digits as tell them apart, at least four; whole ones whole."""
    if isinstance(given, int) and isinstance(right, int):
        return str(given), str(right)
    for digits in range(4, 17):
        texts = f"{given:.{digits}g}", f"{right:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts
