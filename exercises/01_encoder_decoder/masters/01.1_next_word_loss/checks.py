"""What the loss of the next word must do: equal a trusted one, be a mean over words, and survive any scores."""

import math

import torch
from torch.nn.functional import cross_entropy, nll_loss, pad

from course_lib.exercises.properties.batches import padding_changes_nothing
from course_lib.exercises.properties.examples import Mistake
from course_lib.exercises.properties.means import mean_not_sum
from course_lib.exercises.properties.mistakes import equals, right_times
from course_lib.exercises.properties.parity import same_as

IGNORED = -100


def example(lengths, vocabulary, seed, scale=1.0):
    """Scores, true words and mask of sentences of so many words. Padding holds word 0, which may be a true word too."""
    generator = torch.Generator().manual_seed(seed)
    batch, target = len(lengths), max(lengths)
    is_word = torch.arange(target) < torch.tensor(lengths).unsqueeze(1)
    logits = scale * torch.randn(batch, target, vocabulary, generator=generator)
    targets = torch.randint(0, vocabulary, (batch, target), generator=generator) * is_word
    return {"logits": logits, "targets": targets, "is_word": is_word}


def examples():
    """From one sentence of two words to three sentences of one to five."""
    return [example([2], 3, seed=1), example([3, 1], 4, seed=2), example([5, 1, 3], 6, seed=2)]


def blind(lengths, vocabulary):
    """Every word has the same score."""
    return {**example(lengths, vocabulary, seed=3), "logits": torch.full((len(lengths), max(lengths), vocabulary), 0.5)}


def large():
    """Scores in the thousands: certain and right, certain and wrong, and undecided."""
    logits = torch.tensor([[[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 999.0], [1000.0, 1000.0, -1000.0]]])
    is_word = torch.ones(1, 3, dtype=torch.bool)
    yield {"logits": logits[:, 2:], "targets": torch.tensor([[1]]), "is_word": is_word[:, 2:]}
    yield {"logits": logits, "targets": torch.tensor([[0, 2, 1]]), "is_word": is_word}
    yield {"logits": logits, "targets": torch.tensor([[1, 0, 2]]), "is_word": is_word}


def torchs_own(logits, targets, is_word):
    """The trusted loss."""
    return cross_entropy(logits.transpose(1, 2), targets.masked_fill(~is_word, IGNORED), ignore_index=IGNORED)


# Known wrong answers, each by its own formula around torch's loss of each place.


def _by_place(logits, targets):
    return cross_entropy(logits.transpose(1, 2), targets, reduction="none")  # [batch, target]


def _over_axis(axis):
    def loss(logits, targets, is_word):
        return nll_loss(logits.log_softmax(axis)[is_word], targets[is_word])

    return loss


def _ignoring(word):
    return lambda logits, targets, is_word: cross_entropy(logits.transpose(1, 2), targets, ignore_index=word)


def _sentence_means(logits, targets, is_word):
    return ((_by_place(logits, targets) * is_word).sum(1) / is_word.sum(1)).mean()


def _is_large(example):
    return example["logits"].abs().max() > 80  # exp(89) is too large for 32 bits


def _not_finite(example, output):
    return _is_large(example) and not torch.as_tensor(output).isfinite().all()


def _held_back(example, output):
    """A loss too small: a probability that was kept from being 0."""
    return _is_large(example) and 0 <= output < torchs_own(**example) - 1


MISTAKES = [
    Mistake("not_one_number", lambda example, output: output.ndim > 0),
    Mistake("overflow", _not_finite),
    Mistake("overflow", _held_back),
    equals("counts_padding", lambda logits, targets, is_word: _by_place(logits, targets).mean()),
    equals("padding_by_number", _ignoring(0)),
    equals("sum_not_mean", lambda logits, targets, is_word: (_by_place(logits, targets) * is_word).sum()),
    equals("sum_not_mean", lambda logits, targets, is_word: _by_place(logits, targets).sum()),
    equals("divided_by_places", lambda logits, targets, is_word: (_by_place(logits, targets) * is_word).mean()),
    equals("sentence_means", _sentence_means),
    right_times("positive_logarithm", torchs_own, factor=lambda example: -1.0),
    equals("wrong_axis", _over_axis(1)),
    equals("wrong_axis", _over_axis(0)),
]


# The public checks try each property on the examples above; the hidden tests on others.


def equal_to_torch(next_word_loss, examples):
    same_as(next_word_loss, torchs_own, examples, mistakes=MISTAKES)


def repeated_rows(next_word_loss, examples):
    mean_not_sum(next_word_loss, examples, repeat=("logits", "targets", "is_word"), mistakes=MISTAKES)


def _pad(example, places):
    """Further places without a word; a model gives scores there all the same."""
    batch, _, vocabulary = example["logits"].shape
    scores = 3 * torch.randn(batch, places, vocabulary, generator=torch.Generator().manual_seed(places))
    return {
        "logits": torch.cat([example["logits"], scores], dim=1),
        "targets": pad(example["targets"], (0, places)),
        "is_word": pad(example["is_word"], (0, places)),
    }


def more_padding(next_word_loss, examples):
    padding_changes_nothing(next_word_loss, examples, pad=_pad, mistakes=MISTAKES)


def guess_costs(next_word_loss, examples):
    def logarithm(logits, targets, is_word):
        return math.log(logits.shape[-1])

    same_as(next_word_loss, logarithm, examples, reference_name="ln(vocabulary)", mistakes=MISTAKES)


def equals_torch(next_word_loss):
    """Your loss equals torch's own."""
    equal_to_torch(next_word_loss, examples())


def mean_over_words(next_word_loss):
    """It is a mean: every sentence twice leaves it as it is."""
    repeated_rows(next_word_loss, examples())


def padding_counts_nothing(next_word_loss):
    """More padding leaves it as it is."""
    more_padding(next_word_loss, examples())


def blind_guess(next_word_loss):
    """A blind guess costs the logarithm of the vocabulary."""
    guess_costs(next_word_loss, [blind([1], 2), blind([3, 1], 8)])


def large_scores(next_word_loss):
    """Scores in the thousands do not overflow."""
    equal_to_torch(next_word_loss, large())


CHECKS = [equals_torch, mean_over_words, padding_counts_nothing, blind_guess, large_scores]
