import copy

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F

from course_lib.parallel.data_parallel import share_of
from course_lib.parallel.launching import launch
from course_lib.parallel.sharding import (
    ShardedOptimizer,
    StateBytes,
    fully_sharded_bytes,
    held_bytes,
    shard_fully,
    state_bytes,
)

STEPS = 3


def make_model():
    """With more rows than ranks, fewer, and a number that cannot be shared equally."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 16), nn.Tanh(), nn.Linear(16, 2)).double()


def make_batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(12, 6, generator=generator).double(), torch.randn(12, 2, generator=generator).double()


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01)


def train(model, optimizer, part=lambda batch: batch):
    """The weights after each step."""
    weights = []
    for _ in range(STEPS):
        inputs, targets = make_batch()
        optimizer.zero_grad()
        F.mse_loss(model(part(inputs)), part(targets)).backward()
        optimizer.step()
        whole = [getattr(each, "full_tensor", lambda each=each: each)() for each in model.parameters()]
        weights.append(nn.utils.parameters_to_vector(whole).detach())
    return torch.stack(weights)


def trained_in(stage):
    """How far the weights are from those of one process, and the bytes by formula and as held, on this rank."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    whole, model = make_model(), make_model()
    expected = train(whole, adam(whole.parameters()))
    shapes = [tuple(each.shape) for each in model.parameters()]

    def part(batch):
        return share_of(batch, rank, size)

    if stage == 3:
        shard_fully(model, [layer for layer in model if isinstance(layer, nn.Linear)])
        optimizer = adam(model.parameters())
        weights = train(model, optimizer, part)
        held, formula = held_bytes(model.parameters(), optimizer), fully_sharded_bytes(shapes, rank, size, element=8)
    else:
        sharded = ShardedOptimizer(model.parameters(), adam, stage)
        weights = train(model, sharded, part)
        held, formula = sharded.held(), None
    return (weights - expected).abs().max().item(), held, formula


ROWS = [each[0].numel() for each in make_model().parameters()]
COUNT = sum(each.numel() for each in make_model().parameters())


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_each_stage_trains_as_one_process_and_holds_what_the_formula_says(stage, size):
    results = launch(trained_in, stage, processes=size, timeout=60, show=None)
    for farthest, held, formula in results:
        assert farthest < 1e-12
        assert formula in (None, held)
    together = state_bytes(COUNT, size, stage, parameter=8, gradient=8, moments=16)
    for part in ("parameters", "gradients", "moments"):
        whole = getattr(state_bytes(COUNT, 1, 0, parameter=8, gradient=8, moments=16), part)
        held = [getattr(each, part) for _, each, _ in results]
        if getattr(together, part) == whole:
            assert held == [whole] * size
        else:  # every number is on exactly one rank, and the shares differ by a number or a row for each parameter
            assert sum(held) == whole
            more = sum(ROWS) if stage == 3 else len(ROWS)
            assert abs(max(held) - getattr(together, part)) <= 16 * more


def test_a_replica_holds_four_numbers_for_each_parameter():
    model = make_model()
    optimizer = adam(model.parameters())
    assert held_bytes(model.parameters(), optimizer) == StateBytes(8 * COUNT, 0, 0)
    train(model, optimizer)
    assert held_bytes(model.parameters(), optimizer) == StateBytes(8 * COUNT, 8 * COUNT, 16 * COUNT)
    assert held_bytes(model.parameters(), optimizer) == state_bytes(COUNT, 4, 0, parameter=8, gradient=8, moments=16)


def whole_gradients_after_backward(stage):
    """Of two backward passes: the gradients held whole, and the share's against the mean of both."""
    model = make_model()
    reference = copy.deepcopy(model)
    sharded = ShardedOptimizer(model.parameters(), adam, stage)
    inputs, targets = make_batch()
    for each in (model, reference):
        for _ in range(2):
            F.mse_loss(each(inputs), targets).backward()
    expected = [sharded._mine(each.grad.view(-1)) for each in reference.parameters()]
    same = stage == 1 or all(
        torch.allclose(share.grad, mine, atol=1e-12) for share, mine in zip(sharded.shares, expected, strict=True)
    )
    return held_bytes(model.parameters()).gradients, same


@pytest.mark.parametrize(("stage", "whole"), [(1, 8 * COUNT), (2, 0)])
def test_in_stage_two_no_whole_gradient_is_left_after_backward_and_the_shares_add_up(stage, whole):
    assert launch(whole_gradients_after_backward, stage, processes=2, show=None) == [(whole, True)] * 2


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_the_papers_example_of_seven_and_a_half_billion_parameters_on_64_gpus(stage, gigabytes):
    held = state_bytes(7_500_000_000, 64, stage, parameter=2, gradient=2, moments=12)
    assert held.total / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_rows_that_cannot_be_shared_equally_leave_the_last_ranks_with_less():
    held = [fully_sharded_bytes([(5, 10), (2,)], rank, 4) for rank in range(4)]
    assert [each.parameters for each in held] == [4 * 21, 4 * 21, 4 * 10, 0]
    assert [each.total for each in held] == [4 * each.parameters for each in held]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: state_bytes(10, 0, 1), "world_size of 1 or more"),
        (lambda: state_bytes(10, 2, 4), "stage from 0 to 3, got 2 and 4"),
        (lambda: ShardedOptimizer([], adam, 3), "there is shard_fully"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
