"""How does the temperature laboratory look without a kernel? Bars as a drawing, every number in tables, the samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from course_lib.generation.sampling import Sampling
from course_lib.lesson.display import html_table, text_table
from course_lib.lesson.numbers import about
from course_lib.widgets.colours import CIVIDIS
from course_lib.widgets.next_token import LABELS, Step, View, described

COLOURS = {"A": "#0072b2", "B": "#d55e00"}
LINE, LABEL, BAR, NUMBER = 22, 150, 240, 110  # the sizes of the drawing, in pixels
NEVER_MEASURED = {"model", "repetition_penalty", "temperature", "top_k"}  # how many stay does not hang on roundings


@dataclass(frozen=True)
class Written:
    """One continuation: its tokens as they are shown, each one's probability by the model, and whether it ended."""

    texts: list[str]
    shares: list[float]
    finished: bool


@dataclass(frozen=True)
class Experiment:
    """What is shown: where the text stands, and the next token and the continuations under each setting."""

    end: str  # the last of the text, as it is shown
    length: int  # in tokens
    texts: Mapping[int, str]
    samplings: Mapping[str, Sampling]
    views: Mapping[str, View]
    written: Mapping[str, Sequence[Written]]
    seed: int


def as_html(experiment: Experiment) -> str:
    """A drawing and tables, with everything that comes from a text escaped."""
    parts = [
        f"<strong>{escape(_title(experiment))}</strong>",
        _bars(experiment),
        f"<details><summary>The bars as a table</summary>{html_table(*_rows_table(experiment, escape))}</details>",
        html_table(*_steps_table(experiment)),
        *(_samples_html(name, experiment) for name in experiment.written),
    ]
    spaced = "".join(f'<div style="margin:8px 0">{part}</div>' for part in parts)
    return f'<div class="temperature-lab-static">{spaced}</div>'


def as_text(experiment: Experiment) -> str:
    """The same in plain text."""
    parts = [
        _title(experiment),
        text_table(*_rows_table(experiment, str)),
        text_table(*_steps_table(experiment)),
    ]
    for name, samples in experiment.written.items():
        lines = [f"  {number}. {_joined(one)}" for number, one in enumerate(samples, start=1)]
        parts.append("\n".join([_samples_title(name, experiment), *lines]))
    return "\n\n".join(parts)


def ground(share: float) -> tuple[str, str]:
    """The colour of a probability, in ten steps, and the ink with more contrast on it, black or white."""
    red, green, blue = CIVIDIS[round(min(share, 1.0) * (len(CIVIDIS) - 1))]
    ink = "#000" if 0.299 * red + 0.587 * green + 0.114 * blue > 118 else "#fff"
    return f"rgb({red},{green},{blue})", ink


def percent(share: float) -> str:
    return f"{about(100 * share, 3)} %"


def _title(experiment: Experiment) -> str:
    unit = "token" if experiment.length == 1 else "tokens"
    return f"What comes next after “{experiment.end}” ({experiment.length:,} {unit})?"


def _after(experiment: Experiment, name: str, place: int) -> str:
    row = experiment.views[name].rows[place]
    return f"cut by {LABELS[row.cut_by]}" if row.cut_by else percent(row.after)


def _rows_table(
    experiment: Experiment, shown: Callable[[str], str]
) -> tuple[str, list[str], list[list[str]], list[bool]]:
    first = next(iter(experiment.views.values()))
    rows = [
        [
            shown(experiment.texts[row.token]),
            percent(row.before),
            *(_after(experiment, name, place) for name in experiment.views),
        ]
        for place, row in enumerate(first.rows)
    ]
    left = first.vocabulary - len(first.rows)
    if left:
        after = [percent(view.others[1]) for view in experiment.views.values()]
        rows.append([f"{left:,} others", percent(first.others[0]), *after])
    header = ["token", "model", *(f"{name}: {described(s)}" for name, s in experiment.samplings.items())]
    return f"The {len(first.rows)} likeliest next tokens", header, rows, [False] + [True] * (len(header) - 1)


def _steps_table(experiment: Experiment) -> tuple[str, list[str], list[list[str]], list[bool]]:
    rows = []
    for name, view in experiment.views.items():
        for step in view.steps:
            label = LABELS.get(step.name, "the model alone")
            rows.append([f"{name}: {label}", f"{about(step.entropy)} bits", _kept(step, view)])
    return "What each filter leaves", ["after", "entropy", "tokens that stay"], rows, [False, True, True]


def _kept(step: Step, view: View) -> str:
    measured = not {earlier.name for earlier in view.steps[: view.steps.index(step) + 1]} <= NEVER_MEASURED
    return about(step.kept, 9) if measured else f"{step.kept:,}"


def _bars(experiment: Experiment) -> str:
    """Outlines: the model. Filled: after the filters. Lengths in hundredths of the longest, which hold everywhere."""
    views = experiment.views
    first = next(iter(views.values()))
    longest = max(share for view in views.values() for row in view.rows for share in (row.before, row.after))
    width, height = LABEL + BAR + NUMBER * (1 + len(views)), LINE * (len(first.rows) + 1)
    filled = "filled: A above, B below" if len(views) > 1 else "filled: A"
    head = [("start", LABEL, f"outline: model; {filled}"), ("end", LABEL + BAR + NUMBER, "model")]
    head += [("end", LABEL + BAR + NUMBER * (2 + place), name) for place, name in enumerate(views)]
    parts = [_text(x, LINE - 7, text, anchor, "600") for anchor, x, text in head]
    for place, row in enumerate(first.rows):
        top = LINE * (place + 1)
        parts.append(_text(LABEL - 8, top + 15, experiment.texts[row.token], "end", family="monospace"))
        thin = (LINE - 8) // len(views)
        for number, (name, view) in enumerate(views.items()):
            length = _hundredths(view.rows[place].after, longest)
            if view.rows[place].cut_by is None:
                parts.append(
                    f'<rect x="{LABEL}" y="{top + 4 + number * thin}" width="{length}" height="{thin}" '
                    f'fill="{COLOURS[name]}"/>'
                )
        parts.append(
            f'<rect x="{LABEL}" y="{top + 2}" width="{_hundredths(row.before, longest)}" height="{LINE - 4}" '
            'fill="none" stroke="currentColor" stroke-opacity="0.7"/>'
        )
        parts.append(_text(LABEL + BAR + NUMBER, top + 15, percent(row.before), "end"))
        for number, name in enumerate(views):
            cut = views[name].rows[place].cut_by is not None
            x = LABEL + BAR + NUMBER * (2 + number)
            parts.append(_text(x, top + 15, _after(experiment, name, place), "end", opacity="0.65" if cut else "1"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" style="max-width:100%;color:inherit" aria-label="{escape(_alt(experiment))}">'
        f"{''.join(parts)}</svg>"
    )


def _alt(experiment: Experiment) -> str:
    first = next(iter(experiment.views.values()))
    likeliest = experiment.texts[first.rows[0].token]
    changes = "; ".join(
        f"setting {name} ({described(experiment.samplings[name])}) gives it {percent(view.rows[0].after)} and leaves "
        f"{_kept(view.steps[-1], view)} tokens, {about(view.steps[-1].entropy)} bits"
        for name, view in experiment.views.items()
    )
    return (
        f"Bar chart of the {len(first.rows)} likeliest next tokens. The model gives {likeliest} the most, "
        f"{percent(first.rows[0].before)}, and its entropy is {about(first.steps[0].entropy)} bits; {changes}. "
        "The table below has all numbers."
    )


def _hundredths(share: float, longest: float) -> int:
    return round(100 * share / longest) * BAR // 100


def _text(
    x: int, y: int, text: str, anchor: str, weight: str = "400", family: str = "sans-serif", opacity: str = "1"
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-family="{family}" font-size="12" font-weight="{weight}" '
        f'fill="currentColor" fill-opacity="{opacity}" xml:space="preserve" style="unicode-bidi:isolate">'
        f"{escape(text)}</text>"
    )


def _samples_title(name: str, experiment: Experiment) -> str:
    return f"{name}: drawn with {described(experiment.samplings[name])}, seed {experiment.seed}"


def _samples_html(name: str, experiment: Experiment) -> str:
    samples = experiment.written[name]
    rows = [["".join(map(_coloured, one.texts, one.shares)) + _end(one)] for one in samples]
    numbered = [[str(number), *row] for number, row in enumerate(rows, start=1)]
    details = html_table(
        f"{name}: each token's probability by the model",
        ["sample", "place", "token", "probability"],
        [
            [str(number), str(place), escape(text), percent(share)]
            for number, one in enumerate(samples, start=1)
            for place, (text, share) in enumerate(zip(one.texts, one.shares, strict=True), start=1)
        ],
        [True, True, False, True],
    )
    title = f"{_samples_title(name, experiment)}; dark: improbable, yellow: probable"
    return (
        html_table(title, ["sample", "continuation"], numbered, [True, False])
        + f"<details><summary>Each token's probability, {escape(name)}</summary>{details}</details>"
    )


def _coloured(text: str, share: float) -> str:
    colour, ink = ground(share)
    style = f"background:{colour};color:{ink};white-space:pre-wrap;unicode-bidi:isolate;padding:1px 0;margin-right:1px"
    return f'<span style="{style}">{escape(in_line(text))}</span>'


def _end(one: Written) -> str:
    return " (end)" if one.finished else " …"


def _joined(one: Written) -> str:
    return "".join(map(in_line, one.texts)) + _end(one)


def in_line(text: str) -> str:
    """A shown token as a part of a running text, in which a space is seen by its ground."""
    return text.replace("␣", " ")
