"""Does the result bear out what the lesson says? Claims with bounds, and their verdicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from course_lib.lesson.display import badge, html_table, show_html, text_table
from course_lib.lesson.numbers import about, plain_number

COLUMNS = ["claim", "measured", "bound", "paper", "verdict"]
ALIGNED_RIGHT = [False, True, True, False, False]


class ClaimFailed(AssertionError):  # noqa: N818 - it reads as what happened: raise ClaimFailed
    """At least one claim of a notebook does not hold; the message lists them."""


@dataclass(frozen=True)
class Claim:
    """A statement about a result. `holds` is None where the profile only records (smoke)."""

    text: str
    measured: bool | int | float
    bound: str
    paper: str | None
    holds: bool | None
    exact: bool

    @property
    def verdict(self) -> str:
        return {True: "holds ✓", False: "fails ✗", None: "recorded (smoke)"}[self.holds]

    @property
    def shown(self) -> str:
        return str(self.measured) if self.exact else about(self.measured)

    def as_line(self) -> dict[str, Any]:
        """The claim as a line of the record file; a measured NaN or infinity is null there."""
        finite = isinstance(self.measured, bool) or math.isfinite(self.measured)
        return {
            "kind": "claim",
            "text": self.text,
            "measured": self.measured if finite else None,
            "bound": self.bound,
            "paper": self.paper,
            "holds": self.holds,
        }


def make_claim(
    text: str,
    measured: Any,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    equals: bool | int | float | None = None,
    paper: str | None = None,
    judged: bool = True,
) -> Claim:
    """Judge one measurement by one bound. NaN fails every bound.

    Raises ValueError unless exactly one bound is given, TypeError unless the measured value is one number or bool.
    """
    if not text.strip():
        raise ValueError("a claim needs a text: the statement that the measurement can refute")
    bounds = {"at_least": at_least, "at_most": at_most, "equals": equals}
    given = [name for name, bound in bounds.items() if bound is not None]
    if len(given) != 1:
        raise ValueError(f"claim {text!r} needs exactly one of at_least, at_most, equals; got {given or 'none'}")
    measured = plain_number(measured)
    if not isinstance(measured, bool | int | float):
        raise TypeError(f"claim {text!r} needs one measured number or True/False, got {type(measured).__name__}")
    if isinstance(measured, bool) and equals is None:
        raise ValueError(f"claim {text!r} measured {measured}; use equals=True or equals=False with it")
    if at_least is not None:
        bound, holds = f"≥ {at_least:g}", measured >= at_least
    elif at_most is not None:
        bound, holds = f"≤ {at_most:g}", measured <= at_most
    else:
        bound, holds = f"= {equals}", measured == equals
    return Claim(
        text=text,
        measured=measured,
        bound=bound,
        paper=paper,
        holds=bool(holds) if judged else None,
        exact=isinstance(measured, bool) or (equals is not None and isinstance(measured, int)),
    )


def show_claims(claims: Sequence[Claim], caption: str) -> None:
    """Draw claims as a table: claim, measured, bound, paper, verdict."""
    kinds = {True: "good", False: "bad", None: "neutral"}
    texts = [[c.text, c.shown, c.bound, c.paper or "–", c.verdict] for c in claims]
    html = [
        [*map(escape, row[:-1]), badge(claim.verdict, kinds[claim.holds])]
        for row, claim in zip(texts, claims, strict=True)
    ]
    show_html(
        html_table(caption, COLUMNS, html, ALIGNED_RIGHT),
        text_table(caption, COLUMNS, texts, ALIGNED_RIGHT),
    )


def summary(claims: Sequence[Claim]) -> str:
    """One sentence over all claims."""
    if not claims:
        return "This notebook makes no claims."
    if all(claim.holds is None for claim in claims):
        return f"{len(claims)} recorded; the smoke profile judges none."
    failed = sum(claim.holds is False for claim in claims)
    if failed:
        return f"{failed} of {len(claims)} {'fails' if failed == 1 else 'fail'}."
    return f"{len(claims)} of {len(claims)} {'holds' if len(claims) == 1 else 'hold'}."


def refuse_failures(claims: Sequence[Claim]) -> None:
    """Raise ClaimFailed, naming each claim that fails, if there is one."""
    failed = [
        f"{claim.text!r}: measured {claim.shown}, bound {claim.bound}" for claim in claims if claim.holds is False
    ]
    if failed:
        raise ClaimFailed(f"{len(failed)} of {len(claims)} claims failed: " + "; ".join(failed))
