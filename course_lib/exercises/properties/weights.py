"""Are these attention weights? They sum to one over the words, and padding gets none."""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    expect_tensor,
    recognised,
    smallest_first,
)


def weights_sum_to_one(
    weights_of: Answer,
    examples: Iterable[Example],
    *,
    shape_of: str | Callable[[Example], Sequence[int]],
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """The last axis of the weights sums to 1, and no weight is negative.

    shape_of: the name of the argument whose shape the weights must have, or a function from the example to that shape.
    Raises PropertyFailed with the first (smallest) example for which it is not so.
    """
    failed = "the weights of each row sum to 1"
    for example in smallest_first(examples):
        shape = tuple(example[shape_of].shape) if isinstance(shape_of, str) else tuple(shape_of(example))
        output = answer_to(weights_of, example)
        weights = expect_tensor(output, shape, example, failed, mistakes).double()
        sums = weights.sum(dim=-1)
        wrong = (~((sums - 1).abs() <= tolerance)).nonzero()  # so said, it holds for an infinite sum too
        if len(wrong):
            row = tuple(wrong[0].tolist())
            found = f"row {list(row)} sums to {sums[row].item():.4g}"
            raise PropertyFailed(failed, found, example, output, recognised(mistakes, example, output))
        if (weights < 0).any():
            found = f"the smallest weight is {weights.min().item():.4g}"
            raise PropertyFailed("no weight is negative", found, example, output, recognised(mistakes, example, output))


def padding_gets_no_weight(
    weights_of: Answer,
    examples: Iterable[Example],
    *,
    mask: str | Callable[[Example], Tensor],
    mistakes: Sequence[Mistake] = (),
) -> None:
    """Where the mask is False, the weight is 0 exactly.

    mask: the name of the argument, or a function from the example to a mask of the weights' shape.
    Raises PropertyFailed with the first (smallest) example for which it is not so.
    """
    failed = "padding gets no weight"
    for example in smallest_first(examples):
        is_word = example[mask] if isinstance(mask, str) else mask(example)
        output = answer_to(weights_of, example)
        weights = expect_tensor(output, tuple(is_word.shape), example, failed, mistakes)
        if not is_word.all() and (spent := weights[~is_word].abs().max().item()) > 0:
            found = f"a place of padding has the weight {spent:.4g}"
            raise PropertyFailed(failed, found, example, output, recognised(mistakes, example, output))
