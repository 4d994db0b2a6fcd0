import pytest
import torch
from torch import distributed

from course_lib.parallel.alltoall import alltoall, splits_of
from course_lib.parallel.launching import RanksFailedError, launch
from course_lib.parallel.messages import Wire, bytes_by_link


def mine(rows):
    generator = torch.Generator().manual_seed(distributed.get_rank())
    return torch.randn(rows, 3, generator=generator)


def compared_with_torch():
    """For each kind of splits, whether rows and counts are those of torch's all_to_all_single."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    checks = {}
    kinds = {
        "equal": None,
        "unequal": [rank + other for other in range(size)],
        "to one only": [5 if other == size - 1 else 0 for other in range(size)],
        "nothing": [0] * size,
        "as a tensor": torch.tensor([2 * other + rank for other in range(size)]),
    }
    for name, splits in kinds.items():
        tensor = mine(20 * size)
        kept = tensor.clone()
        sizes = splits_of(len(tensor), size, splits)
        rows, received = alltoall(tensor, splits)
        expected = torch.empty(sum(received), 3)
        distributed.all_to_all_single(expected, tensor[: sum(sizes)], received, sizes)
        checks[name] = torch.equal(rows, expected) and torch.equal(tensor, kept)
    checks["no rows"] = alltoall(torch.empty(0, 3))[0].shape == (0, 3)
    across, first = mine(6).t(), [3] + [0] * (size - 1)  # rows that do not lie one after the other
    checks["transposed"] = torch.equal(alltoall(across, first)[0], alltoall(across.contiguous(), first)[0])
    return [name for name, passed in checks.items() if not passed]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_rows_arrive_as_torchs_own_brings_them(world_size):
    assert launch(compared_with_torch, processes=world_size, show=None) == [[]] * world_size


def recorded():
    wire = Wire()
    size = wire.size
    alltoall(torch.ones(10 * size, dtype=torch.float64), [10 * (other + 1) % 30 for other in range(size)], wire)
    return wire.messages


def test_each_link_carries_its_own_rows_and_nothing_else():
    ranks = launch(recorded, processes=3, show=None)
    links = bytes_by_link([message for rank in ranks for message in rank])
    assert links == {(0, 1): 160, (1, 0): 80, (2, 0): 80, (2, 1): 160}  # of 10, 20 and 0 rows of 8 bytes
    assert all(message.step == (message.receiver - message.sender) % 3 - 1 for rank in ranks for message in rank)


@pytest.mark.parametrize(
    ("rows", "splits", "message"),
    [
        (5, None, "first dimension of tensor, 5, is not an even multiple of the number of ranks, 2"),
        (5, [1, 2, 2], "number of entries in splits does not equal number of ranks: 3, 2"),
        (5, [3, 3], "sum of splits entries, 6, is greater than the first dimension of tensor, 5"),
        (5, [-1, 3], "splits of 0 or more"),
    ],
)
def test_splits_that_do_not_fit_are_refused(rows, splits, message):
    with pytest.raises(ValueError, match=message):
        splits_of(rows, 2, splits)


def test_other_columns_and_a_single_number_are_refused():
    with pytest.raises(RanksFailedError, match=r"alltoall .* shape \[\*, 3\].*; rank 1 .* shape \[\*, 4\]"):
        launch(lambda: alltoall(torch.ones(2, 3 + distributed.get_rank())), processes=2, timeout=15, show=None)
    with pytest.raises(RanksFailedError, match="at least one dimension"):
        launch(lambda: alltoall(torch.tensor(1.0)), processes=2, timeout=15, show=None)
