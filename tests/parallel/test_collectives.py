"""Ring, tree and halving against torch's own collectives, each in real processes: one launch for many checks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed

from course_lib.parallel import messages
from course_lib.parallel.launching import RanksFailedError, launch
from course_lib.parallel.messages import Wire, bytes_by_link, bytes_by_rank
from course_lib.parallel.ring import (
    chunk_sizes,
    ring_allgather,
    ring_allreduce,
    ring_allreduce_,
    ring_bytes,
    ring_reduce_scatter,
    schedule,
)
from course_lib.parallel.tree import broadcast, halving_allreduce, tree_allreduce, tree_children, tree_parent

ALLREDUCES = {"ring": ring_allreduce, "tree": tree_allreduce, "halving": halving_allreduce}
SHAPES = [(), (1,), (0,), (2,), (3,), (5, 7), (2, 0, 3), (64,), (1000,)]


def random_tensor(shape, dtype=torch.float64, seed=0):
    """Different on each rank."""
    generator = torch.Generator().manual_seed(100 * seed + distributed.get_rank())
    return torch.randn(shape, generator=generator, dtype=dtype)


def farthest_from_torch():
    """For each algorithm, how far any of its results is from torch's all_reduce."""
    farthest = dict.fromkeys(ALLREDUCES, 0.0)
    for seed, shape in enumerate(SHAPES):
        mine = random_tensor(shape, seed=seed)
        expected = mine.clone()
        distributed.all_reduce(expected)
        for name, allreduce in ALLREDUCES.items():
            kept = mine.clone()
            total = allreduce(mine)
            assert torch.equal(mine, kept), "what was brought must not change"
            assert total.shape == mine.shape
            farthest[name] = max([farthest[name], *(total - expected).abs().flatten().tolist()])
    return farthest


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_every_allreduce_equals_torchs_for_every_length(world_size):
    for farthest in launch(farthest_from_torch, processes=world_size, show=None):
        assert max(farthest.values()) < 1e-12, farthest


def in_place_in_small_segments():
    """Chunks of none to a dozen segments, the last one not full, and one more on some ranks than on others."""
    messages.SEGMENT = 32  # bytes: four numbers
    wrong = []
    for length in (0, 1, 3, 8, 12, 13, 16, 17, 49, 130):
        mine = random_tensor((length,), seed=length)
        expected = mine.clone()
        distributed.all_reduce(expected)
        wire = Wire()
        ring_allreduce_(mine, wire)
        wanted = [row.sent for row in schedule(wire.size) if row.rank == wire.rank]
        sizes = chunk_sizes(length, wire.size)
        if (mine - expected).abs().sum() > 1e-12 or [each.bytes for each in wire.messages] != [
            8 * sizes[chunk] for chunk in wanted if sizes[chunk]
        ]:
            wrong.append(length)
    return wrong


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_in_place_and_in_segments_the_ring_gives_the_same_sum_and_the_same_messages(world_size):
    assert launch(in_place_in_small_segments, processes=world_size, show=None) == [[]] * world_size


def other_kinds_of_tensors():
    rank = distributed.get_rank()
    transposed = random_tensor((4, 6)).t()
    expected = transposed.contiguous()
    distributed.all_reduce(expected)
    whole = torch.arange(5) * (rank + 1)
    unknown = torch.tensor([1.0, float("nan") if rank == 1 else 2.0, 3.0])
    return [
        (ring_allreduce(transposed) - expected).abs().max().item() < 1e-12,
        ring_allreduce(whole).tolist() == [0, 6, 12, 18, 24],
        *(allreduce(unknown).isnan().tolist() == [False, True, False] for allreduce in ALLREDUCES.values()),
        ring_allreduce(torch.ones(3, dtype=torch.bfloat16)).tolist() == [3, 3, 3],
    ]


def test_transposed_whole_half_and_not_a_number():
    for checks in launch(other_kinds_of_tensors, processes=3, show=None):
        assert all(checks), checks


def other_collectives():
    rank, size = distributed.get_rank(), distributed.get_world_size()
    checks = {}
    for rows in (0, 1, 2, 5, 7):
        mine = random_tensor((rows, 3))
        total = mine.clone()
        distributed.all_reduce(total)
        share = total.split(chunk_sizes(rows, size))[rank]
        scattered = ring_reduce_scatter(mine)
        checks[f"reduce-scatter {rows}"] = scattered.shape == share.shape and torch.allclose(
            scattered, share, atol=1e-12
        )
    for name, lengths in {"unequal": [3, 0, 5, 1], "none": [0, 0, 0, 0], "equal": [2, 2, 2, 2]}.items():
        parts = [torch.full((lengths[number], 2), float(number)) for number in range(size)]
        checks[f"allgather {name}"] = torch.equal(ring_allgather(parts[rank]), torch.cat(parts))
    for root in range(size):
        mine = random_tensor((5,), seed=root)
        expected = mine.clone()
        distributed.broadcast(expected, root)
        checks[f"broadcast {root}"] = torch.equal(broadcast(mine, root), expected)
    return [name for name, passed in checks.items() if not passed]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_reduce_scatter_allgather_and_broadcast_equal_torchs(world_size):
    assert launch(other_collectives, processes=world_size, show=None) == [[]] * world_size


# Bytes and the timeline


def recorded(length):
    records = {}
    for name, allreduce in ALLREDUCES.items():
        wire = Wire()
        allreduce(torch.ones(length, dtype=torch.float64), wire)
        records[name] = wire.messages
    return records


@pytest.fixture(scope="module")
def messages_of_four():
    """Messages of all ranks by algorithm, for 4 ranks and 1,000 numbers of 8 bytes."""
    ranks = launch(recorded, 1000, processes=4, show=None)
    return {name: [message for rank in ranks for message in rank[name]] for name in ALLREDUCES}


def test_the_bytes_on_each_link_of_the_ring_are_those_of_the_formula(messages_of_four):
    links = bytes_by_link(messages_of_four["ring"])
    assert links == {(rank, (rank + 1) % 4): ring_bytes(8000, 4) for rank in range(4)} == dict.fromkeys(links, 12_000)


def test_with_unequal_chunks_the_links_differ_by_the_chunks_that_pass_them():
    ranks = launch(recorded, 1003, processes=4, show=None)
    sizes = chunk_sizes(1003, 4)
    for rank in range(4):
        links = bytes_by_link(ranks[rank]["ring"])
        assert links == {(rank, (rank + 1) % 4): 8 * sum(sizes[row.sent] for row in schedule(4) if row.rank == rank)}


def test_the_ring_does_what_its_schedule_says(messages_of_four):
    done = sorted((message.phase, message.step, message.sender, message.chunk) for message in messages_of_four["ring"])
    assert done == sorted((row.phase, row.step, row.rank, row.sent) for row in schedule(4))


def test_a_step_of_the_timeline_does_not_end_before_it_starts_and_follows_the_one_before(messages_of_four):
    for rank in range(4):
        own = [message for message in messages_of_four["ring"] if message.sender == rank]
        moments = [moment for message in own for moment in (message.start, message.end)]
        assert moments == sorted(moments)


def test_the_trees_root_carries_the_whole_tensor_to_and_from_each_of_its_children(messages_of_four):
    assert sum(bytes_by_link(messages_of_four["tree"]).values()) == 2 * 3 * 8000
    assert bytes_by_rank(messages_of_four["tree"], 4) == [2 * 2 * 8000, 2 * 8000, 2 * 2 * 8000, 2 * 8000]


def test_halving_sends_as_little_as_the_ring_in_fewer_messages(messages_of_four):
    halving, ring = messages_of_four["halving"], messages_of_four["ring"]
    assert bytes_by_rank(halving, 4) == bytes_by_rank(ring, 4)
    assert (len(halving), len(ring)) == (4 * 4, 4 * 6)


# Plain functions


@given(st.integers(0, 10_000), st.integers(1, 100))
def test_chunks_cover_the_length_and_the_first_are_one_longer(length, world_size):
    sizes = chunk_sizes(length, world_size)
    assert sum(sizes) == length
    assert len(sizes) == world_size
    assert sizes == sorted(sizes, reverse=True)
    assert sizes.count(length // world_size + 1) == length % world_size


def test_chunks_of_ten_for_four():
    assert chunk_sizes(10, 4) == [3, 3, 2, 2]


@given(st.integers(1, 12))
def test_every_rank_receives_what_the_one_before_sends_and_ends_with_every_chunk_finished(world_size):
    summands = [[{rank} for _ in range(world_size)] for rank in range(world_size)]  # of each chunk, on each rank
    rows = schedule(world_size)
    assert len(rows) == 2 * (world_size - 1) * world_size
    for first in range(0, len(rows), world_size):
        step = rows[first : first + world_size]
        sent = {row.rank: (row.sent, set(summands[row.rank][row.sent])) for row in step}
        for row in step:
            chunk, what = sent[(row.rank - 1) % world_size]
            assert chunk == row.received
            assert row.phase == "allgather" or not what & summands[row.rank][chunk], "nothing is added twice"
            summands[row.rank][chunk] = what | summands[row.rank][chunk] if row.phase == "scatter-reduce" else what
    assert all(chunk == set(range(world_size)) for rank in summands for chunk in rank)


@given(st.integers(1, 40))
def test_in_the_tree_each_rank_but_the_root_has_one_parent_and_the_depth_is_logarithmic(world_size):
    found = [(child, rank) for rank in range(world_size) for child in tree_children(rank, world_size)]
    assert sorted(found) == [(rank, tree_parent(rank)) for rank in range(1, world_size)]
    assert max(bin(rank).count("1") for rank in range(world_size)) <= math.ceil(math.log2(world_size or 1)) + 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chunk_sizes(-1, 2), "length of 0 or more"),
        (lambda: chunk_sizes(5, 0), "world_size of 1 or more"),
        (lambda: schedule(0), "world_size of 1 or more, got 0"),
        (lambda: tree_children(3, 3), "a rank from 0 to 2, got 3"),
        (lambda: tree_parent(0), "rank 0 is the root"),
    ],
)
def test_numbers_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_outside_of_a_launch_there_is_no_wire():
    with pytest.raises(RuntimeError, match="not a rank yet"):
        Wire()


# Ranks that disagree


def disagree(how):
    rank = distributed.get_rank()
    if how == "shape":
        ring_allreduce(torch.ones(3 + rank))
    elif how == "dtype":
        tree_allreduce(torch.ones(3, dtype=torch.float64 if rank else torch.float32))
    elif how == "operation":
        (ring_allreduce if rank else tree_allreduce)(torch.ones(3))
    elif how == "gaps":
        ring_allreduce_(torch.ones(4, 6).t())
    elif how == "columns":
        ring_allgather(torch.ones(2, 3 + rank))
    elif how == "root":
        broadcast(torch.ones(2), root=rank)
    elif how == "no dimension":
        ring_allgather(torch.tensor(1.0))
    elif how == "no such root":
        broadcast(torch.ones(2), root=2)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("shape", r"rank 0 called ring_allreduce .* shape \[3\], float32; rank 1 called .* shape \[4\], float32"),
        ("dtype", r"rank 0 called .* float32; rank 1 called .* float64"),
        ("operation", "rank 0 called tree_allreduce .*; rank 1 called ring_allreduce"),
        ("gaps", "expected a contiguous tensor"),
        ("columns", r"shape \[\*, 3\], float32; rank 1 called .* shape \[\*, 4\]"),
        ("root", "root 0; rank 1 .* root 1"),
        ("no dimension", "at least one dimension"),
        ("no such root", "expected root from 0 to 1, got 2"),
    ],
)
def test_ranks_that_disagree_hear_so_at_once(how, message):
    with pytest.raises(RanksFailedError, match=message):
        launch(disagree, how, processes=2, timeout=10, show=None)
