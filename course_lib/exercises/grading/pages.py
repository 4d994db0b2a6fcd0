"""How do pages for a class come about? From templates beside this module, each one file that loads nothing."""

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

SYMBOLS = {"good": "✓", "bad": "✗", "careful": "!", "quiet": "–"}


def render(template: str, **content: Any) -> str:
    """Fill a template; all that is filled in is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    import course_lib.batch

    here, batch = Path(__file__).parent, Path(course_lib.batch.__file__).parent
    environment = Environment(
        loader=FileSystemLoader([here, batch]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["prose"] = prose
    styles = [folder / name for folder, name in ((batch, "page.css"), (here, "class.css"))]
    css = Markup("".join(style.read_text(encoding="utf-8") for style in styles))
    return environment.get_template(template).render(css=css, **content)


def prose(text: str) -> Markup:
    """Text with what stands between backticks as code, and its first letter large."""
    text = text[:1].upper() + text[1:]
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def badge(tone: str, word: str) -> dict[str, str]:
    """A mark that says the same by its sign, its word and its colour."""
    return {"tone": tone, "symbol": SYMBOLS[tone], "word": word}


def points_tone(points: int, of: int) -> str:
    """Good for all points, bad for none."""
    return "good" if points == of else "careful" if points else "bad"
