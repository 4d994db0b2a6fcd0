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
    sent = torch.full((6, 2), hvd.rank())
    checks["alltoall"] = hvd.alltoall(sent)[:, 0].tolist() == sorted(list(range(hvd.size())) * (6 // hvd.size()))
    rows, received = hvd.alltoall(sent, splits=[hvd.rank()] * hvd.size())
    checks["splits"] = received.tolist() == list(range(hvd.size())) and len(rows) == sum(received)
    checks["local rank"] = hvd.local_rank() == hvd.rank()
    checks["machines"] = (hvd.local_size(), hvd.cross_rank(), hvd.cross_size()) == (hvd.size(), 0, 1)
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


# Ranks with unequal numbers of batches


def batch_of(rank, number):
    inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(10 * rank + number)).double()
    return inputs, inputs.sum(1, keepdim=True)


def trained_until_all_have_joined(batches):
    """Who joined last, and the weights before and after they were taken from that rank."""
    torch.manual_seed(0)
    model = nn.Linear(5, 1).double()
    plain = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    optimizer = hvd.DistributedOptimizer(plain, model.named_parameters())
    for number in range(batches[hvd.rank()]):
        inputs, targets = batch_of(hvd.rank(), number)
        optimizer.zero_grad()
        F.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    last = hvd.join()
    before = nn.utils.parameters_to_vector(model.parameters()).detach()
    hvd.broadcast_parameters(model.state_dict(), root_rank=last)
    again = hvd.join()  # all at once, and counted anew
    return last, before, nn.utils.parameters_to_vector(model.parameters()).detach(), again


def by_one_process(batches):
    """Each step's gradient is the sum over the ranks that still have a batch, divided by all."""
    torch.manual_seed(0)
    model = nn.Linear(5, 1).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for number in range(max(batches)):
        optimizer.zero_grad()
        for rank, count in enumerate(batches):
            if number < count:
                inputs, targets = batch_of(rank, number)
                (F.mse_loss(model(inputs), targets) / len(batches)).backward()
        optimizer.step()
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize(("batches", "last"), [([2, 3, 5], 2), ([5, 1, 3], 0), ([3, 3, 3], 2), ([0, 4, 1], 1)])
def test_ranks_that_have_joined_bring_zeros_until_the_last_one_joins(batches, last):
    results = launch(trained_until_all_have_joined, batches, processes=3, show=None)
    expected = by_one_process(batches)
    for rank, (told, before, after, again) in enumerate(results):
        assert (told, again) == (last, 2)
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-12)
        assert torch.equal(before, after) == (batches[rank] == max(batches)), "who joined early has missed updates"


def brings_what_after_a_join(op):
    if hvd.rank() == 1:
        return hvd.join()
    result = hvd.allreduce(torch.tensor([2.0, 0.0]), op, prescale=3.0)
    hvd.join()
    return result.tolist()


def test_an_average_counts_the_joined_a_sum_and_adasum_take_their_zeros():
    for op, expected in ((hvd.Average, [3, 0]), (hvd.Sum, [6, 0]), (hvd.Adasum, [6, 0])):
        assert launch(brings_what_after_a_join, op, processes=2, show=None) == [expected, 0]


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
        case "allgather after join":
            hvd.join() if rank == 1 else hvd.allgather(torch.ones(2))
        case "object after join":
            hvd.join() if rank == 1 else hvd.broadcast_object("state")
        case "max after join":
            hvd.join() if rank == 1 else hvd.allreduce(torch.ones(2), hvd.Max)
        case "average of whole numbers after join":
            hvd.join() if rank == 1 else hvd.allreduce(torch.tensor([1]))
        case "splits":
            hvd.alltoall(torch.ones(2), splits=[1, 1, 1])
        case "root":
            hvd.broadcast(torch.ones(2), root_rank=rank)
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
        ("names", "Mismatched tensor names: rank 0 called allreduce.* of gradient 0.*; rank 1 called .* of gradient 1"),
        ("shapes", r"Mismatched allreduce tensor shapes: .* of gradient, shape \[2\].*shape \[3\]"),
        ("op", r"Mismatched reduction operations: .*allreduce\(Max\).*allreduce\(Sum\)"),
        ("root", "Mismatched broadcast root ranks: .* root 0; rank 1 .* root 1"),
        ("allgather after join", "Allgather is not supported with join: rank 1 has joined"),
        ("object after join", "Broadcast is not supported with join"),
        ("max after join", "Allreduce with op=Max is not supported with join"),
        ("average of whole numbers after join", "expected floats for Average"),
        ("splits", "sum of splits entries, 3, is greater than the first dimension of tensor, 2"),
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
