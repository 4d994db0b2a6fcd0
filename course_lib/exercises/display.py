"""How is a result told? As a panel that says the same with colours, without them, and to a screen reader.

The text never depends on the clock or the machine's speed, so that a page with panels can be compared.
"""

import re
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from course_lib.exercises.catalogue import HINT_STEPS, Exercise
from course_lib.exercises.checking import CheckResult, Report
from course_lib.exercises.values import shown, side_by_side

EXERCISE_MIME = "application/vnd.course.exercise+json"
SCHEMA = 1
LONGEST_TEXT = 1000
Tone = Literal["good", "bad", "neutral"]
MARKS: dict[str, tuple[str, str, Tone]] = {
    "passed": ("✓", "holds", "good"),
    "failed": ("✗", "fails", "bad"),
    "raised": ("✗", "raises an error", "bad"),
    "missing": ("–", "not defined yet", "neutral"),
    "unwritten": ("–", "not written yet", "neutral"),
}
LABELS = {"failed": "Does not hold", "raised": "Error", "missing": "Missing"}
# Dark enough on white and light enough on black, for a rule at the panel's edge; text keeps the page's own colour.
EDGES: dict[Tone, str] = {"good": "#2e9d5b", "bad": "#e04b4b", "neutral": "#8a8f98"}


@dataclass(frozen=True)
class HelpUsed:
    """How much help a learner has taken for an exercise: hints from 0 to 3, and the names of the easier steps."""

    hints: int = 0
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of the panel as text. style: of rich, for terminals with colours."""

    text: str
    style: str = ""


def exercise_data(report: Report, only: str | None, help_used: HelpUsed) -> dict[str, Any]:
    """What a grader reads of a panel, as JSON."""
    return {
        "schema": SCHEMA,
        "exercise": report.exercise.id,
        "check": only,
        "passed": report.passed,
        "results": [
            {"name": result.name, "verdict": result.verdict, "mistake": result.mistake} for result in report.results
        ],
        "hints_used": help_used.hints,
        "steps_used": list(help_used.steps),
    }


def panel(report: Report, only: str | None, help_used: HelpUsed) -> dict[str, Any]:
    """The mime bundle of a report: HTML, plain text, and data for the grader."""
    return {
        "text/html": panel_html(report, help_used, only),
        "text/plain": "\n".join(line.text for line in panel_lines(report, help_used, only)),
        EXERCISE_MIME: exercise_data(report, only, help_used),
    }


def headline(report: Report) -> str:
    """`02.1 A softmax that knows padding`"""
    return f"{report.exercise.id} {report.exercise.title}"


def tally(report: Report) -> str:
    """`1 of 2 properties hold`, or that there is nothing to judge yet."""
    failure = first_failure(report)
    if failure is not None and failure.verdict in ("missing", "unwritten"):
        return MARKS[failure.verdict][1]
    held = sum(result.passed for result in report.results)
    if len(report.results) == 1:
        return "the property holds" if held else "the property does not hold"
    return f"{held} of {len(report.results)} properties hold"


def tone_of(report: Report) -> Tone:
    """Good if all holds, neutral if there is nothing to judge yet."""
    failure = first_failure(report)
    return "good" if failure is None else MARKS[failure.verdict][2]


def first_failure(report: Report) -> CheckResult | None:
    """The first result that did not pass: the one that is told in full."""
    return next((result for result in report.results if not result.passed), None)


def told(text: str) -> str:
    """What the learner's code said: at most `LONGEST_TEXT` signs, and none that would move a terminal's cursor."""
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]} … ({len(text)} characters)"
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def advice(report: Report, help_used: HelpUsed, only: str | None = None, notebook: str | None = None) -> list[str]:
    """What to do next, and what help is left.

    only: the check that was asked for by name. notebook: where the answer is, if not asked from a cell of it.
    """
    exercise, failure = report.exercise, first_failure(report)
    if failure is None and only is not None:
        return []  # that one property holds says nothing of the others
    if failure is None:
        place = f"exercises/{exercise.lesson}/solutions/{exercise.name}.ipynb"
        return [f"Well done. Compare with one way to write it: `{place}`.", *_help_taken(help_used)]
    next_steps = [next_hint(exercise, help_used, f"course exercise hint {exercise.id}" if notebook else None)]
    if notebook is not None:
        if failure.verdict == "unwritten":
            return [f"Write your answer where it says `YOUR CODE HERE` in `{notebook}`, and save it.", *next_steps]
        return [f"Change your answer in `{notebook}`, save it, then check again.", *next_steps]
    if failure.verdict == "unwritten":
        easier = f'Easier to begin with: `step("{exercise.id}", "order")` gives you the lines to put in order.'
        write = "Write your answer in the cell above that says `YOUR CODE HERE`, run it, then run this cell again."
        return [write, easier, *next_steps]
    if failure.verdict == "missing":
        return next_steps
    return ["Change your answer, run its cell, then run this one again.", *next_steps]


def next_hint(exercise: Exercise, help_used: HelpUsed, command: str | None = None) -> str:
    """`Hints used: 1 of 3. hint("02.1") gives an outline.` command: what to call instead."""
    used = min(help_used.hints, len(HINT_STEPS))
    call = f"`{command}`" if command else f'`hint("{exercise.id}")`'
    if used == len(HINT_STEPS):
        return f"Hints used: all {used}. {call} shows them again."
    article = {"nudge": "a nudge", "outline": "an outline", "code": "the code"}[HINT_STEPS[used]]
    return f"Hints used: {used} of {len(HINT_STEPS)}. {call} gives {article}."


def panel_lines(
    report: Report, help_used: HelpUsed, only: str | None = None, notebook: str | None = None
) -> list[Line]:
    """The panel as lines of text with styles for a terminal. only, notebook: see `advice`."""
    symbol = {"good": "✓", "bad": "✗", "neutral": "–"}[tone_of(report)]
    style = {"good": "bold green", "bad": "bold red", "neutral": "bold"}
    lines = [Line(f"{symbol} {headline(report)}: {tally(report)}", style[tone_of(report)])]
    width = max(len(MARKS[result.verdict][1]) for result in report.results)
    for result in report.results:
        mark, word, tone = MARKS[result.verdict]
        colour = {"good": "green", "bad": "red", "neutral": ""}[tone]
        lines.append(Line(f"  {mark} {word.ljust(width)}  {result.title}", colour))
    failure = first_failure(report)
    if failure is not None and failure.verdict != "unwritten":
        lines += [Line(""), Line(f"{LABELS[failure.verdict]}: {told(failure.found)}")]
        if hint := report.hint_for(failure):
            lines.append(Line(f"What this looks like: {' '.join(hint.split())}", "bold"))
        if failure.where:
            lines += [Line("In your code:"), *(Line(f"    {line}") for line in told(failure.where).splitlines())]
        if failure.example:
            lines.append(Line("The smallest example that shows it:"))
            for name, value in failure.example.items():
                lines += [Line(f"    {line}") for line in side_by_side(name, value)]
        if _gave_something(failure):
            lines.append(Line("Your code gave:"))
            lines += [Line(f"    {line}") for line in side_by_side("", failure.answer)]
    if sentences := advice(report, help_used, only, notebook):
        lines += [Line(""), *(Line(text.replace("`", ""), "dim") for text in sentences)]
    return lines


def panel_html(report: Report, help_used: HelpUsed, only: str | None = None) -> str:
    """The panel as HTML. All that comes from the learner or a card is escaped."""
    from course_lib.lesson.display import badge

    tone = tone_of(report)
    rows = "".join(_row(result, badge) for result in report.results)
    parts = [
        f'<p style="margin:0 0 .5em;font-size:1.1em"><strong>{_prose(headline(report))}</strong> '
        f"{badge(_tally_with_mark(report), tone)}</p>",
        f'<ul style="list-style:none;margin:0;padding:0">{rows}</ul>',
    ]
    failure = first_failure(report)
    if failure is not None and failure.verdict != "unwritten":
        parts.append(_failure_html(report, failure))
    if sentences := advice(report, help_used, only):
        parts.append(f'<p style="margin:.8em 0 0;opacity:.85">{"<br>".join(map(_prose, sentences))}</p>')
    style = f"border-left:4px solid {EDGES[tone]};padding:.4em 0 .4em 1em;margin:.4em 0;max-width:54em;line-height:1.5"
    label = escape(f"Check of exercise {headline(report)}: {tally(report)}", quote=True)
    return f'<div role="group" aria-label="{label}" style="{style}">{"".join(parts)}</div>'


def _tally_with_mark(report: Report) -> str:
    return f"{ {'good': '✓', 'bad': '✗', 'neutral': '–'}[tone_of(report)] } {tally(report)}"


def _row(result: CheckResult, badge: Any) -> str:
    mark, word, tone = MARKS[result.verdict]
    return f'<li style="margin:.2em 0">{badge(f"{mark} {word}", tone)} {_prose(result.title)}</li>'


def _failure_html(report: Report, failure: CheckResult) -> str:
    parts = [
        f'<p style="margin:.8em 0 0"><strong>{LABELS[failure.verdict]}:</strong> {_prose(told(failure.found))}</p>'
    ]
    if hint := report.hint_for(failure):
        parts.append(f'<p style="margin:.5em 0 0"><strong>What this looks like:</strong> {_prose(hint)}</p>')
    if failure.where:
        parts.append(f'<p style="margin:.5em 0 .2em"><strong>In your code</strong></p>{_block(told(failure.where))}')
    if failure.example:
        parts.append('<p style="margin:.5em 0 .2em"><strong>The smallest example that shows it</strong></p>')
        parts.append(_example_table(failure))
    return "".join(parts)


def _gave_something(failure: CheckResult) -> bool:
    return failure.verdict == "failed" and bool(failure.example)


def _example_table(failure: CheckResult) -> str:
    """The arguments, and under a rule what the answer gave for them."""
    rows = [
        _value_row(f'<span style="{_MONO}">{escape(name)}</span>', value, "") for name, value in failure.example.items()
    ]
    if _gave_something(failure):
        rows.append(_value_row("your code gave", failure.answer, "border-top:1px solid rgba(128,128,128,.6);"))
    table = f"{_BOX};border-collapse:separate;border-spacing:0;font-size:inherit;display:inline-block"
    return f'<table style="{table}"><tbody style="background:none">{"".join(rows)}</tbody></table>'


def _value_row(name: str, value: Any, rule: str) -> str:
    cell = f"text-align:left;vertical-align:top;padding:.2em 1.2em .2em 0;border:0;background:none;{rule}"
    it = shown(value)
    text = f'<pre style="{_MONO};margin:0;padding:0;background:none;color:inherit">{escape(it.text)}</pre>'
    kind = f'<span style="opacity:.85">{escape(it.kind)}</span>'
    cells = f'<td style="{cell}">{kind}</td><td style="{cell}">{text if it.text else ""}</td>'
    return f'<tr style="background:none"><th scope="row" style="{cell}font-weight:normal">{name}</th>{cells}</tr>'


# Said here, since JupyterLab gives a table's own font to what is in it, and columns of numbers would not line up.
_MONO = "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:.93em;white-space:pre"
_BOX = "margin:0;padding:.3em .8em;background:rgba(128,128,128,.12);border-radius:4px;border:0"


def _block(text: str) -> str:
    return f'<pre style="{_MONO};{_BOX};color:inherit;overflow-x:auto">{escape(text)}</pre>'


def _prose(text: str) -> str:
    """A sentence as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _help_taken(help_used: HelpUsed) -> list[str]:
    taken = [f"{help_used.hints} of {len(HINT_STEPS)} hints"] if help_used.hints else []
    taken += [f"the step {step!r}" for step in help_used.steps]
    return [f"With help: {', '.join(taken)}."] if taken else []
