"""How long does an allreduce take on N machines? Two numbers of the network tell: α seconds a message, β a byte.

A message of b bytes takes α + β·b. From there each algorithm's time follows by counting its messages.
Sources: Hockney 1994 (the α-β model); Thakur et al. 2005 (sections 4.1 to 4.5) for the counts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy


@dataclass(frozen=True)
class Link:
    """A network in two numbers: `alpha`, seconds before a message's first byte; `beta`, seconds for each byte.

    Raises ValueError for numbers below 0.
    """

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not (self.alpha >= 0 and self.beta >= 0):
            raise ValueError(f"expected alpha and beta of 0 or more, got {self.alpha} and {self.beta}")

    def message(self, size: float) -> float:
        """Seconds for one message of `size` bytes."""
        return self.alpha + self.beta * size


def fit_link(sizes: Sequence[float], seconds: Sequence[float]) -> Link:
    """α and β from measured messages, sizes in bytes, by least squares of the relative error.

    Relative, as measurements go from a kilobyte to many megabytes, and the largest alone would decide otherwise.
    Raises ValueError unless there are two sizes or more, and for times that are not above 0.
    """
    measured, bytes_sent = numpy.asarray(seconds, dtype=float), numpy.asarray(sizes, dtype=float)
    if len(bytes_sent) != len(measured) or len(set(bytes_sent.tolist())) < 2 or not (measured > 0).all():
        raise ValueError(
            "expected a time above 0 for each size and at least two different sizes, got "
            f"{len(bytes_sent)} sizes and {len(measured)} times"
        )
    columns = numpy.stack([1 / measured, bytes_sent / measured], axis=1)
    (alpha, beta), *_ = numpy.linalg.lstsq(columns, numpy.ones(len(measured)), rcond=None)
    if alpha < 0:  # a link cannot answer before it is asked: the best that does not is on the border
        alpha, beta = 0.0, columns[:, 1].sum() / (columns[:, 1] ** 2).sum()
    elif beta < 0:
        alpha, beta = columns[:, 0].sum() / (columns[:, 0] ** 2).sum(), 0.0
    return Link(float(alpha), float(beta))


def ring_time(ranks: int, size: float, link: Link) -> float:
    """2(N-1) steps of K/N bytes."""
    return 2 * (ranks - 1) * link.message(size / ranks)


def shared_ring_time(ranks: int, size: float, link: Link) -> float:
    """2(N-1) steps, where all N chunks of a step pass through one link: ranks of one machine share its memory.

    So K bytes a step, instead of K/N.
    """
    return 2 * (ranks - 1) * link.message(size)


def tree_time(ranks: int, size: float, link: Link) -> float:
    """⌈log2 N⌉ steps of K bytes up, as many down."""
    return 2 * math.ceil(math.log2(ranks)) * link.message(size)


def halving_time(ranks: int, size: float, link: Link) -> float:
    """2·log2 N steps with K/2, K/4, … K/N bytes; for N a power of two."""
    return 2 * math.log2(ranks) * link.alpha + 2 * (ranks - 1) / ranks * size * link.beta


def server_time(ranks: int, size: float, link: Link) -> float:
    """One server whose link takes N workers' K bytes, one after the other, and gives K bytes to each."""
    return 2 * ranks * link.message(size)


def hierarchical_time(nodes: int, ranks_in_node: int, size: float, inside: Link, between: Link) -> float:
    """A tree in each node, a ring of the nodes' first ranks, and the trees downwards.

    `inside` and `between`: the links in a node and between nodes.
    """
    return tree_time(ranks_in_node, size, inside) + ring_time(nodes, size, between)


def scaling_efficiency(compute: float, communication: float) -> float:
    """The share of a step in which a rank computes, if it does not communicate meanwhile (both in seconds)."""
    if compute <= 0 or communication < 0:
        raise ValueError(f"expected compute above 0 and communication of 0 or more, got {compute} and {communication}")
    return compute / (compute + communication)


ALLREDUCE_TIMES: dict[str, Callable[[int, float, Link], float]] = {
    "ring": ring_time,
    "tree": tree_time,
    "halving": halving_time,
    "server": server_time,
}
