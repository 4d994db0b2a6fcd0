import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.parallel.cost_model import (
    Link,
    fit_link,
    halving_time,
    hierarchical_time,
    ring_time,
    scaling_efficiency,
    server_time,
    shared_ring_time,
    tree_time,
)
from course_lib.parallel.simulator import (
    Cluster,
    simulated_hierarchy,
    simulated_ring,
    simulated_server,
    simulated_tree,
)

LINK = Link(alpha=1e-4, beta=1e-9)
MEGABYTES = 64e6


@given(st.floats(1e-6, 1e-2), st.floats(1e-11, 1e-7))
def test_the_fit_finds_the_numbers_that_made_the_times(alpha, beta):
    sizes = [10.0**power for power in range(3, 9)]
    found = fit_link(sizes, [alpha + beta * size for size in sizes])
    assert found.message(0) == pytest.approx(alpha, rel=1e-3, abs=1e-12)
    assert found.beta == pytest.approx(beta, rel=1e-3)


def test_the_fit_does_not_go_below_zero():
    assert fit_link([1e3, 1e6], [1e-6, 1.1e-3]).alpha == 0
    assert fit_link([1e3, 1e6], [2e-3, 1e-3]).beta == 0


def test_the_fit_weighs_small_messages_as_much_as_large_ones():
    sizes = [1e3, 1e4, 1e7, 1e8]
    seconds = [LINK.message(size) * factor for size, factor in zip(sizes, [1, 1, 1.05, 0.95], strict=True)]
    assert fit_link(sizes, seconds).alpha == pytest.approx(LINK.alpha, rel=0.05)


@pytest.mark.parametrize(("sizes", "seconds"), [([1, 2], [1]), ([1, 1], [1, 1]), ([1, 2], [1, 0])])
def test_what_cannot_be_fitted_is_refused(sizes, seconds):
    with pytest.raises(ValueError, match="at least two different sizes"):
        fit_link(sizes, seconds)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8, 64])
def test_without_faults_the_simulation_gives_the_formulas_times(ranks):
    cluster = Cluster(ranks, LINK)
    assert simulated_ring(cluster, MEGABYTES).max() == pytest.approx(ring_time(ranks, MEGABYTES, LINK))
    assert simulated_tree(cluster, MEGABYTES).max() == pytest.approx(tree_time(ranks, MEGABYTES, LINK))
    assert simulated_server(cluster, MEGABYTES).max() == pytest.approx(server_time(ranks, MEGABYTES, LINK))
    inside = Link(1e-6, 1e-10)
    hierarchy = simulated_hierarchy(Cluster(ranks * 4, LINK), MEGABYTES, 4, inside)
    assert hierarchy.max() == pytest.approx(hierarchical_time(ranks, 4, MEGABYTES, inside, LINK))


def test_the_rings_bytes_hardly_grow_with_the_ranks_and_the_servers_do():
    assert ring_time(512, MEGABYTES, Link(0, 1e-9)) < 2 * MEGABYTES * 1e-9
    assert server_time(512, MEGABYTES, LINK) == pytest.approx(512 * server_time(1, MEGABYTES, LINK))


def test_on_one_memory_each_further_rank_costs_as_much_as_the_second():
    bytes_alone = Link(0, 1e-9)
    assert shared_ring_time(2, MEGABYTES, LINK) == pytest.approx(2 * LINK.message(MEGABYTES))
    assert shared_ring_time(5, MEGABYTES, bytes_alone) == pytest.approx(5 * ring_time(5, MEGABYTES, bytes_alone))


def test_a_small_tensor_is_faster_by_tree_and_halving_a_large_one_by_ring_and_halving():
    assert halving_time(256, 1e3, LINK) < tree_time(256, 1e3, LINK) < ring_time(256, 1e3, LINK)
    assert halving_time(256, 1e9, LINK) < ring_time(256, 1e9, LINK) < tree_time(256, 1e9, LINK)


def test_a_straggler_delays_everybody_by_no_more_than_its_lateness():
    for simulate in (simulated_ring, simulated_tree, simulated_server):
        usual = simulate(Cluster(16, LINK), MEGABYTES).max()
        late = simulate(Cluster(16, LINK).straggler(15, 3.0), MEGABYTES)
        assert usual < late.max() <= usual + 3.0 + 1e-9
        assert late.min() >= 3.0


def test_one_slow_link_slows_the_whole_ring_by_its_factor():
    usual = simulated_ring(Cluster(16, LINK), MEGABYTES).max()
    assert simulated_ring(Cluster(16, LINK).slow_link(3, 5.0), MEGABYTES).max() == pytest.approx(5 * usual, rel=0.05)


def test_ten_thousand_ranks_can_be_simulated():
    ends = simulated_ring(Cluster(10_000, LINK), MEGABYTES)
    assert ends.max() == pytest.approx(ring_time(10_000, MEGABYTES, LINK))
    assert simulated_tree(Cluster(10_000, LINK), MEGABYTES).max() <= tree_time(10_000, MEGABYTES, LINK) + 1e-9


def test_efficiency():
    assert scaling_efficiency(compute=0.9, communication=0.1) == pytest.approx(0.9)
    assert math.isclose(scaling_efficiency(1, 0), 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Link(-1, 0), "0 or more, got -1"),
        (lambda: Link(0, math.nan), "0 or more"),
        (lambda: Cluster(0, LINK), "ranks of 1 or more"),
        (lambda: Cluster(2, LINK).slow_link(2, 2.0), "rank from 0 to 1 .* got rank 2"),
        (lambda: Cluster(2, LINK).straggler(0, -1.0), "amount above 0"),
        (lambda: simulated_hierarchy(Cluster(6, LINK), 1.0, 4, LINK), "do not fill nodes of 4"),
        (lambda: scaling_efficiency(0, 1), "compute above 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_simulated_cluster_can_be_used_again():
    cluster = Cluster(4, LINK).straggler(1, 1.0)
    assert numpy.array_equal(simulated_ring(cluster, 1e6), simulated_ring(cluster, 1e6))
