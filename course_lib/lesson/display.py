"""How does a lesson show something, in a notebook and in a plain terminal alike?"""

import os
from collections.abc import Sequence
from html import escape
from typing import Any

from course_lib.lesson.suggestions import unknown_name

# White text on a dark ground of its own reads the same on a light and on a dark page.
BADGE_COLOURS = {"good": "#15703b", "bad": "#b91c1c", "neutral": "#4b5563"}


def in_notebook() -> bool:
    """Whether this code runs in a Jupyter kernel."""
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


def is_live() -> bool:
    """Whether a person is there to answer: in a kernel, unless COURSE_MODE says batch.

    Raises ValueError for a mode that is neither batch nor live.
    """
    mode = os.environ.get("COURSE_MODE", "")
    if mode not in ("", "batch", "live"):
        raise unknown_name("COURSE_MODE", mode, ["batch", "live"])
    return mode != "batch" and in_notebook()


def publish(bundle: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    """Show a mime bundle below the running cell; outside a notebook, print its text/plain twin."""
    if in_notebook():
        from IPython.display import display

        display(bundle, metadata=metadata, raw=True)
    else:
        print(bundle["text/plain"])


def show_html(html: str, text: str) -> None:
    """Show `html` with its plain-text twin, which terminals, diffs and screen readers without HTML get."""
    publish({"text/html": html, "text/plain": text})


def badge(text: str, kind: str) -> str:
    """A word on a coloured ground. The word carries the meaning, the colour only repeats it."""
    style = f"background:{BADGE_COLOURS[kind]};color:#fff;padding:1px 6px;border-radius:4px;white-space:nowrap"
    return f'<span style="{style}">{escape(text)}</span>'


def html_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """An HTML table with a caption and headers of rows and columns.

    `caption` and `header` are plain text, the cells of `rows` are HTML; `right` names the right-aligned columns.
    """
    aligned = [f' style="text-align:{"right" if to_the_right else "left"}"' for to_the_right in right]
    head = "".join(f'<th scope="col"{a}>{escape(name)}</th>' for name, a in zip(header, aligned, strict=True))
    body = []
    for row in rows:
        first, *rest = (f"{a}>{cell}" for cell, a in zip(row, aligned, strict=True))
        body.append(f'<tr><th scope="row"{first}</th>' + "".join(f"<td{cell}</td>" for cell in rest) + "</tr>")
    caption_style = "caption-side:top;text-align:left;font-weight:bold;color:inherit"
    return (
        f'<table><caption style="{caption_style}">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def text_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """The plain-text twin of `html_table`, with aligned columns."""
    # Measured numbers get one digit more or less on another machine; a column of at least this width does not move.
    roomy = 12
    widths = []
    for column, name in enumerate(header):
        cells = [row[column] for row in rows]
        measured = any(cell.startswith("≈") for cell in cells)
        exact = [len(cell) for cell in cells if not cell.startswith("≈")]
        widths.append(max(len(name), roomy if measured else 0, *exact, 0))
    lines = [caption] if caption else []
    for row in [header, *rows]:
        cells = [
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
