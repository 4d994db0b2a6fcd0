"""What would ten thousand machines do, some of them slow? Each message's end is computed, without sending any.

A formula assumes equal ranks and links. Here every rank has the moment at which it is ready and every link its own
α and β, so that one straggler or one slow cable can be put in and its effect followed. A rank ends a step when its own
earlier work is done and the message that it waits for is there.
"""

import numpy
from jaxtyping import Float
from numpy import ndarray

from course_lib.parallel.cost_model import Link
from course_lib.parallel.tree import tree_children


class Cluster:
    """N ranks: when each is ready (seconds), and the link by which each sends (α seconds, β seconds a byte).

    Made of equal parts; `slow_link` and `straggler` make one of them worse. Raises ValueError for ranks below 1, one
    that is not there, or a factor or delay that is not positive.
    """

    def __init__(self, ranks: int, link: Link) -> None:
        if ranks < 1:
            raise ValueError(f"expected ranks of 1 or more, got {ranks}")
        self.ranks = ranks
        self.ready = numpy.zeros(ranks)
        self.alpha, self.beta = numpy.full(ranks, link.alpha), numpy.full(ranks, link.beta)

    def slow_link(self, rank: int, factor: float) -> "Cluster":
        """Let what this rank sends take `factor` times as long."""
        self._check(rank, factor)
        self.alpha[rank] *= factor
        self.beta[rank] *= factor
        return self

    def straggler(self, rank: int, seconds: float) -> "Cluster":
        """Let this rank be ready so much later."""
        self._check(rank, seconds)
        self.ready[rank] += seconds
        return self

    def _check(self, rank: int, amount: float) -> None:
        if not 0 <= rank < self.ranks or not amount > 0:
            raise ValueError(
                f"expected a rank from 0 to {self.ranks - 1} and an amount above 0, got rank {rank} and {amount}"
            )


def simulated_ring(cluster: Cluster, size: float) -> Float[ndarray, "ranks"]:
    """When each rank has the sum of `size` bytes, by a ring allreduce (seconds)."""
    ready = cluster.ready.copy()
    takes = cluster.alpha + cluster.beta * size / cluster.ranks
    for _ in range(2 * (cluster.ranks - 1)):
        sent = ready + takes  # when each one's message has left it, and is with the next
        ready = numpy.maximum(sent, numpy.roll(sent, 1))
    return ready


def simulated_tree(cluster: Cluster, size: float) -> Float[ndarray, "ranks"]:
    """When each rank has the sum of `size` bytes, up the binomial tree and down again (seconds)."""
    ready = cluster.ready.copy()
    takes = cluster.alpha + cluster.beta * size
    parents = range(cluster.ranks)
    for rank in reversed(parents):  # children have higher numbers than their parents
        for child in tree_children(rank, cluster.ranks):
            ready[rank] = max(ready[rank], ready[child] + takes[child])
    for rank in parents:
        for child in reversed(tree_children(rank, cluster.ranks)):
            ready[rank] += takes[rank]  # one after the other by the same cable
            ready[child] = max(ready[child], ready[rank])
    return ready


def simulated_server(cluster: Cluster, size: float) -> Float[ndarray, "ranks"]:
    """When each rank has the sum of `size` bytes from one more machine, whose link takes one message at a time.

    Messages come in by the workers' links and go out by the server's, which is as good as a link without faults.
    """
    takes = cluster.alpha + cluster.beta * size
    end = 0.0
    for rank in numpy.argsort(cluster.ready, kind="stable"):
        end = max(end, cluster.ready[rank]) + takes[rank]
    outgoing = numpy.median(takes)
    return end + outgoing * numpy.arange(1, cluster.ranks + 1)


def simulated_hierarchy(cluster: Cluster, size: float, ranks_in_node: int, inside: Link) -> Float[ndarray, "ranks"]:
    """When each rank has the sum: added up in each node by a tree, by a ring of the nodes' first ranks, and spread.

    The cluster's links are those between nodes; `inside` is the one in a node. Raises ValueError unless the ranks
    fill their nodes.
    """
    if ranks_in_node < 1 or cluster.ranks % ranks_in_node:
        raise ValueError(f"{cluster.ranks} ranks do not fill nodes of {ranks_in_node}; use a divisor")
    nodes = cluster.ranks // ranks_in_node
    ready = cluster.ready.reshape(nodes, ranks_in_node).copy()
    takes = inside.message(size)
    for rank in reversed(range(ranks_in_node)):
        for child in tree_children(rank, ranks_in_node):
            ready[:, rank] = numpy.maximum(ready[:, rank], ready[:, child] + takes)
    leaders = Cluster(nodes, Link(0, 0))
    leaders.ready = ready[:, 0]
    leaders.alpha, leaders.beta = cluster.alpha[::ranks_in_node], cluster.beta[::ranks_in_node]
    ready[:, 0] = simulated_ring(leaders, size)
    for rank in range(ranks_in_node):
        for child in reversed(tree_children(rank, ranks_in_node)):
            ready[:, rank] += takes
            ready[:, child] = numpy.maximum(ready[:, child], ready[:, rank])
    return ready.reshape(-1)
