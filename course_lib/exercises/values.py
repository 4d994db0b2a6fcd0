"""How is a learner's value shown? Its kind and shape, and its numbers rounded; large ones by their extremes.

Whatever the value is, a short text comes back: nothing here calls a method that the learner may have written.
"""

import sys
from dataclasses import dataclass
from typing import Any

LARGEST_TENSOR = 48  # numbers; beyond, a summary reads better than rows
WIDEST_TENSOR = 12
LONGEST_TEXT = 160
MOST_ITEMS = 6
DEEPEST = 3


@dataclass(frozen=True)
class Shown:
    """kind: such as "float32 [2, 3]". text: the values, possibly over several lines; "" where kind says it all."""

    kind: str
    text: str


def shown(value: Any) -> Shown:
    """A value's kind and values, as text."""
    try:
        return _shown(value, DEEPEST)
    except Exception:
        return Shown("a value that cannot be shown", "")


def side_by_side(name: str, value: Any) -> list[str]:
    """`name  kind  values` as lines, further lines of the values below the first."""
    it = shown(value)
    lines = it.text.splitlines() or [""]
    head = "  ".join(part for part in (name, it.kind) if part)
    if len(lines) == 1:
        return [f"{head}  {lines[0]}".rstrip()]
    return [head, *(f"  {line}" for line in lines)]


def _shown(value: Any, depth: int) -> Shown:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _tensor(value)
    if value is None or type(value) is bool:
        return Shown("", str(value))
    if type(value) is int:
        return Shown("", str(value) if value.bit_length() < 200 else f"a whole number of {value.bit_length()} bits")
    if type(value) is float:
        return Shown("", f"{value:.6g}")
    if type(value) is str:
        rest = f" … ({len(value)} characters)" if len(value) > LONGEST_TEXT else ""
        return Shown("", repr(value[:LONGEST_TEXT]) + rest)
    if type(value) in (list, tuple, dict):
        return _container(value, depth)
    if callable(value):
        return Shown("a function", "")
    return Shown(f"a {type(value).__name__[:LONGEST_TEXT]}", "")


def _tensor(value: Any) -> Shown:
    import numpy
    import torch

    tensor = value.detach().cpu()
    kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
    if tensor.numel() == 0:
        return Shown(kind, "(empty)")
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    if tensor.numel() > LARGEST_TENSOR or (tensor.ndim and tensor.shape[-1] > WIDEST_TENSOR):
        return Shown(kind, _summary(tensor))
    # Adding zero turns -0.0 into 0.0, which would only puzzle.
    numbers = tensor.numpy() + (0 if tensor.is_floating_point() else False)
    if tensor.ndim == 0:
        return Shown(kind, f"{numbers.item():.4g}" if tensor.is_floating_point() else str(numbers.item()))
    ordinary = tensor.is_floating_point() and not (tensor[tensor.isfinite()].abs() >= 1000).any()
    options: Any = {"floatmode": "fixed"} if ordinary else {}
    text = numpy.array2string(numbers, precision=3, suppress_small=True, max_line_width=100, **options)
    return Shown(kind, "\n".join(line for line in text.splitlines() if line.strip()))


def _summary(tensor: Any) -> str:
    first = ", ".join(_brief(number) for number in tensor.flatten()[:4].tolist())
    if tensor.dtype.is_complex:
        return f"begins {first}, …"
    if str(tensor.dtype) == "torch.bool":
        return f"{int(tensor.sum())} of {tensor.numel()} are True; begins {first}, …"
    finite = tensor[tensor.isfinite()].double()
    parts = []
    if finite.numel():
        least, most, mean = (_brief(number.item()) for number in (finite.min(), finite.max(), finite.mean()))
        parts.append(f"{least} to {most}, mean {mean}")
    if odd := tensor.numel() - finite.numel():
        parts.append(f"{odd} of {tensor.numel()} are infinite or NaN")
    return "; ".join([*parts, f"begins {first}, …"])


def _brief(number: Any) -> str:
    return f"{number:.3g}" if isinstance(number, float) else str(number)


def _container(value: Any, depth: int) -> Shown:
    kind = f"{type(value).__name__} of {len(value)}"
    if depth == 0:
        return Shown(kind, "")
    pairs = list(value.items())[:MOST_ITEMS] if type(value) is dict else list(enumerate(value[:MOST_ITEMS]))
    items = [(_shown(key, 0).text or "?", _shown(item, depth - 1)) for key, item in pairs]
    more = len(value) - len(items)
    if all(not it.kind and "\n" not in it.text for _, it in items):
        texts = [f"{key}: {it.text}" if type(value) is dict else it.text for key, it in items]
        opening, closing = ("[", "]") if type(value) is list else ("(", ")") if type(value) is tuple else ("{", "}")
        inside = ", ".join([*texts, *([f"… {more} more"] if more else [])])
        if len(inside) <= LONGEST_TEXT:
            return Shown("", f"{opening}{inside}{closing}")
    lines = []
    for key, it in items:
        first, *rest = it.text.splitlines() or [""]
        head = f"[{key}]  {it.kind}".rstrip()
        lines += [f"{head}  {first}".rstrip()] if not rest else [head, *(f"  {line}" for line in (first, *rest))]
    return Shown(kind, "\n".join([*lines, *([f"… {more} more"] if more else [])]))
