"""How are results laid out side by side?"""

from collections.abc import Collection, Mapping, Sequence
from html import escape
from numbers import Number
from typing import Any

from course_lib.lesson.display import html_table, show_html, text_table
from course_lib.lesson.numbers import about, plain_number
from course_lib.lesson.suggestions import unknown_name


def table(
    rows: Sequence[Mapping[str, Any]] | Sequence[Sequence[Any]],
    caption: str,
    columns: Sequence[str] | None = None,
    measured: Collection[str] = (),
    digits: int = 3,
) -> None:
    """Show rows as a table with a caption, and as aligned text where HTML is not shown.

    Rows are mappings (then `columns` chooses and orders, default: the keys of the first row) or sequences (then
    `columns` names them). Columns named in `measured` hold numbers of this machine and are printed with ≈; other
    numbers are exact, floats with `digits` significant digits. The first column is the header of its row.

    Raises ValueError for an empty caption, no rows, rows of different length, and unknown column names.
    """
    if not caption.strip():
        raise ValueError("a table needs a caption: one line that says what is compared")
    header, cells = _cells(rows, columns)
    for name in measured:
        if name not in header:
            raise unknown_name("measured column", name, header)
    numeric = [all(isinstance(row[i], Number) or row[i] is None for row in cells) for i in range(len(header))]
    texts = [
        [_written(value, name in measured, digits) for value, name in zip(row, header, strict=True)] for row in cells
    ]
    html = html_table(caption, header, [[escape(text) for text in row] for row in texts], numeric)
    show_html(html, text_table(caption, header, texts, numeric))


def _cells(rows: Sequence[Any], columns: Sequence[str] | None) -> tuple[list[str], list[list[Any]]]:
    if len(rows) == 0:
        raise ValueError("a table needs at least one row, got none")
    if isinstance(rows[0], Mapping):
        header = list(columns) if columns is not None else list(rows[0])
        for row in rows:
            for name in header:
                if name not in row:
                    raise unknown_name("column", name, row)
        cells = [[row[name] for name in header] for row in rows]
    else:
        if columns is None:
            raise ValueError("rows without names need `columns`, the list of column names")
        header = list(columns)
        cells = [list(row) for row in rows]
        for number, row in enumerate(cells):
            if len(row) != len(header):
                raise ValueError(f"row {number} has {len(row)} cells, but there are {len(header)} columns: {header}")
    return header, [[plain_number(value) for value in row] for row in cells]


def _written(value: Any, is_measured: bool, digits: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, Number):
        return str(value)
    if is_measured:
        return about(value, digits)
    return f"{value:,}" if isinstance(value, int) else about(value, digits).removeprefix("≈")
