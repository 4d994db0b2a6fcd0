"""What if the weights live in one place? Workers pull them, compute a gradient, and push it; servers apply it.

A server may let a fast worker run ahead of the slow ones, for weights that are a little old. Bounded delay τ: a worker
starts iteration t only when every worker's pushes older than t-τ are in. τ = 0 is sequential (all wait for all, and
what results is one process with the whole batch); τ = infinity is eventual (nobody waits).

With one server and N workers the server's link carries 2NK bytes per iteration. A server group divides the keys, here
positions in the flat row of parameters, into ranges, one for each server, and with them the load.

Workers come and go. Nobody waits for one that has left. One that joins late is given the clock, the iteration that the
slowest worker is at, and starts there, from the weights as they are.

Source: Li et al. 2014, Scaling Distributed Machine Learning with the Parameter Server (sections 3.2, 3.3 and 5.3).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, distributed

from course_lib.parallel.messages import Message, Wire
from course_lib.parallel.ring import chunk_sizes

PULL, PUSH, LEAVE, JOIN = range(4)
HEADER = 4  # what, iteration, first key, one after the last key


@dataclass
class ServerResult:
    """What a server has at the end: its keys' weights, what it sent, and how old the weights were that it gave.

    `staleness`: for each pull, in the order of the answers, how many iterations before the worker's own were missing
    from the slowest worker. It is never above the delay. `joined`, `left`: who came late, who went, and the clock then.
    """

    values: Tensor
    messages: list[Message]
    staleness: list[int] = field(default_factory=list)
    joined: list[tuple[int, int]] = field(default_factory=list)
    left: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Request:
    what: int
    iteration: int
    keys: slice
    worker: int
    gradient: Tensor | None = None


def key_ranges(length: int, servers: int) -> list[tuple[int, int]]:
    """Which keys, from the first to before the last, each server of a group keeps."""
    ends = list(accumulate(chunk_sizes(length, servers)))
    return list(zip([0, *ends[:-1]], ends, strict=True))


def serve(
    values: Float[Tensor, "keys"],
    workers: list[int],
    *,
    delay: float = 0,
    learning_rate: float,
    first_key: int = 0,
    later: Iterable[int] = (),
    wire: Wire | None = None,
) -> ServerResult:
    """Keep `values`, the weights of the keys from `first_key` on, until all the ranks in `workers` have left.

    A push changes the weights by -learning_rate · gradient / number of workers that are there. With `delay` 0 the
    pushes of an iteration are applied together, by rank, when the last one is in; else each when it comes. `later`:
    ranks that are not there yet, and for which the server stays; others may join while it is there.

    Raises ValueError for a negative delay, a learning rate of 0 or less, no worker, keys that are not kept here, or a
    request of a rank that has not joined, or joins twice.
    """
    if not delay >= 0 or not learning_rate > 0 or not workers:
        raise ValueError(
            "expected delay of 0 or more, learning_rate above 0 and at least one worker, got "
            f"delay={delay}, learning_rate={learning_rate}, workers={workers}"
        )
    wire = wire or Wire()
    values = values.detach().clone()
    result = ServerResult(values, wire.messages)
    finished = dict.fromkeys(workers, 0)  # iterations whose push is in, for those that are there
    awaited = set(later) - set(workers)
    clock = 0
    pulls: list[_Request] = []  # not answered yet
    pushes: list[_Request] = []  # not applied yet
    while finished or awaited:
        request = _next_request(wire, values, first_key)
        _check_membership(request, finished, awaited)
        if request.what == JOIN:
            finished[request.worker] = clock
            result.joined.append((request.worker, clock))
            wire.send(torch.tensor([clock], device=values.device), request.worker, phase="clock", step=clock)
        elif request.what == LEAVE:
            finished.pop(request.worker, None)
        elif request.what == PULL:
            # In a group the clocks may differ, and one that joins starts from the latest: it will push nothing before.
            finished[request.worker] = max(finished[request.worker], request.iteration)
            pulls.append(request)
        else:
            finished[request.worker] = request.iteration + 1
            pushes.append(request)
        awaited.discard(request.worker)
        done = min(finished.values(), default=math.inf)
        ready = [push for push in pushes if delay or push.iteration < done]
        clock = int(done) if finished else max([clock, *(push.iteration + 1 for push in ready)])
        if request.what == LEAVE:
            result.left.append((request.worker, clock))
        pushes = [push for push in pushes if push not in ready]
        sharing = len(ready) if not delay else len(finished)
        for push in sorted(ready, key=lambda push: push.worker):
            values[push.keys] -= learning_rate / sharing * push.gradient  # type: ignore[operator]
        answered = [pull for pull in pulls if done >= pull.iteration - delay]
        pulls = [pull for pull in pulls if pull not in answered]
        for pull in answered:
            result.staleness.append(max(0, pull.iteration - int(done)))
            wire.send(values[pull.keys].clone(), pull.worker, phase="pull", step=pull.iteration)
    return result


def _check_membership(request: _Request, finished: Mapping[int, int], awaited: Iterable[int]) -> None:
    there = request.worker in finished
    if request.what == JOIN and there:
        raise ValueError(f"rank {request.worker} is a worker already and cannot join; let it leave first")
    stays_away = request.what == LEAVE and request.worker in awaited
    if request.what != JOIN and not there and not stays_away:
        raise ValueError(
            f"rank {request.worker} is no worker of this server: name it in `workers`, or let it call join() first"
        )


class Worker:
    """A worker's side: the whole row of weights from a group of servers, and its gradients back to them.

    `servers`: for each server's rank, which keys it keeps, as `key_ranges` has them. Each iteration is one pull, then
    one push; `leave` in the end, or the others wait. One that was not there from the start begins with `join`.
    """

    def __init__(self, servers: Mapping[int, tuple[int, int]], wire: Wire | None = None) -> None:
        self.servers, self.wire, self.iteration = dict(servers), wire or Wire(), 0

    def join(self, device: torch.device | None = None) -> int:
        """Start late: at the iteration of the slowest of the others, which is returned. The next pull has the weights.

        It can also mean to come back after `leave`.
        """
        clocks = {server: torch.zeros(1, dtype=torch.int64, device=device) for server in self.servers}
        self._ask(JOIN, clocks, device)
        self.iteration = max(int(clock) for clock in clocks.values())
        return self.iteration

    def pull(self, like: Tensor) -> Tensor:
        """The weights of all keys, a tensor like this one; waits as long as the servers' delay says."""
        weights = torch.empty_like(like)
        parts = {server: weights[first:end] for server, (first, end) in self.servers.items()}
        self._ask(PULL, parts, like.device)
        return weights

    def push(self, gradient: Tensor) -> None:
        """Send each server its keys' part of the gradient. That ends the iteration."""
        for server, (first, end) in self.servers.items():
            self.wire.send(self._header(PUSH, first, end, gradient.device), server, phase="header", step=self.iteration)
            self.wire.send(gradient[first:end].contiguous(), server, phase="push", step=self.iteration)
        self.iteration += 1

    def leave(self, device: torch.device | None = None) -> None:
        """Say that nothing more will come."""
        self._ask(LEAVE, {}, device)

    def _ask(self, what: int, answers: Mapping[int, Tensor], device: torch.device | None) -> None:
        """Ask all servers, and take their answers at the same time.

        If this asked one after the other first, the one that answers could wait for this worker, which waits for the
        next server, which waits to answer another worker, which waits for the first.
        """
        keys = self.servers if what == PULL else {server: (first, first) for server, (first, _) in self.servers.items()}
        asked = [(self._header(what, first, end, device), server) for server, (first, end) in keys.items()]
        receives = [(answer, server) for server, answer in answers.items()]
        self.wire.exchange(asked, receives, phase="header", step=self.iteration)

    def _header(self, what: int, first: int, end: int, device: torch.device | None) -> Tensor:
        return torch.tensor([what, self.iteration, first, end], device=device)


def _next_request(wire: Wire, values: Tensor, first_key: int) -> _Request:
    """What the next worker wants, whoever it is, with the gradient if it pushes one."""
    header = torch.zeros(HEADER, dtype=torch.int64, device=values.device)
    worker = distributed.recv(header)
    what, iteration, first, end = header.tolist()
    if not first_key <= first <= end <= first_key + len(values):
        raise ValueError(
            f"rank {worker} asked for keys {first} to {end}, this server keeps {first_key} to "
            f"{first_key + len(values)}; give workers and servers the same key_ranges"
        )
    gradient = None
    if what == PUSH:
        gradient = values.new_empty(end - first)
        wire.receive(gradient, worker)
    return _Request(what, iteration, slice(first - first_key, end - first_key), worker, gradient)
