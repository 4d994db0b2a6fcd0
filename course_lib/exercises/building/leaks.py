"""Does a file give away what it should not? Looks for the lines of a solution or of hidden tests, however disguised.

It takes the regions from the master's text by itself, so that a mistake in the building cannot hide its own traces.
"""

import html
import io
import json
import textwrap
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.exercises.building.regions import Kind, regions
from course_lib.exercises.catalogue import Exercise

SHORTEST_SECRET = 4  # characters: a lone bracket or `else:` of another line tells nothing
SHORTEST_WITHIN_A_LINE = 12  # shorter ones only count as a whole line


@dataclass(frozen=True)
class Secret:
    """A line that is in the solution or the hidden tests, and nowhere in what everybody may read."""

    kind: Kind
    line: str


def secrets(exercise: Exercise) -> list[Secret]:
    """The secret lines of an exercise. Comments, docstrings, and lines that also stand in public text are none.

    Hidden tests may repeat lines of checks.py and of the solution, which are there to be read; a solution may not.
    """
    found = regions(exercise.master.read_text(encoding="utf-8"))
    public = _squeeze("\n".join([*found.public, exercise.title, exercise.teaches]))
    checks = (exercise.master.parent / "checks.py").read_text(encoding="utf-8")
    told = public + _squeeze(checks) + _squeeze("\n".join(found.solution))
    secret = [Secret("SOLUTION", line) for line in _code_lines(found.solution) if _squeeze(line) not in public]
    for line in _code_lines(found.hidden):
        if _squeeze(line) not in told:
            secret.append(Secret("HIDDEN TESTS", line))
    return [item for item in dict.fromkeys(secret) if len(_squeeze(item.line)) >= SHORTEST_SECRET]


def leaks(path: Path, secret: Iterable[Secret]) -> list[Secret]:
    """Those of the secrets that the file gives away: in text, code, outputs or metadata, spaced or quoted anyhow."""
    text = path.read_text(encoding="utf-8")
    texts = list(_strings(json.loads(text))) if path.suffix == ".ipynb" else [text]
    lines = {_squeeze(line) for text in texts for line in text.splitlines()}
    whole = "\n".join(_squeeze(text) for text in texts)
    return [
        item
        for item in secret
        if (line := _squeeze(item.line)) in lines or (len(line) >= SHORTEST_WITHIN_A_LINE and line in whole)
    ]


def _squeeze(text: str) -> str:
    """Without spaces, line ends and backslashes, with one kind of quotes, and HTML as the text it shows."""
    text = html.unescape(text).replace('"', "'").replace("\\", "")
    return "".join(text.split())


def _strings(value: Any) -> Iterator[str]:
    """Every string in a notebook's JSON; the lines of a cell come together, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            yield "".join(value)
        else:
            for item in value:
                yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)


def _code_lines(lines: list[str]) -> list[str]:
    """The lines without comments, docstrings and empty ones."""
    text = textwrap.dedent("\n".join(lines)) + "\n"
    kept = text.splitlines()
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return [line.strip() for line in kept if line.strip() and not line.lstrip().startswith("#")]
    layout = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT}
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.type == tokenize.COMMENT:
            row = token.start[0] - 1
            kept[row] = kept[row][: token.start[1]]
        is_statement = (before is None or before.type in layout) and (after is None or after.type in layout)
        if token.type == tokenize.STRING and is_statement:
            kept[token.start[0] - 1 : token.end[0]] = [""] * (token.end[0] - token.start[0] + 1)
    return [line.strip() for line in kept if line.strip()]
