"""What a temperature must do: scale differences, be greedy when cold and blind when hot, and make entropy rise."""

import math

import torch

from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.examples import Mistake, answer_to, described, expect_tensor, recognised
from course_lib.exercises.properties.mistakes import equals, right_times, sums_to_one_over
from course_lib.exercises.properties.parity import same_as
from course_lib.exercises.properties.weights import weights_sum_to_one

CUT_OFF = float("-inf")
COLD, HOT = 1e-4, 1e6
TEMPERATURES = (0.2, 0.5, 1.0, 1.5, 3.0, 8.0)
ADVICE = "do_sample=False"


def example(batch, vocabulary, temperature, seed, scale=1.0, cut=0):
    """Logits up to about `scale` in size, no two of a row nearly alike; the first `cut` of each row are cut off."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(-2.0, 2.0, vocabulary) if vocabulary > 1 else torch.zeros(1)
    logits = torch.stack([scale * spread[torch.randperm(vocabulary, generator=generator)] for _ in range(batch)])
    logits[:, :cut] = CUT_OFF
    return {"logits": logits, "temperature": temperature}


def examples():
    """From one row of two tokens to three rows of six, cold and hot."""
    yield example(1, 2, 0.5, seed=0)
    yield example(2, 3, 2.0, seed=1)
    yield example(3, 4, 0.25, seed=2)
    yield example(3, 6, 3.0, seed=3, cut=2)
    yield example(2, 3, 1.0, seed=4)


def distribution(rows):
    """Probabilities, [batch, vocabulary]."""
    return {"probabilities": torch.tensor(rows)}


def boltzmann(logits, temperature):
    """The trusted formula with loops and twice the digits, the largest logit subtracted so that no exp overflows."""
    rows = []
    for row in logits.double().tolist():
        shares = [math.exp((logit - max(row)) / temperature) for logit in row]
        rows.append([share / math.fsum(shares) for share in shares])
    return torch.tensor(rows, dtype=logits.dtype)


def shannon(probabilities):
    """The trusted formula with loops, in bits."""
    return torch.tensor([-math.fsum(p * math.log2(p) for p in row if p > 0) for row in probabilities.double().tolist()])


def _overflowed(example, output):
    large = (example["logits"] / example["temperature"]).nan_to_num(neginf=0.0).abs().max() > 80
    return bool(large and output.isnan().any())


def _root(logits, temperature):
    return logits.softmax(-1) ** (1 / temperature)


# Asked in this order: formulas of special mistakes first, then what a whole family of them has in common.
MISTAKES = [
    Mistake("overflow", _overflowed),
    equals("multiplied", lambda logits, temperature: (logits * temperature).softmax(-1)),
    equals("after_softmax", lambda logits, temperature: logits.softmax(-1) / temperature),
    equals("after_softmax", lambda logits, temperature: logits.softmax(-1) * temperature),
    equals("not_renormalised", _root),
    equals("no_effect", lambda logits, temperature: logits.softmax(-1)),
    equals("no_softmax", lambda logits, temperature: logits / temperature),
    equals("logarithms", lambda logits, temperature: (logits / temperature).log_softmax(-1)),
    equals("wrong_axis", lambda logits, temperature: (logits / temperature).softmax(0)),
    sums_to_one_over("wrong_axis", axis=0),
    equals("whole_batch", lambda logits, temperature: (logits / temperature).flatten().softmax(0).view_as(logits)),
]


def _nan_of_nothing(example, output):
    return bool((example["probabilities"] == 0).any() and output.isnan().any())


def _summed_over(axis):
    return lambda probabilities: -torch.special.xlogy(probabilities, probabilities).sum(axis) / math.log(2)


ENTROPY_MISTAKES = [
    Mistake("nan_of_nothing", _nan_of_nothing),
    equals("nats", lambda probabilities: shannon(probabilities) * math.log(2)),
    equals("base_ten", lambda probabilities: shannon(probabilities) * math.log10(2)),
    right_times("negative", shannon, factor=lambda example: -1.0),
    equals("mean_of_terms", lambda probabilities: shannon(probabilities) / probabilities.shape[-1]),
    equals("surprise_of_likeliest", lambda probabilities: -probabilities.amax(-1).log2()),
    equals("logarithms_unweighted", lambda probabilities: -probabilities.log2().sum(-1)),
    equals("exponentiated", lambda probabilities: 2 ** shannon(probabilities)),
    equals("wrong_axis", _summed_over(0)),
    equals("one_for_all", lambda probabilities: shannon(probabilities).sum()),
    equals("one_for_all", lambda probabilities: shannon(probabilities).mean()),
]


# The public checks try each property on the examples above; the hidden tests on others.


def _willing(probabilities_at):
    """The same function, which must not refuse a temperature above 0."""
    if not callable(probabilities_at):
        return probabilities_at

    def asked(logits, temperature):
        try:
            return probabilities_at(logits, temperature)
        except (ValueError, AnswerRaised) as error:
            kind = error.kind if isinstance(error, AnswerRaised) else type(error).__name__
            if kind != "ValueError":
                raise
            shown = {"logits": logits, "temperature": temperature}
            found = f"{temperature:g} was refused: {error}"
            raise PropertyFailed("any T above 0 is accepted", found, shown, None, "refuses_too_much") from error

    return asked


def are_probabilities(probabilities_at, examples):
    weights_sum_to_one(_willing(probabilities_at), examples, shape_of="logits", mistakes=MISTAKES)


def equals_boltzmann(probabilities_at, examples):
    name = "exp(logit / T) / Σ exp(logit / T)"
    same_as(_willing(probabilities_at), boltzmann, examples, reference_name=name, mistakes=MISTAKES)


def ends_are_reached(probabilities_at, examples):
    """Cold, the likeliest token has all; hot, all that were not cut off have the same."""
    cases = (
        (
            COLD,
            "near T = 0 the likeliest token has all the probability",
            lambda logits: logits == logits.amax(-1, True),
        ),
        (HOT, "at a very high T all tokens are equally likely", lambda logits: logits > CUT_OFF),
    )
    for example in examples:
        for temperature, failed, is_left in cases:
            at_end = {**example, "temperature": temperature}
            output = answer_to(_willing(probabilities_at), at_end)
            found = expect_tensor(output, at_end["logits"].shape, at_end, failed, MISTAKES)
            left = is_left(at_end["logits"]).double()
            expected = left / left.sum(-1, keepdim=True)
            if (apart := (found - expected).abs().max().item()) > 1e-4:
                mistake = recognised(MISTAKES, at_end, output)
                raise PropertyFailed(failed, f"one is off by {apart:.4g}", at_end, output, mistake)


def is_refused(probabilities_at, temperatures):
    failed = "a temperature that is not above 0 is refused, with advice"
    for temperature in temperatures:
        example = {"logits": torch.tensor([[2.0, 1.0, 0.0]]), "temperature": temperature}
        try:
            output = answer_to(probabilities_at, example)
        except AnswerRaised as raised:
            if raised.kind == "NotImplementedError":
                raise
            if raised.kind != "ValueError":
                found = f"{temperature!r} raised {raised.kind}"
                raise PropertyFailed(failed, found, example, None, "other_error") from raised
            if ADVICE not in raised.error:
                found = f"the message is {raised.error!r}"
                raise PropertyFailed(failed, found, example, None, "no_advice") from raised
            continue
        mistake = "zero_passes" if temperature == 0 else "negative_passes"
        raise PropertyFailed(failed, f"{temperature!r} gave {described(output)}", example, output, mistake)


def equals_shannon(entropy, examples):
    same_as(entropy, shannon, examples, reference_name="−Σ p log₂ p", mistakes=ENTROPY_MISTAKES)


def rises_with_temperature(probabilities_at, entropy, examples):
    failed = "the entropy rises with T"
    for example in examples:
        rows, before = len(example["logits"]), None
        for temperature in TEMPERATURES:
            at = {"logits": example["logits"], "temperature": temperature}
            probabilities = answer_to(_willing(probabilities_at), at)
            expect_tensor(probabilities, at["logits"].shape, at, failed, MISTAKES)
            given = {"probabilities": probabilities}
            output = answer_to(entropy, given)
            bits = expect_tensor(output, (rows,), given, failed, ENTROPY_MISTAKES)
            if before is not None and not bool((bits > before - 1e-5).all() and (bits > before).any()):
                found = f"up to T = {temperature:g} it goes from {_listed(before)} to {_listed(bits)}"
                mistake = recognised(MISTAKES, at, probabilities) or recognised(ENTROPY_MISTAKES, given, output)
                raise PropertyFailed(failed, found, at, {"probabilities": probabilities, "bits": output}, mistake)
            before = bits


def _listed(bits):
    return ", ".join(f"{value:.3f}" for value in bits.tolist())


def rows_sum_to_one(probabilities_at):
    """Each row is a distribution: no probability is negative, and they sum to one."""
    are_probabilities(probabilities_at, examples())


def differences_count_by_temperature(probabilities_at):
    """The ratio of two probabilities is exp(difference of logits / T)."""
    equals_boltzmann(probabilities_at, examples())


def both_ends(probabilities_at):
    """Near T = 0 the likeliest token has all; at a very high T all tokens have the same."""
    ends_are_reached(probabilities_at, [example(1, 3, 1.0, seed=5), example(2, 6, 1.0, seed=6, cut=2)])


def zero_is_refused(probabilities_at):
    """T = 0 and below are refused with a ValueError that advises do_sample=False."""
    is_refused(probabilities_at, [0.0, -1.0, math.nan])


def large_logits(probabilities_at):
    """Logits in the hundreds do no harm, cold or hot."""
    equals_boltzmann(
        probabilities_at, [example(1, 3, 1.5, seed=7, scale=200.0), example(2, 4, 0.1, seed=8, scale=50.0, cut=1)]
    )


def entropy_in_bits(entropy):
    """The entropy of each row is Shannon's, in bits."""
    equals_shannon(
        entropy,
        [
            distribution([[0.5, 0.25, 0.25]]),
            distribution([[0.9, 0.1], [0.4, 0.6]]),
            distribution([[0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 0.0]]),
        ],
    )


def entropy_rises(probabilities_at, entropy):
    """The hotter, the more undecided: entropy rises with T."""
    rises_with_temperature(probabilities_at, entropy, [example(1, 3, 1.0, seed=9), example(2, 6, 1.0, seed=10, cut=1)])


CHECKS = [
    rows_sum_to_one,
    differences_count_by_temperature,
    both_ends,
    zero_is_refused,
    large_logits,
    entropy_in_bits,
    entropy_rises,
]
