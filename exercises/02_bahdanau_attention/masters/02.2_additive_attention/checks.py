"""What additive attention must do: the library's answer with the same weights, and the invariances of any attention."""

import torch

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.batches import (
    batch_of_one_equals_batch,
    padding_changes_nothing,
    permutation_equivariance,
)
from course_lib.exercises.properties.examples import Mistake, answer_to, described, expect_tensor, part_of, recognised
from course_lib.exercises.properties.parity import same_as
from course_lib.exercises.properties.weights import padding_gets_no_weight, weights_sum_to_one
from course_lib.models.attention import AdditiveAttention


def example(batch, source, words, sizes, seed, scale=1.0):
    """A batch of sentences with `words` words each; `sizes` are those of query, keys and attention."""
    query_size, key_size, attention_size = sizes
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return {
        "query": normal(batch, query_size),
        "keys": normal(batch, source, key_size),
        "is_word": torch.arange(source) < torch.tensor(words).unsqueeze(1),
        "W": normal(attention_size, query_size),
        "U": normal(attention_size, key_size),
        "v": scale * normal(attention_size),
    }


def examples():
    """From one sentence of two words to three sentences of four places.

    Query and keys are of one size, so that matrices that changed places are told by their numbers, not by an error.
    """
    yield example(1, 2, [2], sizes=(2, 2, 2), seed=0)
    yield example(2, 3, [3, 2], sizes=(2, 2, 2), seed=1)
    yield example(3, 4, [2, 4, 3], sizes=(2, 2, 3), seed=2)


@torch.no_grad()
def _attention(W, U, v):
    """The library's attention with these matrices."""
    attention = AdditiveAttention(W.shape[1], U.shape[1], len(v)).requires_grad_(False)
    attention.query_projection.weight.copy_(W)
    attention.key_projection.weight.copy_(U)
    attention.energy.weight.copy_(v.unsqueeze(0))
    return attention


def _library(query, keys, is_word, W, U, v):
    attention = _attention(W, U, v)
    return attention(query, attention.project_keys(keys), keys, is_word)


# Known wrong answers, each made by the library's attention fed wrongly or by its own energies used wrongly.


def _energies(example):
    attention = _attention(example["W"], example["U"], example["v"])
    return attention.energies(example["query"], attention.project_keys(example["keys"]))


def _struck_out(energies, is_word):
    return energies.masked_fill(~is_word, -torch.inf)


def _mix(weights, keys):
    return torch.einsum("bs,bsk->bk", weights, keys)


def _as(wrong):
    """A recogniser of the answers that `wrong(example)` gives: (context, weights), or None where either will do.

    An output may be the pair, or the weights alone.
    """

    def recognises(example, output):
        context, weights = wrong(example)
        pair = output if isinstance(output, tuple | list) else (None, output)
        compared = [
            torch.allclose(found, wanted, rtol=1e-3, atol=1e-4, equal_nan=True)
            for found, wanted in zip(pair, (context, weights), strict=True)
            if found is not None and wanted is not None and found.shape == wanted.shape
        ]
        return bool(compared) and all(compared)

    return recognises


def _with_weights(make):
    """The pair that follows from wrong weights, which are `make(energies, is_word)`."""

    def wrong(example):
        weights = make(_energies(example), example["is_word"])
        return _mix(weights, example["keys"]), weights

    return wrong


def _with_context(make):
    """The right weights, and the wrong context `make(energies, keys)`."""

    def wrong(example):
        return make(_energies(example), example["keys"]), _library(**example)[1]

    return wrong


def _without_tanh(example):
    query, keys, is_word, W, U, v = example.values()
    energies = ((query @ W.T).unsqueeze(1) + keys @ U.T) @ v
    return None, energies.masked_fill(~is_word, float("-inf")).softmax(-1)


def _swapped(example):
    return _library(**{**example, "W": example["U"], "U": example["W"]})


def _mean_query(example):
    return _library(**{**example, "query": example["query"].mean(0).expand_as(example["query"])})


def _first_query(example):
    return _library(**{**example, "query": example["query"][:1].expand_as(example["query"])})


def _in_the_other_order(example, output):
    weights, _context = output
    return weights.shape == example["is_word"].shape and torch.allclose(weights.sum(-1), torch.ones(()))


MISTAKES = [
    Mistake("no_softmax", _as(lambda example: (None, _energies(example)))),
    Mistake("no_softmax", _as(_with_weights(lambda energies, is_word: energies * is_word))),
    Mistake("unused_mask", _as(_with_weights(lambda energies, is_word: energies.softmax(-1)))),
    Mistake("late_mask", _as(_with_weights(lambda energies, is_word: energies.softmax(-1) * is_word))),
    Mistake("wrong_axis", _as(_with_weights(lambda energies, is_word: _struck_out(energies, is_word).softmax(0)))),
    Mistake("wrong_axis", _as(_with_weights(lambda energies, is_word: energies.softmax(0)))),
    Mistake("raw_scores", _as(_with_context(_mix))),
    Mistake("mean_of_keys", _as(_with_context(lambda energies, keys: keys.mean(1)))),
    Mistake("padded_context", _as(_with_context(lambda energies, keys: _mix(energies.softmax(-1), keys)))),
    Mistake("swapped_matrices", _as(_swapped)),
    Mistake("one_query", _as(_mean_query)),
    Mistake("one_query", _as(_first_query)),
    Mistake("no_tanh", _as(_without_tanh)),
    Mistake("wrong_order", _in_the_other_order),
]


# The public checks try each property on the examples above; the hidden tests on others.


def shapes_are_right(additive_attention, examples):
    failed = "the answer is a context and its weights"
    for example in examples:
        output = answer_to(additive_attention, example)
        if not isinstance(output, tuple | list) or len(output) != 2:
            raise PropertyFailed(failed, f"got {described(output)}, not a pair", example, output, "not_a_pair")
        if recognised([Mistake("wrong_order", _in_the_other_order)], example, output):
            raise PropertyFailed(failed, "the weights come first", example, output, "wrong_order")
        context, weights = output
        batch, _, key_size = example["keys"].shape
        expect_tensor(weights, example["is_word"].shape, example, "the weights are [batch, source]", MISTAKES)
        expect_tensor(context, (batch, key_size), example, "the context is [batch, key]", MISTAKES)


def weights_share_one(additive_attention, examples):
    weights_of = part_of(additive_attention, 1, of=2)
    weights_sum_to_one(weights_of, examples, shape_of="is_word", mistakes=MISTAKES)


def padding_has_no_weight(additive_attention, examples):
    padding_gets_no_weight(part_of(additive_attention, 1, of=2), examples, mask="is_word", mistakes=MISTAKES)


def equals_the_library(additive_attention, examples):
    same_as(additive_attention, _library, examples, reference_name="course_lib", tolerance=1e-4, mistakes=MISTAKES)


def _pad(example, places):
    """More places without a word, which hold something all the same: what an encoder leaves there is no concern."""
    batch, _, key_size = example["keys"].shape
    rubbish = torch.randn(batch, places, key_size, generator=torch.Generator().manual_seed(places))
    keys = torch.cat([example["keys"], rubbish], dim=1)
    is_word = torch.cat([example["is_word"], torch.zeros(batch, places, dtype=torch.bool)], dim=1)
    return {**example, "keys": keys, "is_word": is_word}


def _without_padding(output, example):
    context, weights = output
    return context, weights[:, : example["keys"].shape[1]]


def _trim(example):
    words = int(example["is_word"].sum())
    return {**example, "keys": example["keys"][:, :words], "is_word": example["is_word"][:, :words]}


def padding_is_harmless(additive_attention, examples):
    padding_changes_nothing(
        additive_attention, examples, pad=_pad, unpad=_without_padding, tolerance=1e-4, mistakes=MISTAKES
    )


def alone_or_in_a_batch(additive_attention, examples):
    batch_of_one_equals_batch(
        additive_attention,
        examples,
        batched=("query", "keys", "is_word"),
        trim=_trim,
        unpad=_without_padding,
        tolerance=1e-4,
        mistakes=MISTAKES,
    )


def _reorder(example, order):
    return {**example, "keys": example["keys"][:, order], "is_word": example["is_word"][:, order]}


def weights_follow_their_words(additive_attention, examples):
    permutation_equivariance(
        additive_attention,
        examples,
        permute=_reorder,
        length=lambda example: example["keys"].shape[1],
        permute_output=lambda output, order: (output[0], output[1][:, order]),
        tolerance=1e-4,
        mistakes=MISTAKES,
    )


def context_and_weights(additive_attention):
    """The answer is a context and its weights, with the shapes asked for."""
    shapes_are_right(additive_attention, examples())


def words_share_one(additive_attention):
    """The weights of each sentence sum to one."""
    weights_share_one(additive_attention, examples())


def padding_gets_nothing(additive_attention):
    """Padding gets no weight at all."""
    padding_has_no_weight(additive_attention, examples())


def follows_the_formula(additive_attention):
    """With the same matrices it gives what the library's attention gives."""
    equals_the_library(additive_attention, [*examples(), example(3, 5, [2, 5, 3], sizes=(2, 3, 4), seed=3)])


def padding_changes_no_answer(additive_attention):
    """More padding changes neither context nor weights."""
    padding_is_harmless(additive_attention, examples())


def alone_as_together(additive_attention):
    """A sentence alone gets what it gets in a batch."""
    alone_or_in_a_batch(additive_attention, examples())


def order_goes_along(additive_attention):
    """If the words change places, their weights go along, and the context stays."""
    weights_follow_their_words(additive_attention, examples())


CHECKS = [
    context_and_weights,
    words_share_one,
    padding_gets_nothing,
    follows_the_formula,
    padding_changes_no_answer,
    alone_as_together,
    order_goes_along,
]
