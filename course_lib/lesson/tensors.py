"""What is in a tensor? Its name, its shape and its values, on one line where they fit."""

from typing import Any

LARGEST_ROW = 16
LARGEST_TABLE = 16
FIRST_VALUES = 6


def show(*, measured: bool = False, sums: bool | None = None, **tensors: Any) -> None:
    """Print name, shape and values of each tensor: `weights [3]  0.437 0.384 0.179   sum 1.000`.

    Vectors stand on one line, matrices row by row, anything larger as its shape and first values. A row that could
    be a share of something (all values in 0..1) also shows its sum; `sums=False` hides it, `sums=True` shows it
    for every row. `measured=True` marks values that depend on this machine, such as trained weights, with ≈.
    Takes tensors, arrays, nested lists of numbers, and single numbers; raises TypeError for anything else.
    """
    if not tensors:
        raise ValueError("show() needs at least one named tensor: show(weights=weights)")
    for name, value in tensors.items():
        print("\n".join(_lines(name, value, measured, sums)))


def _lines(name: str, value: Any, measured: bool, sums: bool | None) -> list[str]:
    import torch

    try:
        tensor = torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"show({name}=...) takes a tensor or numbers, got {type(value).__name__}: {error}") from None
    # float32 and the integer types show by their digits; only unusual precisions need a word.
    unusual = {torch.float16: " float16", torch.bfloat16: " bfloat16", torch.float64: " float64"}
    kind = unusual.get(tensor.dtype, "") if hasattr(value, "dtype") else ""
    title = f"{name} {list(tensor.shape)}{kind}"
    if tensor.ndim == 0:
        return [f"{name}  {_numbers(tensor.reshape(1), measured)}"]
    if tensor.ndim == 1 and len(tensor) <= LARGEST_ROW:
        return [f"{title}  {_row(tensor, measured, sums)}".rstrip()]
    if tensor.ndim == 2 and max(tensor.shape) <= LARGEST_TABLE:
        return [title, *(f"  {_row(row, measured, sums)}" for row in tensor)]
    return [f"{title}  {_numbers(tensor.flatten()[:FIRST_VALUES], measured)} …"]


def _row(row: Any, measured: bool, sums: bool | None) -> str:
    text = _numbers(row, measured)
    if sums is None:
        sums = len(row) > 1 and row.is_floating_point() and bool(((row >= 0) & (row <= 1)).all())
    return f"{text}   sum {_numbers(row.sum().reshape(1), measured)}" if sums else text


def _numbers(row: Any, measured: bool) -> str:
    values = row.tolist()
    if not row.is_floating_point():
        return " ".join(map(str, values))
    largest = max((abs(value) for value in values), default=0.0)
    digits = ".3f" if largest == 0 or 0.001 <= largest < 1000 else ".3g"
    # A rounded -0.0 would flip its sign from machine to machine.
    texts = [text.removeprefix("-") if float(text := format(v, digits)) == 0 else text for v in values]
    return " ".join("≈" + text if measured else text for text in texts)
