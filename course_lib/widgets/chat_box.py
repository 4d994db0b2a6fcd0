"""What did the model really read before it answered? A plain chat that shows each prompt and what it cost."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import traitlets

from course_lib.generation.turns import Counter, PromptBuilder, Reply, Turn, plain_prompt, take_turn
from course_lib.lesson.display import html_table
from course_lib.lesson.numbers import seconds
from course_lib.widgets.base import CourseWidget, script, style
from course_lib.widgets.token_text import HIDDEN_CATEGORIES, JOINER

LONGEST_ON_PAPER = 2_000  # characters of one text in the static twin
BOX = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;margin:2px 0"


class ChatBox(CourseWidget):
    """A chat: history, a field, and under each turn the true prompt, its length and the seconds it took.

        ChatBox(reply, prompt_builder, tokenizer=tokenizer).replay(["What is a pen?"])

    reply: takes the prompt, returns the answer as text, or an iterator of its pieces, which are shown as they come.
    prompt_builder: makes the prompt of the turns so far (each has message and reply) and the new message.
    tokenizer: anything with encode(text), to count tokens; without one, words are counted.
    """

    _esm = script("chat_box.js")
    _css = style("chat_box.css")

    data = traitlets.Dict().tag(sync=True)

    def __init__(
        self, reply: Reply, prompt_builder: PromptBuilder = plain_prompt, *, tokenizer: Any = None, title: str = "Chat"
    ) -> None:
        for name, function in (("reply", reply), ("prompt_builder", prompt_builder)):
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {type(function).__name__}")
        self.reply, self.prompt_builder, self.count, self.title = reply, prompt_builder, Counter(tokenizer), title
        self.turns: tuple[Turn, ...] = ()
        super().__init__()
        self._keep(())

    def say(self, message: str) -> Turn:
        """Take one turn. Raises ValueError for an empty message."""
        turn = take_turn(
            self.turns,
            message,
            reply=self.reply,
            prompt_builder=self.prompt_builder,
            count=self.count,
            on_piece=lambda piece: self.send({"piece": readable(piece)}),
        )
        self._keep((*self.turns, turn))
        return turn

    def replay(self, messages: Sequence[str]) -> "ChatBox":
        """Forget all turns and take these, one after the other: a transcript for runs without a reader."""
        self.clear()
        for message in messages:
            self.say(message)
        return self

    def clear(self) -> None:
        """Forget all turns."""
        self._keep(())

    def on_say(self, message: str) -> tuple[dict[str, Any], list[bytes]]:
        self.send({"began": True})  # so that the page knows that the kernel is there, however long the reply takes
        self.say(message)
        return {}, []

    def on_clear(self) -> tuple[dict[str, Any], list[bytes]]:
        self.clear()
        return {}, []

    def _keep(self, turns: tuple[Turn, ...]) -> None:
        self.turns = turns
        shown = [
            asdict(turn)
            | {name: readable(getattr(turn, name)) for name in ("message", "prompt", "reply")}
            | {"took": seconds(turn.seconds)}
            for turn in turns
        ]
        self.data = {"title": self.title, "unit": self.count.unit, "turns": shown}

    def static_html(self) -> str:
        parts = [f"<section><p><strong>{escape(self.title)}</strong></p>"]
        for number, turn in enumerate(self.turns, start=1):
            parts.append(
                f'<p style="{BOX}"><strong>You:</strong> {_on_paper(turn.message)}</p>'
                f'<p style="{BOX}"><strong>Model:</strong> {_on_paper(turn.reply)}</p>'
                f"<details><summary>The prompt of turn {number}: {turn.prompt_length} {self.count.unit}</summary>"
                f'<pre style="{BOX}">{_on_paper(turn.prompt)}</pre></details>'
            )
        header = ["turn", f"prompt ({self.count.unit})", f"reply ({self.count.unit})", "time"]
        rows = [
            [str(number), str(turn.prompt_length), str(turn.reply_length), seconds(turn.seconds)]
            for number, turn in enumerate(self.turns, start=1)
        ]
        return "".join([*parts, html_table("What each turn cost", header, rows, [True] * 4), "</section>"])

    def static_text(self) -> str:
        lines = [f"{self.title} ({len(self.turns)} turns)"]
        for turn in self.turns:
            cost = f"prompt {turn.prompt_length} {self.count.unit}, reply {turn.reply_length}, {seconds(turn.seconds)}"
            lines += [f"You: {_cut(turn.message)}", f"Model: {_cut(turn.reply)}", f"  ({cost})"]
        return "\n".join(lines)


def readable(text: str) -> str:
    """The text, with signs that would hide or turn round what stands beside them made visible: ‹U+202E›."""
    return "".join(
        f"‹U+{ord(sign):04X}›"
        if unicodedata.category(sign) in HIDDEN_CATEGORIES and sign not in ("\n", "\t", JOINER)
        else sign
        for sign in text
    )


def _cut(text: str) -> str:
    more = len(text) - LONGEST_ON_PAPER
    return readable(text) if more <= 0 else f"{readable(text[:LONGEST_ON_PAPER])} … ({more:,} more characters)"


def _on_paper(text: str) -> str:
    return escape(_cut(text))
