"""Is the budget what torch measures? And is the largest batch found that fits, by few trials, however memory grows?"""

import functools

import torch
from torch import nn

from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.examples import Mistake, answer_to, described, recognised
from course_lib.models.blocks import BlockSizes, PostNormEncoderBlock
from course_lib.training.memory import kept_bytes

PARTS = ("weights", "gradients", "optimizer_states", "activations")
DTYPES = {4: torch.float32, 2: torch.bfloat16}
MOST_TRIALS = 64


@functools.cache
def case(batch, length, blocks, heads, embedding, inner, number_bytes=4):
    """(the example, the bytes that torch measures of such a model): BERT's blocks, without dropout and kernel."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = BlockSizes(embedding, heads, inner, activation=nn.functional.gelu)
        model = nn.ModuleList(PostNormEncoderBlock(sizes) for _ in range(blocks)).to(DTYPES[number_bytes])
        texts = torch.randn(batch, length, embedding).to(DTYPES[number_bytes])

    def loss():
        states = texts
        for block in model:
            states, _ = block(states, want_weights=True)
        return states.sum()

    activations = kept_bytes(model, loss)
    with torch.enable_grad():
        loss().backward()
    weights = sum(weight.nbytes for weight in model.parameters())
    measured = {
        "weights": weights,
        "gradients": sum(weight.grad.nbytes for weight in model.parameters()),
        # AdamW's `exp_avg` and `exp_avg_sq` are made like the weights; tests hold this against torch's own optimizer.
        "optimizer_states": sum(2 * torch.zeros_like(weight).nbytes for weight in model.parameters()),
        "activations": activations,
    }
    parameters = sum(weight.numel() for weight in model.parameters())
    return example(parameters, batch, length, blocks, heads, embedding, inner, number_bytes), measured


def example(parameters, batch, length, blocks, heads, embedding, inner, number_bytes):
    return {
        "parameters": parameters,
        "batch": batch,
        "length": length,
        "blocks": blocks,
        "heads": heads,
        "embedding": embedding,
        "inner": inner,
        "number_bytes": number_bytes,
    }


def large(blocks, heads, embedding, inner, parameters, number_bytes=4):
    """A model too large to be measured here: four texts of 128 places."""
    return example(parameters, 4, 128, blocks, heads, embedding, inner, number_bytes)


def measured():
    """From one text in one block to three texts in two, with 4 bytes and with 2."""
    return [case(1, 3, 1, 2, 4, 8), case(2, 3, 1, 2, 4, 12), case(3, 6, 2, 2, 8, 20), case(2, 5, 2, 4, 8, 16, 2)]


# Known wrong activations, each by its own formula. The right one is what torch measures, and stands nowhere.


def _kept(states=8, inners=2, norms=4, **powers):
    """A recogniser's count of numbers that goes another way in some point, times blocks and bytes as given."""

    def formula(example):
        batch, length = example["batch"], example["length"]
        by_place = states * example["embedding"] + inners * example["inner"] + norms
        of_places = batch ** powers.get("batch_of_places", 1) * length * by_place
        of_pairs = batch ** powers.get("batch", 1) * length ** powers.get("length", 2)
        of_pairs *= example["heads"] ** powers.get("heads", 1) * powers.get("pairs", 1)
        numbers = example["blocks"] ** powers.get("blocks", 1) * (of_places + of_pairs)
        return numbers * powers.get("bytes", example["number_bytes"])

    return formula


def _activations(key, formula):
    return Mistake(key, lambda example, output: output["activations"] == formula(example))


def _times(part, number):
    """The part is the weights' bytes times this."""
    return lambda example, output: output[part] == number * example["parameters"] * example["number_bytes"]


def _with_batch(example, output):
    weights = example["batch"] * example["parameters"] * example["number_bytes"]
    return example["batch"] > 1 and output["weights"] == weights


def _four_instead_of_two(example, output):
    return example["number_bytes"] == 2 and output["weights"] == 4 * example["parameters"]


FIXED_MISTAKES = [
    Mistake("no_gradients", lambda example, output: output["gradients"] == 0),
    Mistake("bits", _times("weights", 8)),
    Mistake("in_numbers", lambda example, output: output["weights"] == example["parameters"]),
    Mistake("always_four", _four_instead_of_two),
    Mistake("with_batch", _with_batch),
    Mistake("one_mean", _times("optimizer_states", 1)),
    Mistake("no_states", lambda example, output: output["optimizer_states"] == 0),
    Mistake("other_states", _times("optimizer_states", 3)),
]
ACTIVATION_MISTAKES = [
    _activations("no_pairs", _kept(pairs=0)),
    _activations("not_squared", _kept(length=1)),
    _activations("batch_squared", _kept(batch=2)),
    _activations("batch_squared", _kept(batch=2, batch_of_places=2)),
    _activations("without_batch", _kept(batch=0)),
    _activations("without_batch", _kept(batch=0, batch_of_places=0)),
    _activations("heads_forgotten", _kept(heads=0)),
    _activations("one_block", _kept(blocks=0)),
    _activations("one_inner", _kept(inners=1)),
    _activations("no_norms", _kept(norms=0)),
    _activations("one_state", _kept(states=1)),
    _activations("in_numbers", _kept(bytes=1)),
    _activations("always_four", _kept(bytes=4)),
]


def _budget(step_bytes, example, failed):
    output = answer_to(step_bytes, example)
    if not isinstance(output, dict) or set(output) != set(PARTS):
        found = f"expected a dict with {', '.join(PARTS)}, got {described(output)}"
        raise PropertyFailed(failed, found, example, output, "no_budget")
    for part, count in output.items():
        if not isinstance(count, int) or isinstance(count, bool):
            raise PropertyFailed(failed, f"{part} is {described(count)}", example, output, "not_whole")
    return output


# The public checks try each property on some models and cards; the hidden tests on others.


def _as_measured(step_bytes, cases, parts, mistakes):
    failed = "the bytes are those that torch measures"
    for example, right in cases:
        output = _budget(step_bytes, example, failed)
        for part in parts:
            if output[part] != right[part]:
                found = f"{part}: {output[part]:,} instead of {right[part]:,}"
                raise PropertyFailed(failed, found, example, output, recognised(mistakes, example, output))


def fixed_part_is_measured(step_bytes, cases):
    _as_measured(step_bytes, cases, PARTS[:3], FIXED_MISTAKES)


def activations_are_measured(step_bytes, cases):
    _as_measured(step_bytes, cases, PARTS[3:], ACTIVATION_MISTAKES)


def growth_is_right(step_bytes, examples):
    """Twice the batch, twice the blocks, twice the bytes, two and three times the length: by how much does it grow?"""
    for example in examples:
        failed = "a step grows as it should"
        once = _budget(step_bytes, example, failed)

        def grown(once=once, example=example, failed=failed, **times):
            other = {name: value * times.get(name, 1) for name, value in example.items()}
            return other, _budget(step_bytes, other, failed)

        for name in ("batch", "blocks", "number_bytes"):
            other, twice = grown(**{name: 2})
            for part in PARTS:
                factor = 2 if part == "activations" or name == "number_bytes" else 1
                if twice[part] != factor * once[part]:
                    found = f"with {name} {other[name]} instead of {example[name]}, {part} grow from {once[part]:,} "
                    found += f"to {twice[part]:,}"
                    mistakes = [*ACTIVATION_MISTAKES, *FIXED_MISTAKES]
                    raise PropertyFailed(failed, found, other, twice, recognised(mistakes, other, twice))
        two, three = (grown(length=times)[1]["activations"] for times in (2, 3))
        # a n + b n^2 at n, 2n, 3n: the second difference is 2 b n^2, and b counts the pairs of all heads.
        pairs = example["batch"] * example["heads"] * example["length"] ** 2
        bend = three - 2 * two + once["activations"]
        if bend != 2 * pairs * example["blocks"] * example["number_bytes"]:
            found = f"with one, two and three times the length, {once['activations']:,}, {two:,} and {three:,}"
            mistake = recognised(ACTIVATION_MISTAKES, example, once)
            raise PropertyFailed(failed, found, example, once, mistake or "not_squared")


class Trials:
    """`bytes_of` for a learner: counts its calls, and refuses a batch below 1 and more calls than are allowed."""

    def __init__(self, bytes_of):
        self.bytes_of, self.asked, self.misuse = bytes_of, [], None

    def __call__(self, batch):
        if isinstance(batch, bool) or not isinstance(batch, int):
            self.misuse = "not_whole"
            raise ValueError(f"bytes_of takes a whole number of texts, got {described(batch)}")
        if batch < 1:
            self.misuse = "batch_of_zero"
            raise ValueError(f"a batch has at least one text, got {batch}")
        self.asked.append(batch)
        if len(self.asked) > MOST_TRIALS:
            self.misuse = "too_many_trials"
            raise ValueError(f"at most {MOST_TRIALS} trials, this is one more")
        return self.bytes_of(batch)


def card(bytes_of, memory_bytes):
    return bytes_of, memory_bytes


def cards():
    """Exact fits and others, even growth and uneven, from no text at all to a thousand."""
    return [
        card(lambda batch: 10 + 3 * batch, 12),
        card(lambda batch: 10 + 3 * batch, 13),
        card(lambda batch: 10 + 3 * batch, 15),
        card(lambda batch: 9 + 7 * batch, 100),
        card(lambda batch: 9 + 7 * batch, 99),
        card(lambda batch: 20 + batch**2, 3_000),
        card(lambda batch: 64 * -(-(100 + 70 * batch) // 64), 5_000),
        card(lambda batch: 4 * batch, 4_000),
    ]


def _search_mistake(bytes_of, memory_bytes, largest, found):
    one, two = bytes_of(1), bytes_of(2)
    if found == largest + 1:
        return "one_too_many" if largest else "none_fits"
    if found == largest - 1 and bytes_of(largest) == memory_bytes:
        return "exact_fit"
    if two > one and found == max(0, 1 + (memory_bytes - one) // (two - one)):
        return "extrapolated"
    if found > 0 and found & (found - 1) == 0 and found <= largest < 2 * found:
        return "powers_of_two"
    return "upper_limit" if 0 < found < largest else "too_large"


def largest_is_found(largest_batch, cards):
    failed = "the largest batch that fits is found"
    for bytes_of, memory_bytes in cards:
        trials = Trials(bytes_of)
        shown = {"memory_bytes": memory_bytes}
        try:
            output = answer_to(lambda memory_bytes, trials=trials: largest_batch(trials, memory_bytes), shown)
        except AnswerRaised as raised:
            if trials.misuse is None:
                raise
            raise PropertyFailed(failed, raised.error, _told(trials, shown), None, trials.misuse) from raised
        shown = _told(trials, shown)
        if trials.misuse:
            found = f"`bytes_of` was asked what it cannot say; {len(trials.asked)} trials were made"
            raise PropertyFailed(failed, found, shown, output, trials.misuse)
        if not isinstance(output, int) or isinstance(output, bool):
            raise PropertyFailed(failed, f"expected a whole number, got {described(output)}", shown, output, "no_batch")
        largest = _largest(bytes_of, memory_bytes)
        if output != largest:
            mistake = _search_mistake(bytes_of, memory_bytes, largest, output)
            takes = f"a batch of {output} takes {bytes_of(output):,} bytes" if output > 0 else f"got {output}"
            more = f", one of {output + 1} takes {bytes_of(output + 1):,}" if 0 <= output < largest else ""
            raise PropertyFailed(failed, f"{takes}{more}, and {memory_bytes:,} are there", shown, output, mistake)


def _told(trials, shown):
    tried = {batch: trials.bytes_of(batch) for batch in trials.asked[:6]}
    return {**shown, "bytes_of, as asked": tried, "trials": len(trials.asked)}


def _largest(bytes_of, memory_bytes):
    """By counting up in great steps and then in small ones: slow, and nobody's trials are counted."""
    batch = 0
    for stride in (65_536, 256, 1):
        while bytes_of(batch + stride) <= memory_bytes:
            batch += stride
    return batch


def weights_as_measured(step_bytes):
    """Weights, gradients and AdamW's means take what torch takes for them."""
    fixed_part_is_measured(step_bytes, measured())


def activations_as_measured(step_bytes):
    """The activations take what torch keeps for the backward pass."""
    activations_are_measured(step_bytes, measured())


def grows_as_it_should(step_bytes):
    """Only the activations grow with the batch, and with the length they grow faster than it."""
    growth_is_right(step_bytes, [large(12, 12, 768, 3_072, 110_000_000)])


def largest_fits(largest_batch):
    """The batch that you find fits, and one more text would not."""
    largest_is_found(largest_batch, cards())


def few_trials(largest_batch):
    """A batch of ten thousands is found with few trials."""
    largest_is_found(largest_batch, [card(lambda batch: 1_000 + 3 * batch, 200_000)])


CHECKS = [weights_as_measured, activations_as_measured, grows_as_it_should, largest_fits, few_trials]
