"""What did the learner mean by a name that does not exist?"""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown_name(kind: str, given: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among `known`: the nearest ones as a suggestion, or all of them."""
    names = list(known)
    close = get_close_matches(str(given), names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"choose from {', '.join(map(repr, names))}"
    return ValueError(f"unknown {kind} {given!r}; {hint}")
