"""What a masked language model's loss must do: equal torch's own, read the hidden places alone, and refuse nothing."""

import torch
from torch.nn.functional import cross_entropy, pad

from course_lib.data.masking import NOT_ASKED
from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.batches import padding_changes_nothing
from course_lib.exercises.properties.examples import Mistake, answer_to, described, smallest_first
from course_lib.exercises.properties.means import mean_not_sum
from course_lib.exercises.properties.mistakes import equals, right_times
from course_lib.exercises.properties.parity import same_as


class Head:
    """Turns states into scores with a matrix and a bias, and counts the states that it was given."""

    def __init__(self, vocabulary, embedding, generator):
        self.weight = torch.randn(vocabulary, embedding, generator=generator)
        self.bias = torch.randn(vocabulary, generator=generator)
        self.scored = 0

    def __call__(self, states):
        self.scored += states.numel() // self.weight.shape[1]
        return states @ self.weight.T + self.bias


def example(hidden, *, length, vocabulary, embedding, seed):
    """A batch with a text for each list of hidden places; the first hidden word of all is number 0."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.full((len(hidden), length), NOT_ASKED)
    for row, places in enumerate(hidden):
        labels[row, places] = torch.randint(1, vocabulary, (len(places),), generator=generator)
    if len(some := (labels != NOT_ASKED).nonzero()):
        labels[tuple(some[0])] = 0
    states = torch.randn(len(hidden), length, embedding, generator=generator)
    return {"states": states, "labels": labels, "score": Head(vocabulary, embedding, generator)}


def examples():
    """From one text with two hidden words to three texts with three, none and one."""
    yield example([[1, 2]], length=3, vocabulary=3, embedding=2, seed=1)
    yield example([[0, 2], [1, 2, 3]], length=4, vocabulary=4, embedding=2, seed=2)
    yield example([[1, 3, 4], [], [2]], length=5, vocabulary=6, embedding=3, seed=3)


def torchs_own(states, labels, score):
    """The trusted loss: all places scored, and those left out that nobody asks for."""
    return cross_entropy(score(states).transpose(1, 2), labels, ignore_index=NOT_ASKED)


# Known wrong answers, each by its own formula.


def _shifted(states, labels, score):
    """As for a GPT: each place guesses the next one's word."""
    return torchs_own(states[:, :-1], labels[:, 1:], score)


def _summed(states, labels, score):
    return cross_entropy(score(states).transpose(1, 2), labels, ignore_index=NOT_ASKED, reduction="sum")


def _as_a_class(states, labels, score):
    return cross_entropy(score(states).transpose(1, 2), labels.clamp(min=0))


def _without_word_0(states, labels, score):
    return torchs_own(states, labels.masked_fill(labels == 0, NOT_ASKED), score)


def _softmax_twice(states, labels, score):
    return torchs_own(states, labels, lambda states: score(states).softmax(-1))


def _row_means(states, labels, score):
    rows = [torchs_own(*row, score) for row in zip(states.split(1), labels.split(1), strict=True)]
    return torch.stack([row for row in rows if not row.isnan()]).mean()


def _row_means_with_empty_ones(states, labels, score):
    asked = (labels != NOT_ASKED).sum(1)
    by_place = cross_entropy(score(states).transpose(1, 2), labels, ignore_index=NOT_ASKED, reduction="none")
    return (by_place.sum(1) / asked.clamp(min=1)).mean()


def _places(example):
    return example["labels"].numel()


MISTAKES = [
    Mistake("not_one_number", lambda example, output: output.ndim > 0),
    Mistake("nan", lambda example, output: torch.as_tensor(output).isnan()),
    equals("shifted", _shifted),
    equals("not_asked_as_class", _as_a_class),
    equals("word_zero", _without_word_0),
    equals("softmax_twice", _softmax_twice),
    equals("row_means", _row_means),
    equals("row_means", _row_means_with_empty_ones),
    equals("sum_not_mean", _summed),
    right_times("divided_by_places", _summed, factor=lambda example: 1 / _places(example)),
    right_times("wrong_sign", torchs_own, factor=lambda example: -1.0),
]


# The public checks try each property on the batches above; the hidden tests on others.


def equal_to_torch(masked_loss, examples):
    same_as(masked_loss, torchs_own, examples, mistakes=MISTAKES)


def repeated_rows(masked_loss, examples):
    mean_not_sum(masked_loss, examples, repeat=("states", "labels"), mistakes=MISTAKES)


def _pad(example, places):
    """Further places without a word, where nothing is asked; an encoder leaves something there all the same."""
    batch, _, embedding = example["states"].shape
    rubbish = 3 * torch.randn(batch, places, embedding, generator=torch.Generator().manual_seed(places))
    return {
        **example,
        "states": torch.cat([example["states"], rubbish], dim=1),
        "labels": pad(example["labels"], (0, places), value=NOT_ASKED),
    }


def more_padding(masked_loss, examples):
    padding_changes_nothing(masked_loss, examples, pad=_pad, mistakes=MISTAKES)


def scored_are_the_hidden(masked_loss, examples):
    failed = "`score` is called for the hidden words alone"
    for example in smallest_first(examples):
        head, hidden = example["score"], int((example["labels"] != NOT_ASKED).sum())
        head.scored = 0
        output = answer_to(masked_loss, example)
        scored = head.scored
        if scored != hidden:
            mistakes = {0: "score_unused", _places(example): "all_scored"}
            found = f"{hidden} words are hidden, and {scored} states were scored"
            raise PropertyFailed(failed, found, example, output, mistakes.get(scored, "others_scored"))


def nothing_is_refused(masked_loss, examples):
    failed = "a batch without a hidden word is refused with a ValueError"
    for example in smallest_first(examples):
        try:
            output = answer_to(masked_loss, example)
        except AnswerRaised as raised:
            if raised.kind != "ValueError":
                raise
            continue
        number = torch.as_tensor(output) if isinstance(output, torch.Tensor | float | int) else None
        mistake = None
        if number is not None and number.isnan().all():
            mistake = "nan_of_nothing"
        elif number is not None and not number.any():
            mistake = "zero_of_nothing"
        raise PropertyFailed(failed, f"it returned {described(output)}", example, output, mistake)


def equals_torch(masked_loss):
    """Your loss equals torch's own, in which all places are scored and most left out."""
    equal_to_torch(masked_loss, examples())


def mean_over_hidden_words(masked_loss):
    """It is a mean: every text twice leaves it as it is."""
    repeated_rows(masked_loss, examples())


def padding_counts_nothing(masked_loss):
    """More padding leaves it as it is."""
    more_padding(masked_loss, examples())


def only_hidden_words_are_scored(masked_loss):
    """The head scores the hidden words, and no other place."""
    scored_are_the_hidden(masked_loss, examples())


def nothing_hidden(masked_loss):
    """A batch in which nothing is hidden is refused."""
    nothing_is_refused(masked_loss, [example([[], []], length=3, vocabulary=4, embedding=2, seed=4)])


CHECKS = [equals_torch, mean_over_hidden_words, padding_counts_nothing, only_hidden_words_are_scored, nothing_hidden]
