import math
import time

import pytest
import torch
from torch import distributed

from course_lib.parallel.launching import RanksFailedError, launch
from course_lib.parallel.messages import bytes_by_rank
from course_lib.parallel.parameter_server import Worker, key_ranges, serve
from course_lib.parallel.ring import ring_bytes

KEYS, STEPS = 10, 6


def problem():
    """Least squares: inputs [12, keys], targets [12]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, KEYS, generator=generator).double(), torch.randn(12, generator=generator).double()


def gradient(weights, inputs, targets):
    return 2 * inputs.t() @ (inputs @ weights - targets) / len(targets)


def descended_by_one_process():
    weights = torch.zeros(KEYS, dtype=torch.float64)
    for _ in range(STEPS):
        weights = weights - 0.05 * gradient(weights, *problem())
    return weights


def role(servers, delay, slow=None, leaves_early=None, fast_gets_to=0):
    """The first ranks are servers, the others workers. A slow one's first push waits for the last one's pull."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    ranges = key_ranges(KEYS, servers)
    if rank < servers:
        first, end = ranges[rank]
        start = torch.zeros(end - first, dtype=torch.float64)
        workers = list(range(servers, size))
        return serve(start, workers, delay=delay, learning_rate=0.05, first_key=first)
    worker = Worker(dict(enumerate(ranges)))
    inputs, targets = (part.chunk(size - servers)[rank - servers] for part in problem())
    ahead = []
    for iteration in range(STEPS):
        if rank == leaves_early and iteration == 2:
            break
        weights = worker.pull(torch.zeros(KEYS, dtype=torch.float64))
        ahead.append(time.monotonic())
        if rank == slow and iteration == 0:
            worker.wire.receive(torch.zeros(1), size - 1)
        elif rank == slow:
            time.sleep(0.05)
        if slow and rank == size - 1 and iteration == fast_gets_to:
            worker.wire.send(torch.zeros(1), slow, phase="go on")
        worker.push(gradient(weights, inputs, targets))
    worker.leave()
    return worker.wire.messages, ahead


@pytest.mark.parametrize(("servers", "workers"), [(1, 1), (1, 3), (2, 2)])
def test_without_delay_the_servers_end_where_one_process_with_the_whole_batch_does(servers, workers):
    results = launch(role, servers, 0, processes=servers + workers, show=None)
    weights = torch.cat([result.values for result in results[:servers]])
    torch.testing.assert_close(weights, descended_by_one_process(), rtol=0, atol=1e-12)
    assert all(set(result.staleness) == {0} for result in results[:servers])


@pytest.mark.parametrize(("delay", "oldest"), [(1, 1), (3, 3), (math.inf, STEPS - 1)])
def test_a_fast_worker_runs_ahead_of_a_slow_one_as_far_as_the_delay_lets_it(delay, oldest):
    server, (_, slow_pulls), (_, fast_pulls) = launch(role, 1, delay, 1, None, oldest, processes=3, show=None)
    assert max(server.staleness) == oldest
    for iteration in range(1, STEPS - 1 - oldest):  # the fast one's next pulls wait for this iteration's slow push
        assert fast_pulls[iteration + oldest + 1] > slow_pulls[iteration] + 0.05


def test_a_worker_that_leaves_is_not_waited_for():
    server, *_ = launch(role, 1, 0, None, 2, processes=3, show=None)
    assert server.values.isfinite().all()
    assert len(server.staleness) == STEPS + 2


def test_the_servers_link_carries_the_bytes_of_the_formula_and_a_group_shares_them():
    size = 8 * KEYS
    for servers in (1, 2):
        results = launch(role, servers, 0, processes=servers + 2, show=None)
        messages = [message for result in results[:servers] for message in result.messages]
        messages += [message for told, _ in results[servers:] for message in told]
        carried = bytes_by_rank([message for message in messages if message.phase != "header"], servers + 2)
        assert carried[:servers] == [2 * 2 * size * STEPS / servers] * servers
        assert carried[servers:] == [2 * size * STEPS] * 2


def test_one_servers_link_carries_about_n_halves_of_what_a_rank_of_the_ring_sends_and_receives():
    ring = 2 * ring_bytes(1000, 8)  # in and out
    assert 2 * 8 * 1000 / ring == pytest.approx(8 / 2 * 8 / 7)


# Workers that come and go


def with_a_latecomer(servers, delay, waits_for, seconds=0.0):
    """The last rank joins when the first worker has pushed `waits_for` times, which waits for it.

    It takes `seconds` for each of its gradients. Servers return their results; the latecomer where it started and the
    weights that it got there; others nothing.
    """
    rank, size = distributed.get_rank(), distributed.get_world_size()
    ranges = key_ranges(KEYS, servers)
    if rank < servers:
        first, end = ranges[rank]
        start = torch.zeros(end - first, dtype=torch.float64)
        there = list(range(servers, size - 1))
        return serve(start, there, delay=delay, learning_rate=0.05, first_key=first, later=[size - 1])
    worker = Worker(dict(enumerate(ranges)))
    inputs, targets = (part.chunk(3)[rank - servers] for part in problem())
    found = None
    if rank == size - 1:
        worker.wire.receive(torch.zeros(1), servers)
        iteration = worker.join()
        worker.wire.send(torch.zeros(1), servers, phase="joined")
        found = iteration, worker.pull(torch.zeros(KEYS, dtype=torch.float64))
    while worker.iteration < STEPS:
        weights = worker.pull(torch.zeros(KEYS, dtype=torch.float64))
        time.sleep(seconds if found else 0)
        worker.push(gradient(weights, inputs, targets))
        if rank == servers and worker.iteration == waits_for:
            worker.wire.send(torch.zeros(1), size - 1, phase="come")
            worker.wire.receive(torch.zeros(1), size - 1)
    worker.leave()
    return found


def descended_with_a_latecomer(joins_at):
    """What one process comes to, step by step: two thirds of the rows before the third worker is there, then all."""
    inputs, targets = problem()
    weights = [torch.zeros(KEYS, dtype=torch.float64)]
    for step in range(STEPS):
        rows = slice(None) if step >= joins_at else slice(8)
        weights.append(weights[-1] - 0.05 * gradient(weights[-1], inputs[rows], targets[rows]))
    return weights


@pytest.mark.parametrize("servers", [1, 2])
def test_a_worker_that_joins_late_starts_from_the_clock_and_the_weights_as_they_are(servers):
    *results, started = launch(with_a_latecomer, servers, 0, 3, processes=servers + 3, show=None)
    (iteration, weights), expected = started, descended_with_a_latecomer(started[0])
    assert iteration in (2, 3)  # the other worker's third push may be in, or not
    torch.testing.assert_close(weights, expected[iteration], rtol=0, atol=1e-12)
    ended = torch.cat([result.values for result in results[:servers]])
    torch.testing.assert_close(ended, expected[-1], rtol=0, atol=1e-12)
    assert max(clock for result in results[:servers] for _, clock in result.joined) == iteration
    assert all([rank for rank, _ in result.joined] == [servers + 2] for result in results[:servers])


def test_with_a_bounded_delay_the_others_wait_for_a_latecomer_as_for_each_other():
    server, _, _, (iteration, _) = launch(with_a_latecomer, 1, 1, 1, 0.05, processes=4, show=None)
    assert server.joined == [(3, iteration)]
    assert iteration in (0, 1)
    assert max(server.staleness) == 1


@pytest.mark.parametrize("delay", [1, math.inf])
def test_with_a_delay_a_worker_that_leaves_is_not_waited_for_either(delay):
    server, *_ = launch(role, 1, delay, None, 2, processes=3, timeout=20, show=None)
    assert len(server.staleness) == STEPS + 2
    assert max(server.staleness) <= delay
    assert sorted(rank for rank, _ in server.left) == [1, 2]


def comes_back():
    if distributed.get_rank() == 0:
        return serve(torch.zeros(2), [1], learning_rate=1.0, later=[2])
    worker = Worker({0: (0, 2)})
    if distributed.get_rank() == 2:  # it was expected, and does not come
        worker.wire.receive(torch.zeros(1), 1)
        worker.leave()
        return None
    worker.pull(torch.zeros(2))
    worker.push(torch.tensor([-1.0, -2.0]))
    worker.leave()
    started = worker.join()
    weights = worker.pull(torch.zeros(2)).tolist()
    worker.push(torch.tensor([-1.0, -2.0]))
    worker.leave()
    worker.wire.send(torch.zeros(1), 2, phase="go")
    return started, weights


def test_a_worker_can_come_back_and_one_that_was_expected_can_stay_away():
    server, (started, weights), _ = launch(comes_back, processes=3, timeout=20, show=None)
    assert (started, weights) == (1, [1, 2])
    assert server.values.tolist() == [2, 4]
    assert server.joined == [(1, 1)]
    assert server.left == [(1, 1), (1, 2), (2, 2)]


def misuse(how):
    rank = distributed.get_rank()
    if how == "keys" and rank == 0:
        serve(torch.zeros(3), [1], learning_rate=0.1)
    elif how == "keys" and rank == 1:
        Worker({0: (0, 5)}).pull(torch.zeros(5))
    elif how in ("stranger", "twice", "left") and rank == 0:
        serve(torch.zeros(3), [1], learning_rate=0.1, later=[2])
    elif how == "stranger" and rank == 2:
        Worker({0: (0, 3)}).pull(torch.zeros(3))
    elif how == "twice" and rank == 1:
        Worker({0: (0, 3)}).join()
    elif how == "left" and rank == 1:
        worker = Worker({0: (0, 3)})
        worker.leave()
        worker.leave()
    elif isinstance(how, dict):
        serve(torch.zeros(3), **how)
    else:
        time.sleep(10)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("keys", "rank 1 asked for keys 0 to 5, this server keeps 0 to 3"),
        ("stranger", "rank 2 is no worker of this server: .* call join"),
        ("twice", "rank 1 is a worker already and cannot join"),
        ("left", "rank 1 is no worker of this server"),
        ({"workers": [1], "learning_rate": 0.0}, "learning_rate above 0"),
        ({"workers": [], "learning_rate": 0.1}, "at least one worker"),
        ({"workers": [1], "learning_rate": 0.1, "delay": -1}, "delay of 0 or more"),
    ],
)
def test_misuse_is_told(how, message):
    with pytest.raises(RanksFailedError, match=message):
        launch(misuse, how, processes=3, timeout=15, show=None)
