"""Trained models at hand: those that come with the course, and the same call for others.

    from course_lib import zoo
    model, tokenizer = zoo.load("pydoc-gpt")
    print(zoo.card("pydoc-gpt").text())

Importing this package loads no torch; `load` does. Recipes, by which anyone can train the models anew, are run by
`course zoo train`.
"""

from typing import TYPE_CHECKING, Any

from course_lib.zoo.cards import Card, DamagedCheckpoint, ZooError, card, names, verify

if TYPE_CHECKING:
    from course_lib.zoo.loading import load

__all__ = ["Card", "DamagedCheckpoint", "ZooError", "card", "load", "names", "verify"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from course_lib.zoo.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
