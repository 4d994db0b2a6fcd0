import time

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F

from course_lib.parallel.launching import RanksFailedError, launch
from course_lib.parallel.pipeline import Turn, bubble, measured_bubble, pipeline_step
from course_lib.parallel.tensor_parallel import ColumnParallelLinear, RowParallelLinear


def two_layers():
    torch.manual_seed(0)
    return nn.Linear(6, 12).double(), nn.Linear(12, 4).double()


def split_layers():
    """How far the split layers' outputs and gradients are from the whole layers'."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    first, second = two_layers()
    inputs = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    distributed.broadcast(inputs.detach(), 0)
    again = inputs.detach().clone().requires_grad_()
    expected = second(torch.tanh(first(inputs)))
    expected.square().sum().backward()
    columns, rows = ColumnParallelLinear(first), RowParallelLinear(second)
    outputs = rows(torch.tanh(columns(again)))
    outputs.square().sum().backward()
    part = slice(rank * 12 // size, (rank + 1) * 12 // size)
    pairs = [
        (outputs, expected),
        (again.grad, inputs.grad),
        (columns.weight.grad, first.weight.grad[part]),
        (columns.bias.grad, first.bias.grad[part]),
        (rows.weight.grad, second.weight.grad[:, part]),
        (rows.bias.grad, second.bias.grad),
    ]
    return [(one - other).abs().max().item() for one, other in pairs]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_split_layers_equal_the_whole_ones_forward_and_backward(world_size):
    for differences in launch(split_layers, processes=world_size, show=None):
        assert max(differences) < 1e-12


def misuse(how):
    if how == "outputs":
        ColumnParallelLinear(nn.Linear(4, 5))
    elif how == "inputs":
        RowParallelLinear(nn.Linear(5, 4))
    elif how == "whole input":
        RowParallelLinear(nn.Linear(4, 4))(torch.ones(1, 4))
    elif how == "too many":
        pipeline_step(nn.Linear(2, 2), torch.ones(3, 2), torch.ones(3, 2), F.mse_loss, micro_batches=4)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("outputs", "5 outputs cannot be shared equally by 2 ranks"),
        ("inputs", "5 inputs cannot be shared equally"),
        ("whole input", "expected this rank's 2 inputs, got 4"),
        ("too many", "3 inputs, 3 targets and micro_batches=4"),
    ],
)
def test_misuse_is_told(how, message):
    with pytest.raises(RanksFailedError, match=message):
        launch(misuse, how, processes=2, show=None)


def stages():
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(width, width + 1), nn.Tanh()).double() for width in (4, 5, 6)]


def piped(micro_batches):
    inputs, targets = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0)).double()
    targets = torch.cat([targets, targets[:, :3]], dim=1)
    whole = nn.Sequential(*stages())
    expected = F.mse_loss(whole(inputs), targets)
    expected.backward()
    mine = stages()[distributed.get_rank()]
    loss, turns = pipeline_step(mine, inputs, targets, F.mse_loss, micro_batches)
    farthest = max(
        (one.grad - other.grad).abs().max().item()
        for one, other in zip(mine.parameters(), whole[distributed.get_rank()].parameters(), strict=True)
    )
    return loss, expected.item(), farthest, [(turn.kind, turn.micro_batch) for turn in turns]


@pytest.mark.parametrize("micro_batches", [1, 3, 7])
def test_a_pipeline_gives_the_loss_and_gradients_of_the_whole_network(micro_batches):
    results = launch(piped, micro_batches, processes=3, show=None)
    assert [loss for loss, *_ in results[:2]] == [None, None]
    assert results[2][0] == pytest.approx(results[2][1], rel=1e-12)
    for _, _, farthest, turns in results:
        assert farthest < 1e-12
        order = list(range(micro_batches))
        assert turns == [("forward", number) for number in order] + [("backward", number) for number in order[::-1]]


class Slow(torch.autograd.Function):
    """Takes a known time both ways, and no processor."""

    @staticmethod
    def forward(ctx, inputs):
        time.sleep(0.1)
        return inputs.clone()

    @staticmethod
    def backward(ctx, gradient):
        time.sleep(0.1)
        return gradient


class SlowStage(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs):
        return Slow.apply(inputs * self.scale)


def slow_pipeline(micro_batches):
    return pipeline_step(SlowStage(), torch.ones(8, 1), torch.ones(8, 1), F.mse_loss, micro_batches)[1]


def test_one_micro_batch_leaves_all_but_one_stage_waiting_and_more_of_them_do_not():
    def measured(micro_batches):
        return measured_bubble(
            [turn for rank in launch(slow_pipeline, micro_batches, processes=3, show=None) for turn in rank]
        )

    assert measured(1) >= bubble(3, 1) - 1e-6
    assert bubble(3, 8) - 0.01 <= measured(8) < bubble(3, 1)  # a busy machine adds waiting


@pytest.mark.parametrize("micro_batches", [1, 4, 9])
def test_turns_of_equal_length_leave_the_bubble_of_the_formula(micro_batches):
    turns = [
        Turn("forward", rank, number, float(rank + number), float(rank + number + 1))
        for rank in range(3)
        for number in range(micro_batches)
    ]
    assert measured_bubble(turns) == pytest.approx(bubble(3, micro_batches))


def test_the_formula_of_the_bubble():
    assert bubble(4, 1) == 0.75
    assert bubble(4, 12) == pytest.approx(0.2)
    assert bubble(1, 5) == 0
    with pytest.raises(ValueError, match="got 0 and 1"):
        bubble(0, 1)
    with pytest.raises(ValueError, match="got none"):
        measured_bubble([])
