"""Losses that are means, and losses that are sums."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.exercises.properties.means import mean_not_sum
from course_lib.exercises.properties.mistakes import equals

GENERATOR = torch.Generator().manual_seed(0)


def batch(rows):
    return {
        "logits": torch.randn(rows, 5, generator=GENERATOR),
        "targets": torch.randint(5, (rows,), generator=GENERATOR),
    }


EXAMPLES = [batch(3), batch(1), batch(2)]
ROWS = ["logits", "targets"]


def total(logits, targets):
    return F.cross_entropy(logits, targets, reduction="sum")


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        lambda logits, targets: F.cross_entropy(logits, targets).item(),
        lambda logits, targets: F.cross_entropy(logits.double(), targets).requires_grad_(),
        lambda logits, targets: 0,
    ],
)
def test_a_mean_stays_as_it_is(loss):
    mean_not_sum(loss, EXAMPLES, repeat=ROWS)


def test_a_sum_is_recognised_with_the_smallest_example(failure_of):
    failure = failure_of(mean_not_sum, total, EXAMPLES, repeat=ROWS)
    once = total(**EXAMPLES[1]).item()
    assert failure.found == f"with every row 2 times, {2 * once:.4g} instead of {once:.4g}"
    assert failure.mistake == "sum_not_mean"
    assert failure.example["logits"] is EXAMPLES[1]["logits"]
    assert {name: list(value.shape) for name, value in failure.example.items()} == {
        "logits": [1, 5],
        "targets": [1],
        "repeated logits": [2, 5],
        "repeated targets": [2],
    }
    assert set(failure.answer) == {"once", "2 times"}


def test_an_exercises_own_mistake_comes_first(failure_of):
    mistakes = [equals("forgot_to_divide", total)]
    assert failure_of(mean_not_sum, total, EXAMPLES, repeat=ROWS, mistakes=mistakes).mistake == "forgot_to_divide"


def test_another_dependence_on_the_number_of_rows_is_not_called_a_sum(failure_of):
    over_fixed = lambda logits, targets: total(logits, targets) / (len(logits) + 1)  # noqa: E731
    assert failure_of(mean_not_sum, over_fixed, EXAMPLES, repeat=ROWS).mistake is None


def test_lists_of_sentences_have_rows_too(failure_of):
    lengths = lambda sentences: sum(map(len, sentences)) / len(sentences)  # noqa: E731
    examples = [{"sentences": ["ab", "c"]}]
    mean_not_sum(lengths, examples, repeat=["sentences"])
    failure = failure_of(mean_not_sum, lambda sentences: sum(map(len, sentences)), examples, repeat=["sentences"])
    assert failure.example["repeated sentences"] == ["ab", "ab", "c", "c"]
    assert failure.found == "with every row 2 times, 6 instead of 3"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (None, "expected a number or a tensor without axes, got None (is there a `return`?)"),
        (torch.tensor([1.0]), "expected a number or a tensor without axes, got the shape [1]"),
        ((1.0,), "expected a number or a tensor without axes, got a tuple of 1"),
        (torch.tensor(True), "expected a number or a tensor without axes, got a bool tensor of shape []"),
        (torch.tensor(torch.nan), "there is NaN in the result"),
        (float("inf"), "the loss is inf"),
    ],
)
def test_odd_answers_fail_clearly(answer, found, failure_of):
    assert failure_of(mean_not_sum, lambda logits, targets: answer, EXAMPLES, repeat=ROWS).found == found
