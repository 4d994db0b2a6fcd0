"""What a masked softmax must do: properties, and how to tell known mistakes apart. There is no solution in here."""

import torch

from course_lib.exercises.properties.batches import batch_of_one_equals_batch, padding_changes_nothing
from course_lib.exercises.properties.examples import Mistake
from course_lib.exercises.properties.mistakes import (
    equals,
    ignores_padding_mask,
    mask_inverted,
    masked_too_late,
    sums_to_one_over,
)
from course_lib.exercises.properties.parity import same_as
from course_lib.exercises.properties.weights import padding_gets_no_weight, weights_sum_to_one


def example(batch, source, words, seed, scale=1.0):
    """Energies of sentences with `words` words each, up to about `scale` in size."""
    energies = scale * torch.randn(batch, source, generator=torch.Generator().manual_seed(seed))
    return {"energies": energies, "is_word": torch.arange(source) < torch.tensor(words).unsqueeze(1)}


def examples():
    """From one sentence of two words to three sentences of five places."""
    yield example(1, 2, [2], seed=0)
    yield example(2, 3, [2, 1], seed=1)
    yield example(3, 5, [5, 2, 4], seed=2)


def _large(example, output):
    return output.isnan().any() and example["energies"].abs().max() > 80


# Asked in this order: formulas of special mistakes first, then what a whole family of them has in common.
MISTAKES = [
    Mistake("overflow", _large),
    equals("zero_energy", lambda energies, is_word: (energies * is_word).softmax(-1)),
    equals("one_mask", lambda energies, is_word: energies.masked_fill(~is_word[:1], -torch.inf).softmax(-1)),
    equals("logarithms", lambda energies, is_word: energies.masked_fill(~is_word, -torch.inf).log_softmax(-1)),
    equals("energies_unread", lambda energies, is_word: is_word / is_word.sum(-1, keepdim=True)),
    mask_inverted("inverted_mask", "is_word"),
    Mistake("inverted_mask", lambda example, output: example["is_word"].all() and output.isnan().all()),
    ignores_padding_mask("unused_mask", "is_word"),
    masked_too_late("late_mask", "is_word"),
    sums_to_one_over("wrong_axis", axis=0),
]


# The public checks try each property on the examples above; the hidden tests on others.


def weights_share_one(masked_softmax, examples):
    weights_sum_to_one(masked_softmax, examples, shape_of="energies", mistakes=MISTAKES)


def padding_has_no_weight(masked_softmax, examples):
    padding_gets_no_weight(masked_softmax, examples, mask="is_word", mistakes=MISTAKES)


def _words_alone(energies, is_word):
    """Each sentence by itself, its padding taken away: what is left is an ordinary softmax."""
    weights = torch.zeros_like(energies)
    for sentence, words in enumerate(is_word):
        weights[sentence, words] = energies[sentence, words].softmax(0)
    return weights


def equals_torch(masked_softmax, examples):
    same_as(
        masked_softmax, _words_alone, examples, reference_name="torch's softmax of the words alone", mistakes=MISTAKES
    )


def _pad(example, places):
    """More places without a word, with energies all the same: any network gives padding some score."""
    energies, is_word = example["energies"], example["is_word"]
    rubbish = torch.randn(len(energies), places, generator=torch.Generator().manual_seed(places))
    return {
        "energies": torch.cat([energies, rubbish], dim=1),
        "is_word": torch.cat([is_word, torch.zeros(len(energies), places, dtype=torch.bool)], dim=1),
    }


def _cut(weights, example):
    return weights[:, : example["energies"].shape[1]]


def _trim(example):
    words = int(example["is_word"].sum())
    return {name: value[:, :words] for name, value in example.items()}


def batches_do_not_matter(masked_softmax, examples):
    padding_changes_nothing(masked_softmax, examples, pad=_pad, unpad=_cut, mistakes=MISTAKES)
    batch_of_one_equals_batch(
        masked_softmax, examples, batched=("energies", "is_word"), trim=_trim, unpad=_cut, mistakes=MISTAKES
    )


def words_share_one(masked_softmax):
    """The weights of each sentence sum to one."""
    weights_share_one(masked_softmax, examples())


def padding_gets_nothing(masked_softmax):
    """Padding gets no weight at all."""
    padding_has_no_weight(masked_softmax, examples())


def words_as_if_alone(masked_softmax):
    """The words get what a softmax of these words alone would give them."""
    equals_torch(masked_softmax, examples())


def large_energies(masked_softmax):
    """Energies in the hundreds do no harm."""
    equals_torch(masked_softmax, [example(2, 3, [3, 2], seed=3, scale=300.0)])


def same_in_any_batch(masked_softmax):
    """Neither more padding nor other sentences in the batch change a sentence's weights."""
    batches_do_not_matter(masked_softmax, examples())


CHECKS = [words_share_one, padding_gets_nothing, words_as_if_alone, large_energies, same_in_any_batch]
