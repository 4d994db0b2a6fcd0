"""What does the library really do? Its own source, shown in the lesson, so that text and code cannot drift."""

import inspect
from html import escape
from textwrap import dedent
from typing import Any

from course_lib.lesson.display import show_html


def show_source(subject: Any) -> None:
    """Show the source of a function, method, class or module, with its dotted name above it.

    Raises TypeError for anything without Python source: instances, built-in functions, compiled modules.
    """
    text = source_of(subject)
    name = _dotted_name(subject)
    show_html(_highlight(name, text), f"# {name}\n{text}")


def source_of(subject: Any) -> str:
    """The dedented source of `subject`; TypeError if it has none."""
    is_code = inspect.isroutine(subject) or inspect.isclass(subject) or inspect.ismodule(subject)
    if not is_code:
        raise TypeError(
            f"source() shows functions, methods, classes and modules, got an instance of {type(subject).__name__}; "
            f"for its class write source(type(...))"
        )
    try:
        return dedent(inspect.getsource(subject)).rstrip() + "\n"
    except (TypeError, OSError):
        raise TypeError(f"{_dotted_name(subject)} has no Python source: it is built in or compiled") from None


def _dotted_name(subject: Any) -> str:
    if inspect.ismodule(subject):
        return subject.__name__
    module = getattr(subject, "__module__", None) or "builtins"
    name = getattr(subject, "__qualname__", None) or repr(subject)
    return name if module == "__main__" else f"{module}.{name}"


def _highlight(name: str, text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    # The colours and their light ground come along, so the listing reads the same on a dark page.
    panel = (
        "background:#f8f8f8;color:#1f2328;padding:8px;border-radius:4px;white-space:pre;overflow-x:auto;"
        "font-family:ui-monospace,Menlo,Consolas,monospace"
    )
    formatter = HtmlFormatter(noclasses=True, style="default", nobackground=True, prestyles=panel)
    return f"<p><code>{escape(name)}</code></p>" + highlight(text, PythonLexer(), formatter)
