"""Where do the time and the memory go? Small bar charts, to be drawn by the report's template as SVG."""

from collections.abc import Callable, Sequence
from typing import Any

WIDTH, ROOM_FOR_VALUE = 360, 95
BAR_HEIGHT, ROW_HEIGHT = 12, 40
LONGEST_LABEL = 48


def bar_chart(
    title: str,
    labels: Sequence[str],
    values: Sequence[float | None],
    in_words: Callable[[float | None], str],
    bad: Sequence[bool],
) -> dict[str, Any]:
    """Positions and texts of one horizontal bar per label, and a description that says the same in words."""
    largest = max((value for value in values if value), default=1.0)
    bars = []
    for row, (label, value, is_bad) in enumerate(zip(labels, values, bad, strict=True)):
        top = row * ROW_HEIGHT
        bars.append(
            {
                "label": label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…",
                "value": in_words(value),
                "width": round((WIDTH - ROOM_FOR_VALUE) * (value or 0.0) / largest, 1),
                "text_y": top + 14,
                "y": top + 20,
                "value_y": top + 31,
                "bad": is_bad,
            }
        )
    listed = "; ".join(f"{label} {in_words(value)}" for label, value in zip(labels, values, strict=True))
    return {
        "caption": f"{title} of each run",
        "description": f"{title}: {listed}",
        "width": WIDTH,
        "height": len(bars) * ROW_HEIGHT + 4,
        "bar_height": BAR_HEIGHT,
        "bars": bars,
    }
