"""Gradients written by hand beside autograd's."""

import pytest
import torch

from course_lib.exercises.properties.gradients import autograd_gradients, gradient_equals_autograd
from course_lib.exercises.properties.mistakes import right_times

GENERATOR = torch.Generator().manual_seed(0)


def example(rows, columns):
    return {"x": torch.randn(rows, columns, generator=GENERATOR), "w": torch.randn(columns, generator=GENERATOR)}


EXAMPLES = [example(3, 4), example(1, 2), example(2, 2)]


def loss(x, w):
    return (x @ w).square().mean()


def by_w(x, w):
    return 2 * x.T @ (x @ w) / len(x)


def by_x(x, w):
    return 2 * torch.outer(x @ w, w) / len(x)


def test_right_gradients_hold():
    gradient_equals_autograd(by_w, loss, EXAMPLES, with_respect_to=["w"])
    gradient_equals_autograd(lambda x, w: by_w(x.double(), w.double()), loss, EXAMPLES, with_respect_to=["w"])
    gradient_equals_autograd(lambda x, w: (by_x(x, w), by_w(x, w)), loss, EXAMPLES, with_respect_to=["x", "w"])
    gradient_equals_autograd(lambda x, w: [by_w(x, w), by_x(x, w)], loss, EXAMPLES, with_respect_to=["w", "x"])
    with torch.no_grad():
        gradient_equals_autograd(by_w, loss, EXAMPLES, with_respect_to=["w"])


def test_a_gradient_that_arrives_is_an_argument():
    examples = [
        {"energies": torch.randn(2, 3, generator=GENERATOR), "arriving": torch.randn(2, 3, generator=GENERATOR)}
    ]

    def through_softmax(energies, arriving):
        weights = energies.softmax(-1)
        return weights * (arriving - (weights * arriving).sum(-1, keepdim=True))

    forward = lambda energies, arriving: (energies.softmax(-1) * arriving).sum()  # noqa: E731
    gradient_equals_autograd(through_softmax, forward, examples, with_respect_to=["energies"])


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        (lambda x, w: by_w(x, w) / 2, "without_two"),
        (lambda x, w: by_w(x, w) * len(x), None),
        (lambda x, w: torch.zeros_like(w), None),
    ],
)
def test_wrong_gradients_fail_and_are_recognised(wrong, key, failure_of):
    mistakes = [right_times("without_two", by_w, lambda given: 0.5)]
    failure = failure_of(gradient_equals_autograd, wrong, loss, EXAMPLES, with_respect_to=["w"], mistakes=mistakes)
    assert failure.failed == "the gradient is the one that autograd finds"
    assert failure.found.startswith("the gradient of w, [")
    assert failure.found.endswith("(autograd)")
    assert failure.mistake == key


def test_the_smallest_example_that_fails_is_shown(failure_of):
    forgets_the_mean = lambda x, w: by_w(x, w) * len(x)  # noqa: E731
    failure = failure_of(gradient_equals_autograd, forgets_the_mean, loss, EXAMPLES, with_respect_to=["w"])
    assert failure.example is EXAMPLES[2]  # of one row, sum and mean are the same


def test_gradients_in_the_wrong_order_or_number_fail_clearly(failure_of):
    both = ["x", "w"]
    swapped = lambda x, w: (by_w(x, w), by_x(x, w))  # noqa: E731
    found = failure_of(gradient_equals_autograd, swapped, loss, EXAMPLES, with_respect_to=both).found
    assert found == "the gradient of x, expected the shape [1, 2], got [2]"
    for answer in (None, (1,), torch.zeros(2), 3.0):
        found = failure_of(gradient_equals_autograd, lambda *_, a=answer: a, loss, EXAMPLES, with_respect_to=both).found
        assert found.startswith("expected a gradient each for x, w, got ")
    for answer in (None, "x", torch.full((2,), torch.nan), torch.zeros(2).bool()):
        failure_of(gradient_equals_autograd, lambda *_, a=answer: a, loss, EXAMPLES, with_respect_to=["w"])


def test_an_argument_the_loss_does_not_use_has_the_gradient_zero():
    assert autograd_gradients(lambda x, w: w.sum(), EXAMPLES[1], ["x", "w"])[0].tolist() == [[0, 0]]


@pytest.mark.parametrize("forward", [lambda x, w: x @ w.repeat(1), lambda x, w: None])
def test_a_forward_that_gives_no_number_is_the_authors_error(forward):
    with pytest.raises(ValueError, match="forward must give one number"):
        gradient_equals_autograd(by_w, forward, [example(2, 2)], with_respect_to=["w"])


def test_a_forward_that_reads_none_of_the_arguments_is_the_authors_error():
    with pytest.raises(ValueError, match="forward does not depend on w"):
        gradient_equals_autograd(by_w, lambda x, w: x.sum(), EXAMPLES, with_respect_to=["w"])
