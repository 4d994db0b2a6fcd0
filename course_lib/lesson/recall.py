"""What do you remember of the notebooks before? The learner answers from memory, and notes which answers were known."""

from html import escape
from typing import Any

from course_lib import progress
from course_lib.lesson.course import check_notebook_name
from course_lib.lesson.display import is_live, show_html

KNEW, NOT_YET = "I knew it", "not yet"


class Recall:
    """The rows of buttons under a notebook's retrieval questions. Made by `recall`."""

    def __init__(self, lesson: str, questions: int) -> None:
        self.lesson = lesson
        self.rows: list[dict[str, Any]] = []
        self._questions = questions

    def ask(self) -> None:
        """Show a row for each question: its number, two buttons, and what was noted."""
        import ipywidgets
        from IPython.display import display

        latest = {
            event.payload.get("question"): event.payload.get("known")
            for event in progress.events()
            if event.kind == "recall" and event.subject == self.lesson
        }
        self.rows = [self._row(number, latest.get(str(number))) for number in range(1, self._questions + 1)]
        display(ipywidgets.VBox([ipywidgets.HBox(list(row.values())) for row in self.rows]))

    def _row(self, number: int, last_time: Any) -> dict[str, Any]:
        import ipywidgets

        question = f"Question {number}"
        status = ipywidgets.HTML(_status("" if last_time is None else f"last time: {_word(last_time)}"))
        buttons = [
            # A screen reader meets the buttons one by one: each names its question.
            ipywidgets.Button(description=word, tooltip=f"{question}: {word}", layout={"width": "8em"})
            for word in (KNEW, NOT_YET)
        ]

        def note(known: bool) -> None:
            progress.note("recall", self.lesson, question=str(number), known=known)
            status.value = _status(f"noted: {_word(known)}")

        for button, known in zip(buttons, (True, False), strict=True):
            button.on_click(lambda _, known=known: note(known))
        label = ipywidgets.Label(question, layout={"width": "6em"})
        return {"label": label, "knew": buttons[0], "not_yet": buttons[1], "status": status}

    def _ipython_display_(self) -> None:
        """Show nothing more: the rows have been drawn already."""

    def __repr__(self) -> str:
        return f"Recall({self.lesson!r}, questions={self._questions})"


def recall(lesson: str, questions: int = 3) -> Recall:
    """Under a notebook's retrieval questions: note for each whether you knew the answer before you unfolded it.

    The latest answers count in your progress, and are shown again next time. In a batch, one line stands for the
    buttons. Raises ValueError for an unknown notebook, or no question.
    """
    check_notebook_name(lesson)
    if questions < 1:
        raise ValueError(f"recall() needs at least one question, got questions={questions}")
    asked = Recall(lesson, questions)
    if is_live():
        asked.ask()
    else:
        many = "1 question" if questions == 1 else f"{questions} questions"
        text = f"{many} to answer from memory. Live, two buttons beside each note whether you knew it."
        show_html(f"<p>{escape(text)}</p>", text)
    return asked


def _word(known: Any) -> str:
    return f"✓ {KNEW}" if known is True else f"… {NOT_YET}"


def _status(text: str) -> str:
    return f'<span role="status">{escape(text)}</span>'
