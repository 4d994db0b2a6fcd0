"""Do replicas stay one model? They must agree to the last bit, and do what one process does with the whole batch."""

import torch

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import Mistake, answer_to, described, expect_tensor, recognised
from course_lib.exercises.properties.mistakes import equals

NAN = float("nan")


def replicas(rows):
    return {"replicas": torch.tensor(rows, dtype=torch.float64)}


def example(ranks, rows, features, steps, seed):
    """What each of the ranks drew, some data, and how to train."""
    generator = torch.Generator().manual_seed(seed)
    drawn, inputs = (torch.randn(n, features, generator=generator, dtype=torch.float64) for n in (ranks, rows))
    targets = torch.randn(rows, generator=generator, dtype=torch.float64)
    return {"drawn": drawn, "inputs": inputs, "targets": targets, "steps": steps, "rate": 0.1}


def examples():
    """From one step of two ranks to shares of unequal size."""
    return [example(2, 4, 2, 1, seed=1), example(2, 5, 2, 2, seed=2), example(4, 10, 3, 4, seed=3)]


# Which ones have strayed?


def _strayed(replicas):
    """Number by number."""
    found = []
    for rank, own in enumerate(replicas.tolist()):
        pairs = zip(own, replicas[0].tolist(), strict=True)
        if any(a != b and not (a != a and b != b) for a, b in pairs):
            found.append(rank)
    return found


def _by(differ):
    """The ranks for which `differ(own, first)` holds."""
    return lambda replicas: [rank for rank, own in enumerate(replicas) if bool(differ(own, replicas[0]))]


def _close(replicas, named):
    """Whether all that are missing among those named are nearly rank 0's."""
    missing = set(_strayed(replicas)) - named
    return bool(missing) and all(torch.allclose(replicas[rank], replicas[0], equal_nan=True) for rank in missing)


STRAYED_MISTAKES = [
    equals("those_alike", lambda replicas: [r for r in range(len(replicas)) if r not in _strayed(replicas)]),
    equals("those_alike", lambda replicas: [r for r in range(1, len(replicas)) if r not in _strayed(replicas)]),
    Mistake("nan_strays", lambda example, output: example["replicas"][0].isnan().any()),
    Mistake("rank_0", lambda example, output: 0 in output),
    Mistake("with_tolerance", lambda example, output: _close(example["replicas"], set(output))),
    equals("by_sum", _by(lambda own, first: own.sum() != first.sum())),
    equals("by_sum", _by(lambda own, first: not torch.isclose(own.norm(), first.norm()))),
]


def strayed_are_named(strayed, examples):
    failed = "the ranks that differ from rank 0 are named"
    for given in examples:
        output = answer_to(strayed, given)
        if not isinstance(output, list | tuple) or not all(type(rank) is int for rank in output):
            found = f"expected a list of ranks, got {described(output)}"
            raise PropertyFailed(failed, found, given, output, "not_a_list")
        if list(output) != _strayed(given["replicas"]):
            found = f"expected {_strayed(given['replicas'])}, got {list(output)}"
            raise PropertyFailed(failed, found, given, output, recognised(STRAYED_MISTAKES, given, output))


# Training


def _trained(drawn, inputs, targets, steps, rate, start=None, combine=None):
    """All replicas at once. combine: from the ranks' gradients and their numbers of rows to each rank's step."""
    weights = (drawn[:1] if start is None else start(drawn)).expand(drawn.shape).clone()
    shares = list(zip(inputs.tensor_split(len(drawn)), targets.tensor_split(len(drawn)), strict=True))
    rows = torch.tensor([len(part) for part, _ in shares], dtype=drawn.dtype)[:, None]
    for _ in range(steps):
        gradients = torch.stack([2 * a.T @ (a @ w - b) / len(a) for w, (a, b) in zip(weights, shares, strict=True)])
        together = (gradients * rows).sum(0) / len(inputs) if combine is None else combine(gradients, rows)
        weights = weights - rate * together
    return weights


def _alone(drawn, inputs, targets, steps, rate):
    """One process with the whole batch, and a row for each rank."""
    weights = drawn[0]
    for _ in range(steps):
        weights = weights - rate * 2 * inputs.T @ (inputs @ weights - targets) / len(inputs)
    return weights.expand(drawn.shape)


def _as(key, **changes):
    return equals(key, lambda *arguments: _trained(*arguments, **changes), tolerance=1e-8)


def _added(gradients, rows):
    return gradients.sum(0)


def _mean(gradients, rows):
    return gradients.mean(0)


def _every_start(drawn):
    return drawn


TRAINING_MISTAKES = [
    _as("own_start", start=_every_start),
    _as("own_start", start=_every_start, combine=_added),
    _as("own_start", start=_every_start, combine=_mean),
    _as("own_gradients", combine=lambda gradients, rows: gradients),
    _as("own_gradients", start=_every_start, combine=lambda gradients, rows: gradients),
    _as("mean_start", start=lambda drawn: drawn.mean(0, keepdim=True)),
    _as("summed", combine=_added),
    _as("unweighted", combine=_mean),
    *(_as("one_rank_only", combine=lambda gradients, rows, rank=rank: gradients[rank]) for rank in range(4)),
    Mistake("diverged", lambda example, output: not output.isfinite().all()),
]


def _weights(train_replicas, given, failed):
    output = answer_to(train_replicas, given)
    return expect_tensor(output, given["drawn"].shape, given, failed, TRAINING_MISTAKES)


def all_alike(train_replicas, examples):
    failed = "all replicas have the same weights, to the last bit"
    for given in examples:
        weights = _weights(train_replicas, given, failed)
        if (weights != weights[0]).any():
            found = f"they differ by up to {(weights - weights[0]).abs().max().item():.3g}"
            mistake = recognised(TRAINING_MISTAKES, given, weights)
            raise PropertyFailed(failed, found, given, weights, mistake)


def as_one_process(train_replicas, examples):
    failed = "the replicas end where one process does"
    for given in examples:
        weights = _weights(train_replicas, given, failed)
        expected = _alone(**given)
        if differs := difference(expected, weights, 1e-8, expected_is="one process"):
            shown = {"yours": weights, "one process": expected}
            raise PropertyFailed(failed, differs, given, shown, recognised(TRAINING_MISTAKES, given, weights))


def names_the_strayed(strayed):
    """The ranks that differ from rank 0 are named, and no other."""
    strayed_are_named(
        strayed,
        [
            replicas([[1.0], [1.0]]),
            replicas([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]]),
            replicas([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]),
            replicas([[1.0, 2.0], [1.0, 2.0 + 1e-9], [1.0, 2.0]]),
            replicas([[NAN, 1.0], [NAN, 1.0], [NAN, 2.0]]),
        ],
    )


def replicas_agree(train_replicas):
    """After training, all replicas have the same weights, to the last bit."""
    all_alike(train_replicas, examples())


def one_batch_one_start(train_replicas):
    """They end where one process does, that begins with rank 0's weights and has the whole batch."""
    as_one_process(train_replicas, examples())


CHECKS = [names_the_strayed, replicas_agree, one_batch_one_start]
