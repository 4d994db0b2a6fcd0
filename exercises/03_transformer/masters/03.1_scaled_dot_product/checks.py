"""What scaled dot-product attention must do: torch's answer, scores of one size, and nothing from hidden places."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.batches import padding_changes_nothing, permutation_equivariance
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    Mistake,
    answer_to,
    described,
    expect_tensor,
    part_of,
    recognised,
    smallest_first,
)
from course_lib.exercises.properties.parity import same_as
from course_lib.exercises.properties.weights import padding_gets_no_weight, weights_sum_to_one


def example(heads, target, lengths, sizes, seed, causal=False, scale=1.0):
    """Queries, keys and values of sentences of so many words; `sizes` are those of a key and of a value.

    causal: place t may look at no place after t. Else all places of a sentence may look at the same ones: its words.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, source = len(lengths), max(lengths)
    may_look = (torch.arange(source) < torch.tensor(lengths).unsqueeze(1))[:, None, None, :]
    if causal:
        may_look = may_look & (torch.arange(source) <= torch.arange(target).unsqueeze(1))

    def normal(places, size):
        return torch.randn(batch, heads, places, size, generator=generator)

    return {
        "query": scale * normal(target, sizes[0]),
        "key": normal(source, sizes[0]),
        "value": normal(source, sizes[1]),
        "may_look": may_look,
    }


def examples():
    """From one sentence of two words in one head to two sentences of four words in three heads."""
    yield example(1, 2, [2], sizes=(3, 4), seed=0, causal=True)
    yield example(2, 2, [3, 2], sizes=(4, 3), seed=1)
    yield example(3, 4, [4, 3], sizes=(5, 2), seed=2, causal=True)


def _shape_of_weights(example):
    return (*example["query"].shape[:-1], example["key"].shape[-2])


def _whole_mask(example):
    return example["may_look"].expand(_shape_of_weights(example))


def _torchs_own(query, key, value, may_look):
    """Torch gives the context; with a one in each place of its own for values, the context is the weights."""
    ones = torch.eye(key.shape[-2]).expand(*key.shape[:-1], -1)
    return tuple(scaled_dot_product_attention(query, key, seen, attn_mask=may_look) for seen in (value, ones))


# Known wrong answers, each from the products of queries and keys, used wrongly.


def _products(query, key):
    return torch.einsum("bhtd,bhsd->bhts", query, key)


def _hidden(scores, may_look):
    return scores.masked_fill(~may_look, -torch.inf)


def _as(wrong):
    """A recogniser of the pair that `wrong(example)` gives, or of its weights alone, where that is wrong indeed."""

    def recognises(example, output):
        wanted, right = wrong(example), _torchs_own(**example)
        if not isinstance(output, tuple | list):
            wanted, right = wanted[1], right[1]
        is_wrong = difference(right, wanted, 1e-4) is not None
        return is_wrong and difference(wanted, output, 1e-4, equal_nan=True) is None

    return recognises


def _with_weights(make):
    """The pair that follows from wrong weights, which are `make(products, may_look, size)`."""

    def wrong(example):
        query, key, value, may_look = example.values()
        weights = make(_products(query, key), may_look, query.shape[-1])
        return torch.matmul(weights, value), weights

    return wrong


def _divided_by(divisor):
    """The pair with another divisor than the root of the size: `divisor(query, key, value)`."""

    def wrong(example):
        query, key, value, may_look = example.values()
        weights = _hidden(_products(query, key) / divisor(query, key, value), may_look).softmax(-1)
        return torch.matmul(weights, value), weights

    return wrong


def _softmax_over(axis):
    return _with_weights(lambda products, may_look, size: _hidden(products / size**0.5, may_look).softmax(axis))


def _swapped(example):
    return _torchs_own(example["key"], example["query"], example["value"], example["may_look"])


def _raw_scores(example):
    query, key, value, may_look = example.values()
    scores = _products(query, key) / query.shape[-1] ** 0.5
    return torch.matmul(scores, value), _torchs_own(query, key, value, may_look)[1]


def _mean_of_values(example):
    mean = example["value"].mean(-2, keepdim=True)
    return mean.expand(*example["query"].shape[:-1], -1), _torchs_own(**example)[1]


def _is_large(example):
    return _products(example["query"], example["key"]).abs().max() / example["query"].shape[-1] ** 0.5 > 80


def _not_a_number(example, output):
    weights = output[1] if isinstance(output, tuple | list) else output
    return _is_large(example) and weights.isnan().any()


def _little(example, output):
    """Hidden places have a weight that no sum shows."""
    weights = output[1] if isinstance(output, tuple | list) else output
    on_hidden = weights[~_whole_mask(example)]
    return len(on_hidden) > 0 and (on_hidden >= 0).all() and 0 < on_hidden.max() < 1e-4


def _in_the_other_order(example, output):
    weights, _context = output
    return tuple(weights.shape) == _shape_of_weights(example) and torch.allclose(weights.sum(-1), torch.ones(()))


def _times_mask(products, may_look, size):
    return (products / size**0.5 * may_look).softmax(-1)


# Asked in this order: formulas of special mistakes first.
MISTAKES = [
    Mistake("overflow", _not_a_number),
    Mistake("no_softmax", _as(_with_weights(lambda products, may_look, size: products / size**0.5))),
    Mistake("no_softmax", _as(_with_weights(lambda products, may_look, size: products / size**0.5 * may_look))),
    Mistake("no_softmax", _as(_with_weights(lambda products, may_look, size: _hidden(products / size**0.5, may_look)))),
    Mistake("unused_mask", _as(_with_weights(lambda products, may_look, size: (products / size**0.5).softmax(-1)))),
    Mistake(
        "late_mask", _as(_with_weights(lambda products, may_look, size: (products / size**0.5).softmax(-1) * may_look))
    ),
    Mistake(
        "inverted_mask",
        _as(_with_weights(lambda products, may_look, size: _hidden(products / size**0.5, ~may_look).softmax(-1))),
    ),
    Mistake("zero_score", _as(_with_weights(_times_mask))),
    Mistake("no_scale", _as(_divided_by(lambda query, key, value: 1.0))),
    Mistake("no_root", _as(_divided_by(lambda query, key, value: query.shape[-1]))),
    Mistake("multiplied", _as(_divided_by(lambda query, key, value: query.shape[-1] ** -0.5))),
    Mistake("other_size", _as(_divided_by(lambda query, key, value: key.shape[-2] ** 0.5))),
    Mistake("other_size", _as(_divided_by(lambda query, key, value: query.shape[-2] ** 0.5))),
    Mistake("other_size", _as(_divided_by(lambda query, key, value: value.shape[-1] ** 0.5))),
    Mistake("size_of_all_heads", _as(_divided_by(lambda query, key, value: (query.shape[1] * query.shape[-1]) ** 0.5))),
    Mistake(
        "late_scale",
        _as(_with_weights(lambda products, may_look, size: _hidden(products, may_look).softmax(-1) / size**0.5)),
    ),
    Mistake("wrong_axis", _as(_softmax_over(-2))),
    Mistake("wrong_axis", _as(_softmax_over(1))),
    Mistake("wrong_axis", _as(_softmax_over(0))),
    Mistake("swapped", _as(_swapped)),
    Mistake("raw_scores", _as(_raw_scores)),
    Mistake("mean_of_values", _as(_mean_of_values)),
    Mistake("finite_score", _little),
    Mistake("wrong_order", _in_the_other_order),
]


# The public checks try each property on the examples above; the hidden tests on others.


def shapes_are_right(scaled_dot_product, examples):
    failed = "the answer is a context and its weights"
    for example in smallest_first(examples):
        output = answer_to(scaled_dot_product, example)
        if not isinstance(output, tuple | list) or len(output) != 2:
            raise PropertyFailed(failed, f"got {described(output)}, not a pair", example, output, "not_a_pair")
        if recognised([Mistake("wrong_order", _in_the_other_order)], example, output):
            raise PropertyFailed(failed, "the weights come first", example, output, "wrong_order")
        context, weights = output
        shape = _shape_of_weights(example)
        expect_tensor(weights, shape, example, "the weights are [batch, head, target, source]", MISTAKES)
        shape = (*shape[:-1], example["value"].shape[-1])
        expect_tensor(context, shape, example, "the context is [batch, head, target, value]", MISTAKES)


def weights_share_one(scaled_dot_product, examples):
    weights_of = part_of(scaled_dot_product, 1, of=2)
    weights_sum_to_one(weights_of, examples, shape_of=_shape_of_weights, mistakes=MISTAKES)


def hidden_places_have_no_weight(scaled_dot_product, examples):
    padding_gets_no_weight(part_of(scaled_dot_product, 1, of=2), examples, mask=_whole_mask, mistakes=MISTAKES)


def equals_torch(scaled_dot_product, examples):
    same_as(scaled_dot_product, _torchs_own, examples, tolerance=1e-4, mistakes=MISTAKES)


def scores_are_of_one_size(scaled_dot_product, sizes, seed):
    """Of features with variance 1, the scores have variance 1, however many features there are.

    The logarithms of a row's weights are its scores, up to one number for the whole row.
    """
    failed = "the spread of the scores is about 1, however many features there are"
    for size in sizes:
        wide = example(1, 40, [40], sizes=(size, 1), seed=seed + size)
        weights = expect_tensor(
            answer_to(part_of(scaled_dot_product, 1, of=2), wide), _shape_of_weights(wide), wide, failed, MISTAKES
        )
        logarithms = weights.double().log()
        spread = (logarithms - logarithms.mean(dim=-1, keepdim=True)).std().item()
        if not abs(spread - 1) < 0.25:
            found = f"with {size} features it is {spread:.3g}"
            raise PropertyFailed(failed, found, wide, weights, recognised(MISTAKES, wide, weights))


def _further(example, places):
    """More source places that nobody may look at, with keys and values all the same."""
    batch, heads = example["key"].shape[:2]
    generator = torch.Generator().manual_seed(places)

    def longer(states):
        rubbish = torch.randn(batch, heads, places, states.shape[-1], generator=generator)
        return torch.cat([states, 3 * rubbish], dim=2)

    hidden = torch.zeros(*example["may_look"].shape[:-1], places, dtype=torch.bool)
    return {
        **example,
        "key": longer(example["key"]),
        "value": longer(example["value"]),
        "may_look": torch.cat([example["may_look"], hidden], dim=-1),
    }


def _without_further(output, example):
    context, weights = output
    return context, weights[..., : example["key"].shape[2]]


def hidden_places_are_harmless(scaled_dot_product, examples):
    padding_changes_nothing(
        scaled_dot_product, examples, pad=_further, unpad=_without_further, tolerance=1e-4, mistakes=MISTAKES
    )


def _reordered(example, order):
    of_source = {"key": example["key"][:, :, order], "value": example["value"][:, :, order]}
    return {**example, **of_source, "may_look": example["may_look"][..., order]}


def weights_follow_their_keys(scaled_dot_product, examples):
    permutation_equivariance(
        scaled_dot_product,
        examples,
        permute=_reordered,
        length=lambda example: example["key"].shape[2],
        permute_output=lambda output, order: (output[0], output[1][..., order]),
        tolerance=1e-4,
        mistakes=MISTAKES,
    )


def context_and_weights(scaled_dot_product):
    """The answer is a context and its weights, with the shapes asked for."""
    shapes_are_right(scaled_dot_product, examples())


def places_share_one(scaled_dot_product):
    """The weights of each target place sum to one."""
    weights_share_one(scaled_dot_product, examples())


def hidden_places_get_nothing(scaled_dot_product):
    """Where a place may not look, it has no weight at all."""
    hidden_places_have_no_weight(scaled_dot_product, examples())


def same_as_torch(scaled_dot_product):
    """It gives what torch's own attention gives, also for scores in the hundreds."""
    equals_torch(scaled_dot_product, [*examples(), example(1, 2, [3], sizes=(4, 3), seed=3, scale=400.0)])


def scores_of_any_size(scaled_dot_product):
    """More features make the weights no sharper."""
    scores_are_of_one_size(scaled_dot_product, sizes=(4, 64, 256), seed=4)


def hidden_places_change_nothing(scaled_dot_product):
    """Further places that nobody may look at change neither context nor weights."""
    hidden_places_are_harmless(scaled_dot_product, examples())


def order_goes_along(scaled_dot_product):
    """If keys and values change places, the weights go along, and the context stays."""
    weights_follow_their_keys(scaled_dot_product, examples())


CHECKS = [
    context_and_weights,
    places_share_one,
    hidden_places_get_nothing,
    same_as_torch,
    scores_of_any_size,
    hidden_places_change_nothing,
    order_goes_along,
]
