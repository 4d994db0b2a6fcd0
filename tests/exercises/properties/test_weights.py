"""Attention weights, right and wrong in the ways that learners get them wrong."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.exercises.failures import AnswerRaised
from course_lib.exercises.properties.mistakes import (
    ignores_padding_mask,
    mask_inverted,
    masked_too_late,
    sums_to_one_over,
)
from course_lib.exercises.properties.weights import padding_gets_no_weight, weights_sum_to_one

MISTAKES = [
    mask_inverted("inverted", "is_word"),
    masked_too_late("late", "is_word"),
    ignores_padding_mask("unused", "is_word"),
    sums_to_one_over("wrong_axis", axis=0),
]


def example(batch, source, words, seed=0):
    energies = torch.randn(batch, source, generator=torch.Generator().manual_seed(seed))
    return {"energies": energies, "is_word": torch.arange(source) < torch.tensor(words).unsqueeze(1)}


EXAMPLES = [example(3, 5, [5, 2, 4]), example(1, 2, [1]), example(2, 3, [3, 1])]  # not by size, on purpose


def right(energies, is_word):
    return energies.masked_fill(~is_word, -torch.inf).softmax(-1)


WRONG = {
    "wrong_axis": lambda energies, is_word: energies.masked_fill(~is_word, -torch.inf).softmax(0),
    "unused": lambda energies, is_word: energies.softmax(-1),
    "late": lambda energies, is_word: energies.softmax(-1) * is_word,
    "inverted": lambda energies, is_word: energies.masked_fill(is_word, -torch.inf).softmax(-1),
}


def both(function, examples=EXAMPLES):
    weights_sum_to_one(function, examples, shape_of="energies", mistakes=MISTAKES)
    padding_gets_no_weight(function, examples, mask="is_word", mistakes=MISTAKES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_masked_softmax_holds(dtype):
    both(lambda energies, is_word: right(energies.to(dtype), is_word))
    both(lambda energies, is_word: right(energies.T.contiguous().T, is_word).requires_grad_())


@pytest.mark.parametrize("key", WRONG)
def test_each_wrong_one_is_recognised(key, failure_of):
    assert failure_of(both, WRONG[key]).mistake == key


@given(
    st.sampled_from(sorted(WRONG)),
    st.lists(st.integers(1, 5), min_size=1, max_size=4).filter(lambda words: min(words) < 5),
    st.integers(0, 1000),
)
def test_each_wrong_one_is_recognised_on_any_sentences(key, words, seed):
    example_of = example(len(words), 5, words, seed)
    output = WRONG[key](**example_of)
    assert next(mistake.key for mistake in MISTAKES if mistake.recognises(example_of, output)) == key
    assert not any(
        mistake.recognises(example_of, right(**example_of)) for mistake in MISTAKES if mistake.key != "wrong_axis"
    )


def test_the_smallest_failing_example_is_shown_whole(failure_of):
    failure = failure_of(
        weights_sum_to_one, lambda energies, _: torch.zeros_like(energies), EXAMPLES, shape_of="energies"
    )
    assert failure.example is EXAMPLES[1]
    assert failure.answer.shape == (1, 2)
    assert str(failure) == "the weights of each row sum to 1: row [0] sums to 0"
    assert failure.mistake is None


def test_negative_weights_are_refused(failure_of):
    failure = failure_of(
        weights_sum_to_one, lambda energies, _: torch.tensor([[2.0, -1.0]]), EXAMPLES[1:2], shape_of="energies"
    )
    assert str(failure) == "no weight is negative: the smallest weight is -1"


def test_an_infinite_sum_is_not_one(failure_of):
    infinite = lambda energies, _: torch.full_like(energies, torch.inf)  # noqa: E731
    assert failure_of(weights_sum_to_one, infinite, EXAMPLES, shape_of="energies").found == "row [0] sums to inf"


def test_weights_of_several_steps_are_checked_row_by_row(failure_of):
    shape = lambda example: (1, 2, 2)  # noqa: E731
    weights = torch.tensor([[[0.5, 0.5], [0.5, 0.4]]])
    failure = failure_of(weights_sum_to_one, lambda *_: weights, EXAMPLES[1:2], shape_of=shape)
    assert failure.found == "row [0, 1] sums to 0.9"
    mask = lambda example: example["is_word"].unsqueeze(1).expand(1, 2, 2)  # noqa: E731
    failure = failure_of(padding_gets_no_weight, lambda *_: weights, EXAMPLES[1:2], mask=mask)
    assert failure.found == "a place of padding has the weight 0.5"


def test_whole_numbers_may_be_weights():
    first = lambda energies, is_word: torch.nn.functional.one_hot(torch.zeros(len(energies)).long(), energies.shape[1])  # noqa: E731
    both(first)


@pytest.mark.parametrize("answer", [None, (1, 2), 0.5, torch.tensor(True), torch.zeros(2, 2).bool(), "x"])
def test_odd_answers_fail_clearly(answer, failure_of):
    for attempt in (
        failure_of(weights_sum_to_one, lambda *_: answer, EXAMPLES, shape_of="energies"),
        failure_of(padding_gets_no_weight, lambda *_: answer, EXAMPLES, mask="is_word"),
    ):
        assert "expected a tensor of numbers, got " in attempt.found
        assert attempt.mistake == "not_a_tensor"


def test_an_error_comes_with_its_example():
    with pytest.raises(AnswerRaised, match="IndexError: Dimension out of range") as raised:
        both(lambda energies, is_word: energies.softmax(5))
    assert raised.value.example is EXAMPLES[1]
    assert "energies.softmax(5)" in raised.value.where


def test_changing_the_arguments_in_place_does_no_harm():
    def in_place(energies, is_word):
        energies[~is_word] = -torch.inf
        is_word.fill_(False)
        return energies.softmax(-1)

    both(in_place)
