"""What remains of the explorer without a kernel? Two pictures and their numbers, in HTML and in plain text."""

from base64 import b64encode
from html import escape

import matplotlib
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from course_lib.lesson.display import html_table, text_table
from course_lib.widgets.attention_measures import MeasuredView, widest_entropy
from course_lib.widgets.packing import png
from course_lib.widgets.token_text import visible

WHOLE = 24  # tokens on a side up to which a table shows every weight, and a picture every token's text
LISTED = 64  # rows of the table of strongest looks
STRONGEST = 3
CIVIDIS = matplotlib.colormaps["cividis"]
CELL = 18  # pixels of one weight in the picture


def static_html(views: list[MeasuredView], view: int, layer: int, head: int) -> str:
    """The overview of all heads, the chosen map, and the numbers of both. Everything from tokens is escaped."""
    one = views[view]
    parts = [f"<h4>Attention: {escape(one.view.name)}, {escape(one.name_of(layer, head))}</h4>"]
    parts.append(f"<p>{escape(explanation(one))}</p>")
    parts.append(_picture_of_all(one))
    parts.append(_picture_of_one(one, layer, head))
    caption, header, rows = map_rows(one, layer, head)
    cells = [[escape(cell) for cell in row] for row in rows]
    parts.append(_folded(f"{one.name_of(layer, head)} as a table", html_table(caption, header, cells, _right(rows))))
    for each in views:
        caption, header, rows = entropy_rows(each)
        cells = [[escape(cell) for cell in row] for row in rows]
        parts.append(_folded(caption, html_table(caption, header, cells, _right(rows))))
    return f'<div class="course-attention-static">{"".join(parts)}</div>'


def static_text(views: list[MeasuredView], view: int, layer: int, head: int) -> str:
    """The same numbers as tables of text."""
    one = views[view]
    tables = [map_rows(one, layer, head), *(entropy_rows(each) for each in views)]
    return "\n\n".join(
        [
            f"Attention: {one.view.name}, {one.name_of(layer, head)}\n{explanation(one)}",
            *(text_table(caption, header, rows, _right(rows)) for caption, header, rows in tables),
        ]
    )


def explanation(one: MeasuredView) -> str:
    """How the map is read, in words."""
    view = one.view
    words = f"{len(view.layers)} layers of {view.heads} heads; rows are the tokens that look, columns those looked at. "
    if view.is_causal:
        words += "A token looks only at itself and back. "
    return (words + view.note).strip()


def map_rows(one: MeasuredView, layer: int, head: int) -> tuple[str, list[str], list[list[str]]]:
    """Caption, header and rows: all weights of a small map; of a large one each row's strongest looks."""
    view, weights = one.view, one.map_of(layer, head)
    queries, keys = [visible(token) for token in view.queries], [visible(token) for token in view.keys]
    name = one.name_of(layer, head)
    if max(weights.shape) <= WHOLE:
        rows = [
            [
                query,
                *("" if view.is_causal and column > row else f"≈{weight:.2f}" for column, weight in enumerate(line)),
            ]
            for row, (query, line) in enumerate(zip(queries, weights.tolist(), strict=True))
        ]
        return f"Weights of {name}", ["looks", *keys], rows
    rows = []
    for number, (query, line) in enumerate(zip(queries[:LISTED], weights, strict=False), start=1):
        best = line.topk(min(STRONGEST, len(keys)))
        looks = ", ".join(
            f"{keys[place]} ({place + 1}) ≈{weight:.2f}"
            for weight, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if weight > 0
        )
        rows.append([str(number), query, looks])
    part = f", the first {LISTED} of {len(queries)} tokens" if len(queries) > LISTED else ""
    return f"Where each token looks most, {name}{part}", ["place", "looks", "at (place, weight)"], rows


def entropy_rows(one: MeasuredView) -> tuple[str, list[str], list[list[str]]]:
    """Caption, header and rows: the entropy of each head, average and rollout."""
    widest = widest_entropy(one.view)
    caption = f"Entropy in bits, {one.view.name} (0: at one token; {widest:.2f}: at all alike)"
    rows = [
        [layer, *(f"≈{bits:.2f}" for bits in line)]
        for layer, line in zip(one.view.layers, one.entropies.tolist(), strict=True)
    ]
    heads = [f"head {column}" if column.isdigit() else column for column in one.columns]
    return caption, ["layer", *heads], rows


def coloured(
    weights: Float[Tensor, "rows columns"], hidden: Bool[Tensor, "rows columns"] | None = None
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Weights in cividis; what is hidden (a causal model's future) in light grey, which stands for no weight."""
    colours = CIVIDIS(weights.numpy(), bytes=True)[..., :3].copy()
    if hidden is not None:
        colours[hidden.numpy()] = 236
    return colours


def _picture_of_all(one: MeasuredView) -> str:
    """All thumbnails side by side, as one picture."""
    small = one.small_maps().float() / 255  # [layer, column, rows, columns]
    layers, columns, height, width = small.shape
    future = _future(one, height, width)
    gap = 2
    sheet = np.full((layers * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for layer in range(layers):
        for column in range(columns):
            top, left = layer * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = coloured(small[layer, column], future)
    scale = max(1, round(36 / max(height, width)))
    words = (
        f"Overview of {one.view.name}: {layers} rows of layers, {columns} columns: heads 1 to {one.view.heads}, then "
        f"{' and '.join(one.columns[one.view.heads :])}; bright is a large weight. The table of entropies below has "
        "the numbers."
    )
    return (
        f'<p><img alt="{escape(words)}" src="{_address(sheet)}" width="{scale * sheet.shape[1]}" '
        f'height="{scale * sheet.shape[0]}" style="image-rendering:pixelated;max-width:100%;height:auto"/></p>'
    )


def _future(one: MeasuredView, height: int, width: int) -> Tensor | None:
    """The cells of a causal thumbnail that hold no weight that may be larger than 0."""
    return torch.ones(height, width, dtype=torch.bool).triu(1) if one.view.is_causal else None


def _picture_of_one(one: MeasuredView, layer: int, head: int) -> str:
    """The chosen map as SVG: a picture of its weights, and the tokens beside it if there are few."""
    view, weights = one.view, one.map_of(layer, head)
    rows, columns = weights.shape
    named = max(rows, columns) <= WHOLE
    cell = CELL if named else max(1, 480 // max(rows, columns))
    queries, keys = ([visible(token) for token in tokens] if named else [] for tokens in (view.queries, view.keys))
    left, top = (8 * max(map(len, texts), default=1) + 8 for texts in (queries, keys))
    width, height = left + cell * columns + 4, top + cell * rows + 4
    label = f"Heat map of {one.name_of(layer, head)}, {rows} by {columns} tokens; the table below has the numbers."
    text = 'fill="currentColor" font-family="ui-monospace, monospace" font-size="12"'
    parts = [
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" style="max-width:100%;height:auto">',
        f'<image href="{_address(coloured(weights, _future(one, rows, columns)))}" x="{left}" y="{top}" '
        f'width="{cell * columns}" height="{cell * rows}" preserveAspectRatio="none" '
        'style="image-rendering:pixelated"/>',
    ]
    for row, token in enumerate(queries):
        place = f'x="{left - 6}" y="{top + cell * row + cell * 0.7:.1f}" text-anchor="end"'
        parts.append(f"<text {place} {text}>{escape(token)}</text>")
    for column, token in enumerate(keys):
        across, down = left + cell * column + cell * 0.7, top - 6
        parts.append(f'<text transform="translate({across:.1f} {down}) rotate(-90)" {text}>{escape(token)}</text>')
    return "".join([*parts, "</svg>"])


def _address(pixels: UInt8[np.ndarray, "height width 3"]) -> str:
    return "data:image/png;base64," + b64encode(png(pixels)).decode()


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _right(rows: list[list[str]]) -> list[bool]:
    """Numbers stand to the right, words to the left."""
    return [
        all(cell[:1] in ("≈", "") for cell in column) or all(cell.isdigit() for cell in column)
        for column in zip(*rows, strict=True)
    ]
