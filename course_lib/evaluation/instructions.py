"""Does a model follow instructions? Exact answers by task, and the share that stops by itself (notebook 12)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """Of `asked` answers, so many were right to the letter (spaces at both ends apart)."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """From 0 to 1. Raises ValueError if nothing was asked."""
        if not self.asked:
            raise ValueError("nothing was asked, so there is no share of right answers")
        return self.right / self.asked


def is_exact(answer: str, wanted: str) -> bool:
    """Whether an answer is the wanted text, spaces and newlines at both ends apart."""
    return answer.strip() == wanted.strip()


def exact_by_task(answers: Sequence[str], wanted: Sequence[str], tasks: Sequence[str]) -> dict[str, Score]:
    """The score of each task, by name. Raises ValueError for different numbers of answers, wanted texts and tasks."""
    if not len(answers) == len(wanted) == len(tasks):
        raise ValueError(
            f"needs as many answers as wanted texts and tasks, got {len(answers)}, {len(wanted)} and {len(tasks)}"
        )
    right: dict[str, list[bool]] = defaultdict(list)
    for answer, text, task in zip(answers, wanted, tasks, strict=True):
        right[task].append(is_exact(answer, text))
    return {task: Score(sum(each), len(each)) for task, each in sorted(right.items())}


def all_together(scores: dict[str, Score]) -> Score:
    """All tasks as one: each answer counts the same."""
    return Score(sum(score.right for score in scores.values()), sum(score.asked for score in scores.values()))
