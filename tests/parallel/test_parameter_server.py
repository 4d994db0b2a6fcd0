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


def misuse(how):
    rank = distributed.get_rank()
    if how == "keys" and rank == 0:
        serve(torch.zeros(3), [1], learning_rate=0.1)
    elif how == "keys":
        Worker({0: (0, 5)}).pull(torch.zeros(5))
    else:
        serve(torch.zeros(3), **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("keys", "rank 1 asked for keys 0 to 5, this server keeps 0 to 3"),
        ({"workers": [1], "learning_rate": 0.0}, "learning_rate above 0"),
        ({"workers": [], "learning_rate": 0.1}, "at least one worker"),
        ({"workers": [1], "learning_rate": 0.1, "delay": -1}, "delay of 0 or more"),
    ],
)
def test_misuse_is_told(how, message):
    with pytest.raises(RanksFailedError, match=message):
        launch(misuse, how, processes=2, timeout=15, show=None)
