"""How are numbers, times and sizes written for people?"""

import json
import math
from typing import Any

MEBIBYTE, GIBIBYTE = 1024**2, 1024**3
NOTHING = "–"


def number(value: Any, *, longest: int = 80) -> str:
    """A measured value: four significant digits, integers whole and grouped, yes/no, text as it is, else short JSON."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return _float(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def duration(seconds: float | None) -> str:
    """0.4 s, 12 s, 4 min 10 s, 1 h 05 min."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def minutes(value: float | None) -> str:
    """A prediction, no finer than it deserves: <1 min, 4 min, 1 h 20 min."""
    if value is None:
        return NOTHING
    if value < 0.95:
        return f"{max(5, round(value * 12) * 5)} s"
    return duration(60 * round(value)) if value >= 9.5 else f"{value:.1f} min".replace(".0 ", " ")


def size(byte_count: float | None) -> str:
    """Memory in the units that `free` and `nvidia-smi` use: 812 MiB, 1.2 GiB."""
    if byte_count is None:
        return NOTHING
    if byte_count < 1000 * MEBIBYTE:
        return f"{byte_count / MEBIBYTE:.0f} MiB"
    return f"{byte_count / GIBIBYTE:.1f} GiB".replace(".0 ", " ")


def count(amount: int, word: str) -> str:
    """1 notebook, 3 notebooks."""
    return f"{amount} {word}" if amount == 1 else f"{amount} {word}s"


def settings(parameters: dict[str, Any]) -> str:
    """temperature = 0.5, context_size = 64, data = ''"""
    return ", ".join(
        f"{name} = {repr(value) if value == '' else number(value, longest=40)}" for name, value in parameters.items()
    )


def _float(value: float) -> str:
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    magnitude = abs(value)
    if value == 0:
        return "0"
    if magnitude >= 1e7 or magnitude < 1e-3:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    if magnitude >= 1000:
        return number(round(value)).replace("-", "−")
    return f"{value:.4g}".replace("-", "−")
