"""Exercises that can fail their learner and help them: checks by property, hints, progress, building, grading.

In an exercise's notebook:

    from course_lib.exercises import check, hint, step
    check("02.1")

Importing this package loads no torch; the first of these names that is used does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.exercises.learner import CheckFailed, check, hint, step

__all__ = ["CheckFailed", "check", "hint", "step"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from course_lib.exercises import learner

        return getattr(learner, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
