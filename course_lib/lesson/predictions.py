"""What do you expect? A guess before the run, and beside the result after it."""

from collections.abc import Sequence
from html import escape
from typing import Any

from course_lib import progress
from course_lib.lesson.display import show_html
from course_lib.lesson.numbers import plain_number, written


class Prediction:
    """A question, and the learner's guess once it is locked. Made by `Course.predict`.

    lesson: the notebook's name, under which a guess that was compared counts in the learner's progress.
    """

    def __init__(self, question: str, options: Sequence[str] | None, live: bool, lesson: str = "") -> None:
        if not question.strip():
            raise ValueError("predict() needs a question")
        if options is not None and len(set(map(str, options))) < max(2, len(options)):
            raise ValueError(f"predict() needs at least two different options, got {list(options)!r}")
        self.question = question
        self.options = None if options is None else [str(option) for option in options]
        self.guess: str | None = None
        self.lesson = lesson
        self._live = live
        self._counted = False

    @property
    def locked(self) -> bool:
        """Whether the learner has made the guess final."""
        return self.guess is not None

    def ask(self) -> None:
        """Show the question: with widgets in a live notebook, as text in a batch."""
        if self._live:
            self._ask_with_widgets()
            return
        html = f"<p><strong>Predict:</strong> {escape(self.question)}</p>"
        text = f"Predict: {self.question}"
        if self.options:
            html += "<ul>" + "".join(f"<li>{escape(option)}</li>" for option in self.options) + "</ul>"
            text += "".join(f"\n  - {option}" for option in self.options)
        show_html(html, text)

    def compare(self, measured: Any) -> None:
        """Show the guess beside the result. Floats are measured and printed with ≈; give text for other formats."""
        result = written(measured)
        if self.guess is not None:
            guess = f"Your guess: {self.guess}."
        elif self._live:
            guess = "No guess was locked."
        else:
            guess = "No guess (batch run)."
        self._count(plain_number(measured))
        text = f"{guess} Measured: {result}."
        show_html(f"<p><em>{escape(text)}</em></p>", text)

    def _count(self, measured: Any) -> None:
        """Note a locked guess in the learner's progress, once. It is right or wrong if the result is an option."""
        if self.guess is None or self._counted:
            return
        right = self.guess == str(measured) if self.options and str(measured) in self.options else None
        progress.note(
            "prediction", self.lesson, question=self.question, guess=self.guess, measured=str(measured), right=right
        )
        self._counted = True

    def _ask_with_widgets(self) -> None:
        import ipywidgets
        from IPython.display import display

        question = ipywidgets.HTML(f"<strong>Predict:</strong> {escape(self.question)}")
        field: Any
        if self.options:
            field = ipywidgets.RadioButtons(
                options=self.options, value=None, description="Your guess:", layout={"width": "max-content"}
            )
        else:
            field = ipywidgets.Text(placeholder="a number, such as 0.5", description="Your guess:")
        button = ipywidgets.Button(
            description="Lock my guess", tooltip="Make the guess final before you run the next cell"
        )
        status = ipywidgets.HTML()

        def say(message: str) -> None:
            status.value = f'<span role="status">{escape(message)}</span>'

        def lock(_: Any) -> None:
            answer = "" if field.value is None else str(field.value).strip()
            if not answer:
                say("Choose an answer first." if self.options else "Type a number first.")
                return
            if not self.options and not _is_number(answer):
                say(f"{answer!r} is not a number; type one such as 0.5 or 120.")
                return
            self.guess = answer
            field.disabled = button.disabled = True
            say(f"Locked: {answer}. Now run the next cell.")

        button.on_click(lock)
        self.widgets = {"field": field, "button": button, "status": status}
        display(ipywidgets.VBox([question, field, button, status]))

    def _ipython_display_(self) -> None:
        """Show nothing more: `course.predict(...)` at the end of a cell has been drawn already."""

    def __repr__(self) -> str:
        return f"Prediction({self.question!r}, guess={self.guess!r})"


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").removesuffix("%").strip())
    except ValueError:
        return False
    return True
