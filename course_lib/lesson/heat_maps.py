"""Which word looks at which? The one way of the course to draw weights between two sequences."""

from collections.abc import Iterable, Sequence
from typing import Any

LONGEST_SIDE = 60
CELL_INCHES = 0.42


def heat_map(
    weights: Any,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
    gold: Iterable[tuple[int, int]] | None = None,
    row_axis: str = "target word",
    column_axis: str = "source word",
) -> Any:
    """A matplotlib Figure of a matrix of weights in 0..1, [row, column]; show it with `course.figure(fig, alt=...)`.

    `gold` outlines cells given as (row, column), such as the true alignment. Gold pairs of the data sets are
    (source position, target position): with targets in the rows, turn them round.

    Raises ValueError when shape and labels disagree, when a value is outside 0..1 or not a number, when a gold cell
    lies outside, and for more than 60 labels on a side, which nobody can read.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    values = np.asarray(weights.detach().float().cpu() if hasattr(weights, "detach") else weights, dtype=float)
    _check(values, row_labels, column_labels)
    rows, columns = values.shape
    figure = Figure(figsize=(max(3.6, CELL_INCHES * columns + 2.6), max(2.4, CELL_INCHES * rows + 1.4)))
    axes = figure.add_subplot()
    image = axes.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    # Words are text, never formulas: a price such as "$5" must not start matplotlib's mathematics.
    axes.set_xticks(range(columns), column_labels, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(rows), row_labels, parse_math=False)
    axes.set_xlabel(column_axis)
    axes.set_ylabel(row_axis)
    gold_cells = sorted(set(gold or ()))
    axes.set_title(f"{title}\nboxes: true alignment" if gold_cells else title, parse_math=False)
    axes.grid(visible=False)
    colour_bar = figure.colorbar(image, ax=axes, ticks=[0, 0.25, 0.5, 0.75, 1])
    colour_bar.set_label("weight")
    for row, column in gold_cells:
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(f"gold cell ({row}, {column}) lies outside the {rows} rows and {columns} columns")
        # A light line inside a dark one is seen on dark cells and on bright ones.
        for colour, width in (("black", 4.0), ("white", 1.8)):
            axes.add_patch(
                Rectangle((column - 0.42, row - 0.42), 0.84, 0.84, fill=False, edgecolor=colour, linewidth=width)
            )
    return figure


def _check(values: Any, row_labels: Sequence[str], column_labels: Sequence[str]) -> None:
    import numpy as np

    if values.ndim != 2 or values.shape != (len(row_labels), len(column_labels)) or 0 in values.shape:
        raise ValueError(
            f"weights of shape {list(values.shape)} do not fit {len(row_labels)} row labels and "
            f"{len(column_labels)} column labels; expected [rows, columns], at least one of each"
        )
    if max(values.shape) > LONGEST_SIDE:
        raise ValueError(f"{max(values.shape)} labels on a side cannot be read (at most {LONGEST_SIDE}); draw a part")
    if not np.isfinite(values).all() or values.min() < -1e-6 or values.max() > 1 + 1e-6:
        raise ValueError(f"weights must lie in 0..1, got values from {values.min():g} to {values.max():g}")
