"""Which mistake was it? Recognisers of common ones, for an exercise to combine.

Each function makes a Mistake with the key of a hint in the exercise's card. They are asked in order about an answer
that already failed, so the more special ones stand first: a mask that is inverted before one that comes too late.
An answer on which a recogniser stumbles (of another shape, or no tensor at all) is not recognised by it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import Example, Mistake, as_tensor, copy_of

MaskOf = str | Callable[[Example], Tensor]
"""The argument that is the mask (True: a word), or a function from the example to a mask of the weights' shape."""

TOLERANCE = 1e-4


def sums_to_one_over(key: str, axis: int) -> Mistake:
    """Weights that sum to one over this axis, the wrong one. NaN, as of a column of padding alone, is passed over."""

    def recognises(_: Example, output: Any) -> bool:
        sums = _number(output).sum(axis)
        known = sums[~sums.isnan()]
        return len(known) > 0 and bool(((known - 1).abs() < TOLERANCE).all())

    return Mistake(key, recognises)


def ignores_padding_mask(key: str, mask: MaskOf) -> Mistake:
    """Weights over all places that sum to one, with a share for each word and each padding: the mask is not used."""

    def recognises(example: Example, output: Any) -> bool:
        is_word = _mask(mask, example)
        rows = (~is_word).any(-1)
        sums = _number(output).sum(-1)
        return bool(rows.any()) and bool((output > 0).all()) and bool(((sums - 1).abs() < TOLERANCE).all())

    return Mistake(key, recognises)


def masked_too_late(key: str, mask: MaskOf) -> Mistake:
    """Padding has no weight, but its share is lost: its rows sum to less than one, the whole ones to one."""

    def recognises(example: Example, output: Any) -> bool:
        is_word = _mask(mask, example)
        short = (~is_word).any(-1)
        sums = _number(output).sum(-1)
        return (
            bool(short.any())
            and bool((output[~is_word] == 0).all())
            and bool((output >= 0).all())
            and bool((sums[short] < 1 - TOLERANCE).all())
            and bool(((sums[~short] - 1).abs() < TOLERANCE).all())
        )

    return Mistake(key, recognises)


def mask_inverted(key: str, mask: MaskOf) -> Mistake:
    """All the weight lies on the padding: 0 on each word, or NaN where there is no padding to take it."""

    def recognises(example: Example, output: Any) -> bool:
        is_word = _mask(mask, example)
        on_words, on_padding = output[is_word], output[~is_word]
        return len(on_padding) > 0 and bool(((on_words == 0) | on_words.isnan()).all()) and bool(on_padding.sum() > 0)

    return Mistake(key, recognises)


def equals(key: str, formula: Callable[..., Any], tolerance: float = TOLERANCE) -> Mistake:
    """The output of this wrong formula, which takes the example's arguments."""

    def recognises(example: Example, output: Any) -> bool:
        return difference(_computed(formula, example), output, tolerance) is None

    return Mistake(key, recognises)


def right_times(
    key: str, right: Callable[..., Any], factor: Callable[[Example], float] | None = None, tolerance: float = TOLERANCE
) -> Mistake:
    """The right output times a number other than 1: a sum instead of a mean, a forgotten scale, a wrong sign.

    right: a trusted formula, such as torch's own. factor: the number, from the example; any one number if None.
    """

    def recognises(example: Example, output: Any) -> bool:
        expected, given = _number(_computed(right, example)), _number(output)
        if expected.shape != given.shape or not expected.any():
            return False
        largest = expected.abs().argmax()
        times = factor(example) if factor else (given.flatten()[largest] / expected.flatten()[largest]).item()
        if abs(times - 1) < tolerance or times == 0:
            return False
        return difference(expected * times, given, tolerance) is None

    return Mistake(key, recognises)


def right_plus(
    key: str,
    right: Callable[..., Any],
    constant: Callable[[Example], float] | None = None,
    tolerance: float = TOLERANCE,
) -> Mistake:
    """The right output plus a number other than 0; any one number if `constant` is None."""

    def recognises(example: Example, output: Any) -> bool:
        expected, given = _number(_computed(right, example)), _number(output)
        plus = constant(example) if constant else (given - expected).mean().item()
        return abs(plus) >= tolerance and difference(expected + plus, given, tolerance) is None

    return Mistake(key, recognises)


def has_shape(key: str, shape: Callable[[Example], Sequence[int]]) -> Mistake:
    """An output of this wrong shape, such as the transposed one."""
    return Mistake(key, lambda example, output: tuple(output.shape) == tuple(shape(example)))


def not_a_number(key: str) -> Mistake:
    """NaN somewhere in the output."""
    return Mistake(key, lambda _, output: _number(output).isnan().any())


def nothing_returned(key: str) -> Mistake:
    """None: the `return` is missing."""
    return Mistake(key, lambda _, output: output is None)


def in_part(mistake: Mistake, index: int | str) -> Mistake:
    """The same mistake in one part of the output: of a tuple or list by its index, of a dict by its key."""

    def recognises(example: Example, output: Any) -> Any:
        has_parts = isinstance(output, tuple | list | dict)
        return has_parts and mistake.recognises(example, output[index])

    return Mistake(mistake.key, recognises)


def both(key: str, *mistakes: Mistake) -> Mistake:
    """What all of these recognise."""
    return Mistake(key, lambda example, output: all(mistake.recognises(example, output) for mistake in mistakes))


def _mask(mask: MaskOf, example: Example) -> Tensor:
    return example[mask] if isinstance(mask, str) else mask(example)


def _computed(formula: Callable[..., Any], example: Example) -> Any:
    return formula(*(copy_of(value) for value in example.values()))


def _number(value: Any) -> Tensor:
    """The value as a tensor of floating point. Raises TypeError for what is none."""
    tensor = as_tensor(value)
    if tensor is None:
        raise TypeError("not a tensor")
    return tensor.double()
