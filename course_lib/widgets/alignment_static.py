"""What is left of the alignment stepper on paper? The alignment as a heat map, and each step's weights in a row."""

from html import escape

from course_lib.lesson.display import html_table, text_table
from course_lib.lesson.numbers import APPROXIMATELY
from course_lib.widgets.colours import CIVIDIS
from course_lib.widgets.decoding_steps import Decoding
from course_lib.widgets.token_text import visible

CELL, LEFT, TOP = 26, 130, 96  # pixels


def static_html(decoding: Decoding) -> str:
    """A heat map of the alignment, and a table of the steps."""
    rows = [[escape(cell) for cell in row] for row in _rows(decoding)]
    table = html_table("The weights of each step", _header(decoding), rows, _right(decoding))
    ground = "background:#fff;color:#000;padding:8px;display:inline-block;max-width:100%;overflow-x:auto"
    return (
        f'<figure style="margin:8px 0"><div style="{ground}">{heat_map(decoding)}</div>'
        f"<figcaption>{escape(_caption(decoding))} Rows: the words as they were written; columns: the source. "
        "Yellow is 1, dark blue 0.</figcaption></figure>"
        f'<div style="overflow-x:auto">{table}</div>'
    )


def static_text(decoding: Decoding) -> str:
    """The table of the steps."""
    return text_table(_caption(decoding), _header(decoding), _rows(decoding), _right(decoding))


def heat_map(decoding: Decoding) -> str:
    """The alignment as SVG: a row for each target word, a column for each source word."""
    width, height = LEFT + CELL * len(decoding.source) + 60, TOP + CELL * len(decoding.steps) + 8
    parts = []
    for column, word in enumerate(decoding.source):
        x, y = LEFT + CELL * column + 16, TOP - 6
        parts.append(f'<text x="{x}" y="{y}" transform="rotate(-50 {x} {y})">{_shown(word)}</text>')
    for row, step in enumerate(decoding.steps):
        y = TOP + CELL * row
        parts.append(f'<text x="{LEFT - 6}" y="{y + 17}" text-anchor="end">{_shown(step.word)}</text>')
        for column, weight in enumerate(step.weights):
            x = LEFT + CELL * column
            title = f"{_shown(step.word)} ← {_shown(decoding.source[column])}: {weight:.3f}"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{colour(weight)}">'
                f"<title>{title}</title></rect>"
            )
    label = escape(f"Heat map of the alignment: {_caption(decoding)}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="#000">{"".join(parts)}</svg>'
    )


def colour(weight: float) -> str:
    """The colour of a weight from 0 to 1."""
    place = min(max(weight, 0.0), 1.0) * (len(CIVIDIS) - 1)
    low = min(int(place), len(CIVIDIS) - 2)
    mixed = (a + (place - low) * (b - a) for a, b in zip(CIVIDIS[low], CIVIDIS[low + 1], strict=True))
    return "#" + "".join(f"{round(channel):02x}" for channel in mixed)


def _header(decoding: Decoding) -> list[str]:
    return ["step", "writes", "probability", *map(visible, decoding.source)]


def _right(decoding: Decoding) -> list[bool]:
    return [True, False, True, *(True for _ in decoding.source)]


def _rows(decoding: Decoding) -> list[list[str]]:
    """All numbers are measured: which word has the largest weight may differ elsewhere, so none is singled out."""
    return [
        [
            str(number),
            visible(step.word),
            *(f"{APPROXIMATELY}{value:.2f}" for value in (step.probability, *step.weights)),
        ]
        for number, step in enumerate(decoding.steps, start=1)
    ]


def _caption(decoding: Decoding) -> str:
    source, target = (
        " ".join(map(visible, words)) for words in (decoding.source, [step.word for step in decoding.steps])
    )
    end = "" if decoding.finished else " (cut off before its end)"
    return f"{source} → {target}{end}."


def _shown(word: str) -> str:
    return escape(visible(word, longest=14))
