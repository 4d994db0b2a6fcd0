import copy

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from course_lib.parallel.data_parallel import DataParallel, average_gradients, buckets_of, share_of
from course_lib.parallel.launching import RanksFailedError, launch
from course_lib.parallel.tree import tree_allreduce


def make_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)).double()


def make_batch(size):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(size, 6, generator=generator).double(), torch.randn(size, 3, generator=generator).double()


def gradients(model):
    return torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()])


def farthest_from_one_process():
    """For each way to average, how far the gradients are from those of one process with the whole batch."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    farthest = {}
    for examples in (4 * size, 4 * size + 1, 1):  # equal shares, unequal shares, some without any
        inputs, targets = make_batch(examples)
        whole = make_model()
        F.mse_loss(whole(inputs), targets).backward()
        mine, wanted = share_of(inputs, rank, size), share_of(targets, rank, size)
        for bucket_bytes in (1, 500, 1 << 20):
            model = make_model()
            if len(mine):
                F.mse_loss(model(mine), wanted).backward()
            average_gradients(model.parameters(), examples=len(mine), bucket_bytes=bucket_bytes)
            farthest[f"{examples} examples, {bucket_bytes}"] = (gradients(model) - gradients(whole)).abs().max().item()
            if examples % size == 0:
                replica = DataParallel(make_model(seed=rank), bucket_bytes)
                replica.module.load_state_dict(make_model().state_dict())
                F.mse_loss(replica(mine), wanted).backward()
                replica.finish()
                farthest[f"replica, {bucket_bytes}"] = (gradients(replica) - gradients(whole)).abs().max().item()
    return farthest


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_gradients_equal_those_of_one_process_with_the_whole_batch(world_size):
    for farthest in launch(farthest_from_one_process, processes=world_size, show=None):
        assert max(farthest.values()) < 1e-12, farthest


def trained():
    """The weights after five steps, ours and PyTorch's DDP, from different seeds on the ranks."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    ours = DataParallel(make_model(seed=rank), bucket_bytes=600)
    theirs = DistributedDataParallel(make_model(seed=rank))
    result = []
    for replica in (ours, theirs):
        optimizer = torch.optim.Adam(replica.parameters(), lr=0.01)
        for _ in range(5):
            inputs, targets = make_batch(8)
            optimizer.zero_grad()
            F.mse_loss(replica(share_of(inputs, rank, size)), share_of(targets, rank, size)).backward()
            if replica is ours:
                ours.finish()
            optimizer.step()
        result.append(nn.utils.parameters_to_vector(replica.parameters()).detach())
    return result


def test_replicas_that_start_from_different_seeds_stay_one_model_as_in_pytorchs_own():
    (ours, theirs), *others = launch(trained, processes=2, show=None)
    torch.testing.assert_close(ours, theirs)
    for other, _ in others:
        assert torch.equal(ours, other)


def with_unused_parameters():
    rank = distributed.get_rank()
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    replica = DataParallel(copy.deepcopy(model), bucket_bytes=1)
    replica.module[rank](torch.ones(1, 2)).sum().backward()  # each uses another half
    replica.finish()
    model[rank](torch.ones(1, 2)).sum().backward()
    average_gradients(model.parameters(), allreduce=tree_allreduce)
    return gradients(replica).tolist(), gradients(model).tolist()


def test_what_a_rank_did_not_use_counts_as_zero():
    for ours, plain in launch(with_unused_parameters, processes=2, show=None):
        assert ours == plain == [0.5] * 12


def misuse(how):
    rank = distributed.get_rank()
    if how == "other model":
        DataParallel(nn.Linear(2, 3 + rank))
    elif how == "one more tensor":
        DataParallel(nn.Linear(2, 3, bias=bool(rank)))
    elif how == "two backwards":
        replica = DataParallel(nn.Linear(2, 3))
        for _ in range(2):
            replica(torch.ones(1, 2)).sum().backward()
    elif how == "nobody":
        average_gradients(nn.Linear(2, 3).parameters(), examples=0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("other model", r"tensor 0 is weight \[3, 2\] torch.float32 on rank 0 and weight \[4, 2\]"),
        ("one more tensor", r"tensor 1 is nothing .* on rank 0 and bias \[3\]"),
        ("two backwards", r"call finish\(\) after each backward"),
        ("nobody", "at least one example"),
    ],
)
def test_misuse_is_told(how, message):
    with pytest.raises(RanksFailedError, match=message):
        launch(misuse, how, processes=2, timeout=15, show=None)


def test_buckets_start_from_the_last_parameter_and_keep_to_their_size():
    parameters = [torch.zeros(size) for size in (4, 1, 2, 100, 3)]
    assert [[len(each) for each in bucket] for bucket in buckets_of(parameters, 16)] == [[3], [100], [2, 1], [4]]
    mixed = [torch.zeros(1), torch.zeros(1, dtype=torch.float64)]
    assert len(buckets_of(mixed, 100)) == 2
    with pytest.raises(ValueError, match="bucket_bytes of 1 or more"):
        buckets_of(parameters, 0)
