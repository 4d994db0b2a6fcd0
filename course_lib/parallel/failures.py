"""Which of the ranks is to blame? When one fails the others do too, a moment later and for want of a partner."""

from dataclasses import dataclass
from typing import Literal

ORDER = ("died", "raised", "unfinished")


@dataclass(frozen=True)
class Failure:
    """What went wrong in one rank, and when (seconds of a clock that all processes of a machine share)."""

    rank: int
    kind: Literal["died", "raised", "unfinished"]
    what: str
    moment: float


class RanksFailedError(RuntimeError):
    """At least one rank failed. `rank` is the one that did so first, `failures` holds them all, the first one first.

    A process that died is put before those that raised: they see the broken connection before anyone else sees the
    death. Those that still were at work, or waited, come last, with where they were.
    """

    def __init__(self, failures: list[Failure], processes: int) -> None:
        self.failures = sorted(failures, key=lambda failure: (ORDER.index(failure.kind), failure.moment))
        first, *others = self.failures
        self.rank = first.rank
        if first.kind == "unfinished":
            lines, others = [f"{len(failures)} of {processes} ranks did not end in time"], self.failures
        else:
            lines = [f"rank {first.rank} of {processes} failed first: {first.what.rstrip()}"]
        for other in others:
            if other.kind == "unfinished":
                lines.append(f"rank {other.rank} had not ended; innermost call first:\n{other.what}")
            else:
                lines.append(f"rank {other.rank} then: {other.what.rstrip().splitlines()[-1]}")
        super().__init__("\n".join(lines))
