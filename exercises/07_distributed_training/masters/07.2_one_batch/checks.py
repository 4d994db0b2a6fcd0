"""Gradients of several ranks, combined: they must be those of one process with the whole batch."""

import torch

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.arguments import leaves_arguments_alone
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import answer_to, described, smallest_first

SHAPES = [(3,), (3, 2)]


def _losses(parameters, inputs, used):
    """A loss for each row. Of the parameters only the used ones count: a network with branches."""
    total = torch.zeros(len(inputs), dtype=torch.float64)
    for number in used:
        total = total + torch.tanh(inputs @ parameters[number].reshape(3, -1)).square().sum(-1)
    return total


def example(rows, used=None, seed=0):
    """The gradients of ranks with so many rows, and what one process finds. used: each rank's parameters, else all."""
    generator = torch.Generator().manual_seed(seed)
    used = used or [list(range(len(SHAPES)))] * len(rows)
    parameters = [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in SHAPES]
    batches = [torch.randn(number, 3, generator=generator, dtype=torch.float64) for number in rows]
    losses = [_losses(parameters, batch, own) for batch, own in zip(batches, used, strict=True)]
    gradients = [_gradients(part.mean() if len(part) else None, parameters) for part in losses]
    whole = _gradients(torch.cat(losses).mean(), parameters)
    return {"gradients": gradients, "rows": list(rows)}, whole


def _gradients(loss, parameters):
    if loss is None or not loss.requires_grad:
        return [None] * len(parameters)
    return list(torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True))


def _weighed(gradients, weights):
    return [
        None
        if all(part is None for part in parts)
        else sum(w * p for w, p in zip(weights, parts, strict=True) if p is not None)
        for parts in zip(*gradients, strict=True)
    ]


def _why(output, whole, gradients, rows):
    """The mistake that explains the output, or None."""
    if any(own is None and right is not None for own, right in zip(output, whole, strict=True)):
        return "none_lost"
    if any(own is not None and right is None for own, right in zip(output, whole, strict=True)):
        return "zeros_for_none"
    for key, weights in (
        ("summed", [1] * len(rows)),
        ("never_divided", rows),
        ("unweighted", [1 / len(rows)] * len(rows)),
    ):
        if difference(_weighed(gradients, weights), output, 1e-6) is None:
            return key
    users = []
    for parts in zip(*gradients, strict=True):
        there = [(part, number) for part, number in zip(parts, rows, strict=True) if part is not None]
        users.append(sum(p * n for p, n in there) / sum(n for _, n in there) if there else None)
    return "by_users" if difference(users, output, 1e-6) is None else None


def as_one_batch(combined_gradients, examples):
    failed = "the combined gradients are those of the whole batch"
    by_size = {id(given): whole for given, whole in examples}
    for given in smallest_first(given for given, _ in examples):
        whole = by_size[id(given)]
        output = answer_to(combined_gradients, given)
        if not isinstance(output, list | tuple):
            found = f"expected a list of tensors, got {described(output)}"
            raise PropertyFailed(failed, found, given, output, "not_a_list")
        if len(output) != len(whole):
            found = f"expected {len(whole)} gradients, got {len(output)}"
            raise PropertyFailed(failed, found, given, output, "wrong_length")
        if differs := difference(whole, list(output), 1e-6, expected_is="one process"):
            shown = {"yours": output, "one process": whole}
            raise PropertyFailed(failed, differs, given, shown, _why(output, whole, **given))


def equal_shares(combined_gradients):
    """With equal shares, one process with the whole batch finds the same."""
    as_one_batch(combined_gradients, [example([2, 2], seed=1), example([3, 3, 3, 3], seed=2), example([4], seed=3)])


def other_shares(combined_gradients):
    """With unequal shares, too."""
    as_one_batch(combined_gradients, [example([3, 1], seed=4), example([4, 2, 1], seed=5)])


def unused_parameters(combined_gradients):
    """Parameters that some ranks, or all, did not use, and a rank without rows, change nothing of that."""
    examples = [
        example([2, 3], used=[[0], [0, 1]], seed=6),
        example([2, 2], used=[[1], [1]], seed=7),
        example([3, 0, 2], used=[[0, 1], [], [1]], seed=8),
    ]
    as_one_batch(combined_gradients, examples)


def gradients_stay(combined_gradients):
    """The ranks' own gradients stay as they were."""
    given = [example([2, 3], used=[[0], [0, 1]], seed=9)[0]]
    try:
        leaves_arguments_alone(combined_gradients, given)
    except PropertyFailed as failure:
        failure.mistake = failure.mistake or "changed"
        raise


CHECKS = [equal_shares, other_shares, unused_parameters, gradients_stay]
