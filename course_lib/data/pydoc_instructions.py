"""What can be asked about Python's documentation? Instructions from docstrings (notebooks 11, 12).

Some can be answered from the instruction alone and are checkable: the summary of a docstring that is given, its
parameters, the package of a name. "What does str.join do?" asks for what was learned before, and is not checked.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from course_lib.data.alpaca_format import INSTRUCTION_MARK, RESPONSE_MARK, Conversation, Exchange

LONGEST_SUMMARY = 90  # characters
LONGEST_INPUT = 280
MOST_PARAMETERS = 6
STANDARD_LIBRARY = "the standard library"
SUMMARY = re.compile(r"[A-Z][^\n]*?\.(?=\s|$)")
PARAMETER = re.compile(r"\*{0,2}([A-Za-z_]\w*)")

Row = Mapping[str, str]  # of course_lib.data.pydocs


@dataclass(frozen=True)
class Document:
    """A docstring's parts: the name, the line it begins with, what it says first, and all it says."""

    name: str
    origin: str
    heading: str
    body: str
    summary: str

    @classmethod
    def of(cls, row: Row) -> "Document | None":
        """The parts of a row of `pydocs`; None if it has no summary of one short sentence."""
        heading, _, body = row["text"].partition("\n")
        found = SUMMARY.match(body)
        if not found or not row["name"] or row["origin"] == "topics" or "(" not in heading:
            return None
        if len(found[0]) > LONGEST_SUMMARY or RESPONSE_MARK.strip() in row["text"] or INSTRUCTION_MARK in row["text"]:
            return None
        return cls(row["name"], row["origin"], heading, body, found[0])


def _package(document: Document, random: Random) -> Exchange:
    package = STANDARD_LIBRARY if document.origin == "stdlib" else document.origin
    wording = random.choice(("Which package does {} belong to?", "Where does {} come from?"))
    return Exchange(wording.format(document.name), "", package, "package", checkable=True)


def _summary(document: Document, random: Random) -> Exchange | None:
    shown = document.body[:LONGEST_INPUT].rpartition("\n")[0] if len(document.body) > LONGEST_INPUT else document.body
    if len(shown) <= len(document.summary) + 10:  # nothing was left out: that would be copying
        return None
    wording = random.choice(("Summarise this documentation.", "What is the first sentence of this text?"))
    return Exchange(wording, shown, document.summary, "summary", checkable=True)


def _parameters(document: Document, random: Random) -> Exchange | None:
    if document.heading.startswith("class "):  # in its brackets stand the classes it is made of
        return None
    names = parameters_of(document.heading)
    if not names or len(names) > MOST_PARAMETERS or len(document.heading) > LONGEST_INPUT // 2:
        return None
    wording = random.choice(("Which parameters does this function take?", "List the parameters."))
    return Exchange(wording, document.heading, ", ".join(names), "parameters", checkable=True)


def _meaning(document: Document, random: Random) -> Exchange:
    wording = random.choice(("What does {} do?", "Explain {}.", "What is {} for?"))
    return Exchange(wording.format(document.name), "", document.summary, "meaning")


KINDS: tuple[Callable[[Document, Random], Exchange | None], ...] = (_package, _summary, _parameters, _meaning)


def pydoc_conversations(rows: Iterable[Row], random: Random) -> Iterator[Conversation]:
    """Of each usable docstring, one instruction of each kind that fits it; `content` is its name."""
    for row in rows:
        document = Document.of(row)
        if document is None:
            continue
        for kind in KINDS:
            exchange = kind(document, random)
            if exchange is not None:
                yield Conversation((exchange,), document.name)


def parameters_of(heading: str) -> list[str]:
    """The parameters' names in a line such as `f(a, b=(1, 2), *rest) -> int`, without `self`; [] if it has no such."""
    start = heading.find("(")
    if start < 0:
        return []
    depth, parts, part = 0, [], ""
    for sign in heading[start:]:
        if sign in "([{":
            depth += 1
            if depth == 1:
                continue
        elif sign in ")]}":
            depth -= 1
            if depth == 0:
                break
        if sign == "," and depth == 1:
            parts.append(part)
            part = ""
        else:
            part += sign
    else:
        return []  # never closed: the line was cut
    found = [PARAMETER.match(text.strip()) for text in [*parts, part]]
    return [match[1] for match in found if match and match[1] not in ("self", "cls")]
