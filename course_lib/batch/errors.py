"""What does the runner say when it was asked for something that does not exist?"""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """A request that cannot be carried out as written; the command ends with exit status 2."""


def unknown(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not among `known`, with the nearest names as a suggestion."""
    names = list(known)
    close = get_close_matches(given, names, n=2, cutoff=0.6)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif names:
        hint = f"there are: {', '.join(names)}"
    else:
        hint = "there are none"
    return UsageError(f"unknown {kind} {given!r}; {hint}")
