"""What does each profile change? The three columns of settings, side by side."""

from collections.abc import Mapping
from dataclasses import make_dataclass
from html import escape
from typing import Any

from course_lib.lesson.display import html_table, show_html, text_table
from course_lib.lesson.suggestions import unknown_name

PROFILES = ("smoke", "cpu", "gpu")


def choose_settings(profile: str, choices: Mapping[str, Any], overrides: Mapping[str, Any]) -> Any:
    """Show all three columns, and return the one of `profile` as a frozen object: `settings.hidden_size`.

    `overrides` are values that the notebook's parameters give; None means "the profile's value".
    Raises ValueError for a setting without three values, and for an override of a setting that does not exist.
    """
    if not choices:
        raise ValueError("settings() needs at least one setting, such as hidden_size=(32, 128, 512)")
    for name, values in choices.items():
        if not isinstance(values, tuple) or len(values) != len(PROFILES):
            raise ValueError(
                f"{name} must have three values, (smoke, cpu, gpu), got {values!r}; "
                f"for a value that is the same in every profile use a plain variable"
            )
    for name in overrides:
        if name not in choices:
            raise unknown_name("override", name, choices)
    given = {name: value for name, value in overrides.items() if value is not None}
    column = PROFILES.index(profile)
    chosen = {name: given.get(name, values[column]) for name, values in choices.items()}
    _show(profile, column, choices, given)
    return make_dataclass("Settings", chosen, frozen=True)(**chosen)


def _show(profile: str, column: int, choices: Mapping[str, tuple[Any, Any, Any]], given: Mapping[str, Any]) -> None:
    header = ["setting", *PROFILES]
    header[column + 1] = f"{profile} (chosen)"
    rows = []
    for name, values in choices.items():
        cells = [_written(value) for value in values]
        if name in given:
            cells[column] = f"{_written(given[name])} (given)"
        rows.append([name, *cells])
    right = [False, True, True, True]
    html_rows = [
        [f"<strong>{escape(cell)}</strong>" if i == column + 1 else escape(cell) for i, cell in enumerate(row)]
        for row in rows
    ]
    caption = f"Settings by profile; this run: {profile}"
    show_html(html_table(caption, header, html_rows, right), text_table(caption, header, rows, right))


def _written(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
