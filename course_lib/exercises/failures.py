"""How does a check say what went wrong? One exception, with the smallest example that shows it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class PropertyFailed(Exception):  # noqa: N818 - it reads as what happened
    """A property does not hold for a learner's answer. Raised by `course_lib.exercises.properties`.

    failed: the property, in words ("the weights of each row sum to 1"). found: what was measured instead.
    example: the arguments that show it, by name, the smallest ones that do. answer: what the answer gave for them.
    mistake: the key of a known mistake, if the wrong answer was recognised; its hint stands in the exercise's card.
    """

    failed: str
    found: str
    example: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    mistake: str | None = None

    def __str__(self) -> str:
        return f"{self.failed}: {self.found}"


@dataclass
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
        return f"your code raised {self.kind}: {self.error}"
