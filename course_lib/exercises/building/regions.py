"""Which lines of a cell are the solution, which are hidden tests, and which may everybody see?"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["SOLUTION", "HIDDEN TESTS"]
SOLUTION: Kind = "SOLUTION"
HIDDEN: Kind = "HIDDEN TESTS"
KINDS = (SOLUTION, HIDDEN)
MARKERS = {f"### {edge} {kind}": (kind, edge == "BEGIN") for kind in KINDS for edge in ("BEGIN", "END")}


class UnbalancedMarkers(ValueError):  # noqa: N818 - it reads as what happened
    """A region is not closed, not opened, or lies within another. The message names the marker and its line."""


@dataclass
class Regions:
    """The lines of a text, sorted. The markers themselves are in none of the lists."""

    public: list[str] = field(default_factory=list)
    solution: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


def regions(text: str) -> Regions:
    """Sort the lines of a cell, or of a whole master. Raises UnbalancedMarkers.

    nbgrader takes any line that holds the words for a marker, also in a sentence; here such a line is refused.
    """
    found = Regions()
    inside: Kind | None = None
    opened = 0
    for number, line in enumerate(text.splitlines(), start=1):
        marker = MARKERS.get(line.strip())
        if marker is None:
            if any(words.removeprefix("### ") in line for words in MARKERS):
                raise UnbalancedMarkers(f"line {number}: a marker stands alone, as in '### BEGIN SOLUTION'")
            lines = {None: found.public, SOLUTION: found.solution, HIDDEN: found.hidden}[inside]
            lines.append(line)
            continue
        kind, begins = marker
        if begins and inside:
            raise UnbalancedMarkers(f"line {number}: BEGIN {kind} within the region of line {opened}; close that first")
        if not begins and inside != kind:
            raise UnbalancedMarkers(f"line {number}: END {kind} without a BEGIN {kind} before it")
        inside, opened = (kind, number) if begins else (None, 0)
    if inside:
        raise UnbalancedMarkers(f"line {opened}: BEGIN {inside} has no END {inside}")
    return found


def without_markers(text: str) -> str:
    """The text with its regions, but without the lines that mark them."""
    return "\n".join(line for line in text.split("\n") if line.strip() not in MARKERS)


def without_hidden_tests(text: str) -> str:
    """The text without its hidden tests and their markers."""
    kept, hidden = [], False
    for line in text.split("\n"):
        kind, begins = MARKERS.get(line.strip(), (None, False))
        if kind == HIDDEN:
            hidden = begins
        elif not hidden:
            kept.append(line)
    return "\n".join(kept).rstrip("\n")
