"""How does a check say what went wrong? One exception, with the smallest example that shows it."""

import linecache
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal

LONGEST_TEXT = 500
SHOWN_LINES = 3


@dataclass(eq=False)
class PropertyFailed(Exception):  # noqa: N818 - it reads as what happened
    """A property does not hold for a learner's answer. Raised by `course_lib.exercises.properties`.

    failed: the property, in words ("the weights of each row sum to 1"). found: what was measured instead.
    example: what shows it, by name: the arguments of the smallest failing example, and what was done to them.
    answer: what the answer gave for them; a dict, by name, where two answers were compared.
    mistake: the key of a known mistake, if the wrong answer was recognised; its hint stands in the exercise's card.
    """

    failed: str
    found: str
    example: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    mistake: str | None = None

    def __str__(self) -> str:
        return f"{self.failed}: {self.found}"


@dataclass(eq=False)
class AnswerRaised(Exception):  # noqa: N818 - it reads as what happened
    """The learner's own function raised an error on an example, which is shown with it.

    error: the kind and text of their error. It is NotImplementedError where nothing has been written yet.
    where: the lines of the learner's own code that led to it, or "".
    """

    kind: str
    error: str
    example: dict[str, Any] = field(default_factory=dict)
    where: str = ""

    def __str__(self) -> str:
        return f"your code raised {self.kind}: {self.error}" if self.error else f"your code raised {self.kind}"


def answer_raised(error: BaseException, example: dict[str, Any] | None = None) -> AnswerRaised:
    """What to report for an error that the learner's code raised here, in this process."""
    return AnswerRaised(type(error).__name__, text_of(error), example or {}, own_lines(error.__traceback__))


def text_of(value: object, how: Literal["str", "repr"] = "str") -> str:
    """The text of anything, also where its own `str` raises; cut at 500 characters."""
    try:
        text = str(value) if how == "str" else repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"(its text cannot be shown: {type(error).__name__})"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"


def own_lines(traceback: TracebackType | None) -> str:
    """The lines of the learner's own code in a traceback, innermost last: at most three, one a line of text.

    Frames of libraries, of this package and of an exercise's checks are left out, and a line that calls itself
    appears once.
    """
    lines: list[str] = []
    while traceback is not None:
        if _is_learners(traceback.tb_frame):
            line = _line(traceback.tb_frame, traceback.tb_lineno)
            if line not in lines:
                lines.append(line)
        traceback = traceback.tb_next
    return "\n".join(lines[-SHOWN_LINES:])


def _line(frame: FrameType, number: int) -> str:
    code = frame.f_code
    place = "in the cell" if code.co_name == "<module>" else f"in {code.co_name}"
    text = linecache.getline(code.co_filename, number, frame.f_globals).strip()
    return f"{place}, line {number}: {text}" if text else f"{place}, line {number}"


def _is_learners(frame: FrameType) -> bool:
    if str(frame.f_globals.get("__name__", "")).startswith("course_checks_"):
        return False
    file = frame.f_code.co_filename
    if "site-packages" in file or "dist-packages" in file:
        return False
    return not file.startswith(_LIBRARIES) and not file.startswith("<frozen ")


_LIBRARIES = tuple(
    f"{folder}{separator}"
    for folder in {
        *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(sys.base_prefix) / "lib"),
        str(Path(__file__).resolve().parents[1]),
    }
    for separator in "/\\"
)
