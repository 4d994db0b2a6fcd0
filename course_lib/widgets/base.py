"""What have the course's widgets in common? One look, a static twin, and an answer to what the page asks."""

from pathlib import Path
from typing import Any

import anywidget

from course_lib.lesson.display import is_live

FOLDER = Path(__file__).parent


def script(*names: str) -> str:
    """One ES module from files beside this one, shared.js first: pages load no other file."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in ("shared.js", *names))


def style(*names: str) -> str:
    """One style sheet from files beside this one, theme.css first."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in ("theme.css", *names))


class CourseWidget(anywidget.AnyWidget):
    """A widget that has a static twin and answers what its page asks.

    Subclasses set `_esm = script("NAME.js")` and `_css = style("NAME.css")`, and write `static_html()`, the twin with
    all numbers in a table, and `static_text()`, for terminals and diffs. What the page asks by `ask(model, "head",
    {…})` is answered by the method `on_head(**content)`: a dict, and a list of bytes. A ValueError is shown to the
    reader.
    """

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._answer)

    def static_html(self) -> str:
        """The widget's twin without a kernel: HTML or SVG, everything in it escaped."""
        raise NotImplementedError

    def static_text(self) -> str:
        """The widget's twin in plain text."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **_: Any) -> Any:
        """In a batch the twin alone; live also the widget, which a page prefers for as long as its kernel is there."""
        twin = {"text/plain": self.static_text(), "text/html": self.static_html()}
        if not is_live():
            return twin, {}
        live = super()._repr_mimebundle_()
        bundle, metadata = live if isinstance(live, tuple) else (live or {}, {})
        return {**bundle, **twin}, metadata

    def _answer(self, _: Any, content: Any, buffers: list[memoryview]) -> None:
        """Every question gets one answer with its number, so that the page notices when the kernel is gone."""
        if not isinstance(content, dict) or "ask" not in content:
            return
        number, name = content.get("number"), str(content["ask"])
        asked = content.get("content") or {}
        try:
            method = getattr(self, f"on_{name}", None) if name.isidentifier() else None
            if method is None or name == "msg":
                raise ValueError(f"this widget answers no question {name!r}")
            reply, parts = method(**asked)
        except (ValueError, TypeError) as error:
            self.send({"answer": number, "error": str(error)})
        except Exception as error:  # the page must not wait for an answer that never comes
            self.send({"answer": number, "error": f"{type(error).__name__}: {error}"})
        else:
            self.send({"answer": number, "content": reply}, buffers=list(parts))
