import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.parallel import horovod_style as hvd
from course_lib.parallel.launching import RanksFailedError, launch


def mine(seed=0, shape=(4, 3)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(10 * seed + hvd.rank())).double()


def operations():
    hvd.init()
    everyone = hvd.allgather(mine()[None])
    expected = {
        hvd.Average: everyone.mean(0),
        hvd.Sum: everyone.sum(0),
        hvd.Min: everyone.amin(0),
        hvd.Max: everyone.amax(0),
        hvd.Product: everyone.prod(0),
    }
    checks = {op.value: torch.allclose(hvd.allreduce(mine(), op), value, atol=1e-12) for op, value in expected.items()}
    checks["default"] = torch.allclose(hvd.allreduce(mine()), everyone.mean(0), atol=1e-12)
    scaled = hvd.allreduce(mine(), hvd.Sum, prescale=0.5, postscale=3.0)
    checks["scaled"] = torch.allclose(scaled, 1.5 * everyone.sum(0), atol=1e-12)
    checks["whole numbers"] = hvd.allreduce(torch.tensor([2, 3]), hvd.Sum).tolist() == [2 * hvd.size(), 3 * hvd.size()]
    rows = hvd.reducescatter(mine(), hvd.Sum)
    checks["reducescatter"] = torch.allclose(rows, everyone.sum(0).tensor_split(hvd.size())[hvd.rank()], atol=1e-12)
    checks["broadcast"] = torch.equal(hvd.broadcast(mine(), root_rank=1), everyone[1])
    checks["object"] = hvd.broadcast_object({"epoch": hvd.rank()}, root_rank=1) == {"epoch": 1}
    checks["local rank"] = hvd.local_rank() == hvd.rank()
    return [name for name, passed in checks.items() if not passed]


@pytest.mark.parametrize("world_size", [2, 3])
def test_each_operation_gives_what_its_name_says(world_size):
    assert launch(operations, processes=world_size, show=None) == [[]] * world_size


def test_adasum_adds_what_is_at_right_angles_and_averages_what_is_parallel():
    first, second = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert hvd.adasum(first, second).tolist() == [3, 4]
    assert hvd.adasum(first, first).tolist() == [3, 0]
    assert hvd.adasum(first, torch.zeros(2)).tolist() == [3, 0]


def adasum_of_four():
    return hvd.allreduce(mine(), hvd.Adasum), mine()


def test_adasum_of_four_ranks_is_that_of_two_pairs():
    results = launch(adasum_of_four, processes=4, show=None)
    brought = [each for _, each in results]
    expected = hvd.adasum(hvd.adasum(*brought[:2]), hvd.adasum(*brought[2:]))
    for result, _ in results:
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    assert all(torch.equal(result, results[0][0]) for result, _ in results)


def trained(size, **settings):
    """The weights after training, from different seeds, with momentum on rank 0; and those of one process."""
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(3)).double()
    targets = inputs.sum(1, keepdim=True)
    passes = settings.get("backward_passes_per_step", 1)

    def train(model, optimizer, shares):
        for _ in range(4):
            optimizer.zero_grad()
            for share in shares:
                F.mse_loss(model(inputs[share]), targets[share]).backward()
            optimizer.step()
        return nn.utils.parameters_to_vector(model.parameters()).detach()

    def make(seed):
        torch.manual_seed(seed)
        model = nn.Linear(5, 1).double()
        return model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    rows = torch.arange(8).view(size * passes, -1)
    whole = train(*make(0), [slice(None)])
    model, optimizer = make(seed=hvd.rank())
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    hvd.broadcast_optimizer_state(optimizer, root_rank=0)
    wrapped = hvd.DistributedOptimizer(optimizer, model.named_parameters(), **settings)
    return train(model, wrapped, list(rows[hvd.rank() * passes : (hvd.rank() + 1) * passes])), whole


@pytest.mark.parametrize("settings", [{}, {"backward_passes_per_step": 2}])
def test_the_recipe_gives_the_weights_of_one_process_with_the_whole_batch(settings):
    for weights, whole in launch(lambda: trained(2, **settings), processes=2, show=None):
        torch.testing.assert_close(weights, whole, rtol=0, atol=1e-12)


def test_compressed_gradients_give_nearly_the_same_weights():
    (weights, whole), (other, _) = launch(lambda: trained(2, compression=torch.bfloat16), processes=2, show=None)
    assert torch.equal(weights, other)
    assert 0 < (weights - whole).abs().max() < 0.02


def misuse(how):
    rank = hvd.rank()
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    named = list(model.named_parameters())
    match how:
        case "names":
            hvd.allreduce(torch.ones(2), name=f"gradient {rank}")
        case "shapes":
            hvd.allreduce(torch.ones(2 + rank), name="gradient")
        case "op":
            hvd.allreduce(torch.ones(2), hvd.Sum if rank else hvd.Max)
        case "whole":
            hvd.allreduce(torch.tensor([1]))
        case "adasum of three":
            hvd.allreduce(torch.ones(2), hvd.Adasum)
        case "double":
            hvd.DistributedOptimizer(optimizer, [*named, named[0]])
        case "missing":
            hvd.DistributedOptimizer(optimizer, named[1:])
        case "passes":
            hvd.DistributedOptimizer(optimizer, named, backward_passes_per_step=0)
        case "parameters":
            hvd.broadcast_parameters(model)
        case "zero":
            wrapped = hvd.DistributedOptimizer(optimizer, named)
            wrapped.synchronize()
            wrapped.zero_grad()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("names", "rank 0 called allreduce.* of gradient 0.*; rank 1 called .* of gradient 1"),
        ("shapes", r"of gradient, shape \[2\].*shape \[3\]"),
        ("op", r"allreduce\(Max\).*allreduce\(Sum\)"),
        ("whole", "expected floats for Average"),
        ("adasum of three", "power of two, got 3"),
        ("double", "must be unique, got weight more than once"),
        ("missing", "1 of the optimizer's parameters have no name"),
        ("passes", "backward_passes_per_step of 1 or more"),
        ("parameters", "expected a state_dict.* got Linear"),
        ("zero", "would lose the gradients"),
    ],
)
def test_misuse_is_told(how, message):
    with pytest.raises(RanksFailedError, match=message):
        launch(misuse, how, processes=3, timeout=60, show=None)


def test_outside_of_a_launch_the_layer_is_not_initialized(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(RuntimeError, match="no ranks were started"):
        hvd.init()
    with pytest.raises(RuntimeError, match=r"has not been initialized; call init\(\)"):
        hvd.size()
