"""What can be looked at and tried by hand? Widgets for notebooks 02, 03, 04 and the playground (15).

    from course_lib.widgets import AttentionExplorer
    AttentionExplorer(model, tokenizer, "The pen is in the box.")

Each works offline, with the keyboard, in light and dark themes, and leaves a static twin where no kernel answers: in
batch runs, on GitHub and in exported pages.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.widgets.alignment_stepper import AlignmentStepper
    from course_lib.widgets.attention_explorer import AttentionExplorer
    from course_lib.widgets.chat_box import ChatBox
    from course_lib.widgets.temperature_lab import TemperatureLab

__all__ = ["AlignmentStepper", "AttentionExplorer", "ChatBox", "TemperatureLab"]

_MODULES = {
    "AlignmentStepper": "alignment_stepper",
    "AttentionExplorer": "attention_explorer",
    "ChatBox": "chat_box",
    "TemperatureLab": "temperature_lab",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"course_lib.widgets.{_MODULES[name]}"), name)
