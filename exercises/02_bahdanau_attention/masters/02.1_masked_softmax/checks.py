"""What a masked softmax must do: properties, and how to tell known mistakes apart. There is no solution in here."""

import torch

from course_lib.exercises.properties.mistakes import (
    ignores_padding_mask,
    mask_inverted,
    masked_too_late,
    sums_to_one_over,
)
from course_lib.exercises.properties.weights import padding_gets_no_weight, weights_sum_to_one


def examples():
    """Energies and masks, from one sentence of two places to three sentences of five."""
    generator = torch.Generator().manual_seed(0)
    for batch, source, words in [(1, 2, [1]), (2, 3, [3, 1]), (3, 5, [5, 2, 4])]:
        energies = torch.randn(batch, source, generator=generator)
        is_word = torch.arange(source) < torch.tensor(words).unsqueeze(1)
        yield {"energies": energies, "is_word": is_word}


# The more special one first: an inverted mask gives words nothing, a late one gives padding nothing.
MISTAKES = [
    mask_inverted("inverted_mask", "is_word"),
    masked_too_late("late_mask", "is_word"),
    ignores_padding_mask("unused_mask", "is_word"),
    sums_to_one_over("wrong_axis", axis=0),
]


def words_share_one(masked_softmax):
    """The weights of each sentence sum to one."""
    weights_sum_to_one(masked_softmax, examples(), shape_of="energies", mistakes=MISTAKES)


def padding_gets_nothing(masked_softmax):
    """Padding gets no weight at all."""
    padding_gets_no_weight(masked_softmax, examples(), mask="is_word", mistakes=MISTAKES)


CHECKS = [words_share_one, padding_gets_nothing]
