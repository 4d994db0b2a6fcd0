"""The past does not know the future: causal attention and recurrence, right and wrong."""

import pytest
import torch

from course_lib.exercises.properties.mistakes import equals
from course_lib.exercises.properties.order import future_changes_nothing, other_values

torch.manual_seed(0)
FORWARD = torch.nn.GRU(3, 4, batch_first=True)
BOTH_WAYS = torch.nn.GRU(3, 4, batch_first=True, bidirectional=True)
EMBEDDING = torch.nn.Embedding(10, 3)


def sequences(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [{"x": torch.randn(*size, 3, generator=generator)} for size in sizes]


EXAMPLES = sequences((2, 5), (1, 2), (1, 4))


def attention(x, mask):
    scores = x @ x.transpose(-1, -2)
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ x


def causal(x):
    return attention(x, torch.ones(x.shape[1], x.shape[1]).tril().bool())


def not_masked(x):
    return attention(x, torch.ones(x.shape[1], x.shape[1]).bool())


def off_by_one(x):
    return attention(x, torch.ones(x.shape[1], x.shape[1]).tril(1).bool())


def masked_by_a_large_number(x):
    mask = torch.ones(x.shape[1], x.shape[1]).tril().bool()
    return (x @ x.transpose(-1, -2) - 1e9 * ~mask).softmax(-1) @ x


def hardly_masked(x):
    mask = torch.ones(x.shape[1], x.shape[1]).tril().bool()
    return (x @ x.transpose(-1, -2) - 5.0 * ~mask).softmax(-1) @ x


@pytest.mark.parametrize("function", [causal, masked_by_a_large_number, lambda x: FORWARD(x)[0], lambda x: x.cumsum(1)])
def test_a_causal_function_holds_exactly(function):
    future_changes_nothing(function, EXAMPLES, sequence="x")


@pytest.mark.parametrize(
    "function",
    [
        not_masked,
        off_by_one,
        hardly_masked,
        lambda x: BOTH_WAYS(x)[0],
        lambda x: x.softmax(1),
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: x.flip(1),
        lambda x: x + 1e-6 * x.roll(-1, 1),
    ],
)
def test_a_function_that_looks_ahead_is_shown_with_the_smallest_example(function, failure_of):
    failure = failure_of(future_changes_nothing, function, EXAMPLES, sequence="x")
    assert str(failure) == (
        "what comes later changes nothing before it: another input at place 1 changes the output at place 0"
    )
    assert failure.example["x"] is EXAMPLES[1]["x"]
    assert (failure.example["changed x"] != EXAMPLES[1]["x"])[0].any(-1).tolist() == [False, True]
    assert set(failure.answer) == {"before", "after the change"}


def test_looking_two_places_ahead_is_seen_in_the_first_example_of_three(failure_of):
    ahead = lambda x: x + torch.cat([x[:, 2:], torch.zeros_like(x[:, :2])], 1)  # noqa: E731
    failure = failure_of(future_changes_nothing, ahead, EXAMPLES, sequence="x")
    assert failure.found == "another input at place 2 changes the output at place 0"
    assert failure.example["x"].shape == (1, 4, 3)


def test_what_only_the_whole_future_changes_is_seen(failure_of):
    # One changed place still leaves a 1 among those that come later.
    examples = [{"tokens": torch.tensor([[3, 1, 1]])}]
    change = lambda tokens: torch.tensor([[9, 7, 6]])  # noqa: E731
    changes_all_later = lambda tokens: tokens * (1 if (tokens[:, 1:] == 1).any() else 2) + 1  # noqa: E731
    failure = failure_of(future_changes_nothing, changes_all_later, examples, sequence="tokens", change=change)
    assert failure.found == "another input at the places from 1 on changes the output at place 0"


def test_words_are_changed_for_others_that_are_there(failure_of):
    examples = [{"tokens": torch.tensor([[7, 2, 9]])}]
    future_changes_nothing(lambda tokens: FORWARD(EMBEDDING(tokens))[0], examples, sequence="tokens")
    failure = failure_of(future_changes_nothing, lambda tokens: tokens.flip(1), examples, sequence="tokens")
    assert failure.found == "another input at place 2 changes the output at place 0"
    assert failure.example["changed tokens"].tolist() == [[7, 2, 2]]


def test_other_axes_can_be_asked_for(failure_of):
    time_first = [{"x": torch.randn(4, 2, 3)}]
    future_changes_nothing(lambda x: x.cumsum(0).movedim(0, -1), time_first, sequence="x", axis=0, output_axis=-1)
    failure = failure_of(
        future_changes_nothing, lambda x: x.flip(0).movedim(0, -1), time_first, sequence="x", axis=0, output_axis=-1
    )
    assert failure.found == "another input at place 2 changes the output at place 1"


def test_a_known_mistake_is_named(failure_of):
    mistakes = [equals("off_by_one", off_by_one), equals("not_masked", not_masked)]
    for function, key in [(off_by_one, "off_by_one"), (not_masked, "not_masked")]:
        # Of two places, both are the same; three tell them apart.
        examples = sequences((1, 3))
        assert failure_of(future_changes_nothing, function, examples, sequence="x", mistakes=mistakes).mistake == key


@pytest.mark.parametrize("answer", [None, 0.5, torch.tensor(1.0), torch.zeros(2, 9), (1, 2), "x"])
def test_an_answer_without_places_fails_clearly(answer, failure_of):
    failure = failure_of(future_changes_nothing, lambda x: answer, EXAMPLES, sequence="x")
    assert failure.found.startswith("expected a tensor with 2 places along axis 1, got ")
    assert failure.mistake == "wrong_shape"


def test_nan_and_a_shape_that_depends_on_the_values_fail_clearly(failure_of):
    nan = lambda x: x * torch.nan  # noqa: E731
    assert failure_of(future_changes_nothing, nan, EXAMPLES, sequence="x").mistake == "nan"
    ragged = lambda x: torch.zeros(int(x[0, 1, 0] > 0) + 1, x.shape[1])  # noqa: E731
    assert "the shape changes from [" in failure_of(future_changes_nothing, ragged, EXAMPLES, sequence="x").found


def test_a_sequence_that_cannot_be_changed_is_the_authors_error():
    with pytest.raises(ValueError, match="`change` leaves place 1 of 'tokens' as it is"):
        future_changes_nothing(lambda tokens: tokens, [{"tokens": torch.ones(1, 3).long()}], sequence="tokens")


def test_other_values_are_other_values_of_the_same_kind():
    for values in (torch.tensor([-1.0, 0.0, 1 / 3, 2.0]), torch.tensor([3, 3, 5]), torch.tensor([True, False])):
        others = other_values(values)
        assert others.dtype == values.dtype
        assert (others != values).all()
    assert set(other_values(torch.tensor([3, 3, 5])).tolist()) == {3, 5}
