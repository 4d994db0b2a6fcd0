"""Are these attention weights? They sum to one over the words, and padding gets none."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import Example, Mistake, answer_to, expect_tensor, recognised


def weights_sum_to_one(
    weights_of: Callable[..., Any],
    examples: Iterable[Example],
    *,
    shape_of: str,
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """The last axis of the weights sums to 1. `shape_of` names the argument whose shape the weights must have.

    Raises PropertyFailed with the first (smallest) example for which they do not.
    """
    failed = "the weights of each row sum to 1"
    for example in examples:
        weights = expect_tensor(answer_to(weights_of, example), tuple(example[shape_of].shape), example, failed)
        sums = weights.sum(dim=-1)
        wrong = ((sums - 1).abs() > tolerance).nonzero()
        if len(wrong):
            row = tuple(wrong[0].tolist())
            found = f"row {list(row)} sums to {sums[row].item():.4g}"
            raise PropertyFailed(failed, found, example, weights, recognised(mistakes, example, weights))
        if (weights < 0).any():
            found = f"the smallest weight is {weights.min().item():.4g}"
            mistake = recognised(mistakes, example, weights)
            raise PropertyFailed("no weight is negative", found, example, weights, mistake)


def padding_gets_no_weight(
    weights_of: Callable[..., Any],
    examples: Iterable[Example],
    *,
    mask: str,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """Where the argument named `mask` is False, the weight is 0 exactly. Raises PropertyFailed."""
    failed = "padding gets no weight"
    for example in examples:
        is_word = example[mask]
        weights = expect_tensor(answer_to(weights_of, example), tuple(is_word.shape), example, failed)
        if not is_word.all() and (spent := weights[~is_word].abs().max().item()) > 0:
            found = f"a place of padding has the weight {spent:.4g}"
            raise PropertyFailed(failed, found, example, weights, recognised(mistakes, example, weights))
