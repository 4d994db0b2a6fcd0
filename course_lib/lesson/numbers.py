"""How is a number written, so that a reader sees at once whether it depends on this machine?

A leading ≈ says: measured here, and a little different elsewhere. The check of the committed notebooks compares
everything but such numbers.
"""

import math
from typing import Any

APPROXIMATELY = "≈"


def about(number: Any, digits: int = 3, unit: str = "") -> str:
    """A measured number with `digits` significant digits: `about(0.97123)` is "≈0.971", `about(3.2e6)` "≈3,200,000".

    Takes Python, numpy and one-element torch numbers. Raises TypeError for anything that is not a number.
    """
    if isinstance(number, bool | str):
        raise TypeError(f"about() takes a measured number, got {number!r}; print text and True/False as they are")
    try:
        value = float(number)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"about() takes one number, got {type(number).__name__}: {error}") from None
    if digits < 1:
        raise ValueError(f"digits must be >= 1, got {digits}")
    return APPROXIMATELY + _significant(value, digits) + (f" {unit}" if unit else "")


def seconds(duration: float) -> str:
    """A measured duration in the unit that reads best: "≈35 ms", "≈12 s", "≈3.5 min", "≈1.2 h"."""
    if not math.isfinite(duration) or duration < 0:
        raise ValueError(f"a duration is a number of seconds >= 0, got {duration}")
    for unit, size, limit in (("ms", 0.001, 1.0), ("s", 1.0, 100.0), ("min", 60.0, 5400.0)):
        if duration < limit:
            return about(duration / size, digits=2, unit=unit)
    return about(duration / 3600, digits=2, unit="h")


def plain_number(value: Any) -> Any:
    """The Python number inside a numpy or torch scalar; everything else as it was."""
    if hasattr(value, "item") and getattr(value, "size", None) is not None and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def written(value: Any) -> str:
    """A value inside a sentence: floats are measured and get their ≈, everything else is exact."""
    value = plain_number(value)
    return about(value) if isinstance(value, float) else str(value)


def _significant(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    if 1 <= abs(rounded) < 1e12:
        return f"{rounded:,}".removesuffix(".0")
    return f"{rounded:.{digits}g}" if rounded else "0"
