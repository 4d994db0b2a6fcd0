"""How much do two texts have in common, in order? ROUGE-L: their longest common subsequence of words (notebook 12).

Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3, equations 2-4 with beta = 1.
"""

import re
from collections.abc import Sequence

WORD = re.compile(r"[a-z0-9]+")


def words_of(text: str) -> list[str]:
    """Runs of letters a-z and digits, in lower case: what ROUGE compares."""
    return WORD.findall(text.lower())


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest sequence of words that both have in this order, gaps allowed."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]


def rouge_l(first: Sequence[str], second: Sequence[str]) -> float:
    """F1 of the longest common subsequence, from 0 to 1; 0 if one of them is empty."""
    if not first or not second:
        return 0.0
    return 2 * common_subsequence(first, second) / (len(first) + len(second))


def most_alike(text: Sequence[str], others: Sequence[Sequence[str]], enough: float = 1.0) -> float:
    """The largest ROUGE-L of a text to any of the others; the search ends at one above `enough`."""
    best = 0.0
    for other in others:
        # No subsequence is longer than the shorter text: most pairs need not be compared at all.
        if 2 * min(len(text), len(other)) > best * (len(text) + len(other)):
            best = max(best, rouge_l(text, other))
            if best > enough:
                break
    return best
