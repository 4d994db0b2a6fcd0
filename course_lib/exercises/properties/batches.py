"""Does a sentence's answer depend on its batch? On the padding beside it, the others in it, the order of its words?

An answer that is always the same has these properties too, so a check of one of them stands beside a check of values.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    described,
    expect_data,
    recognised,
    smallest_first,
)


def _unchanged(output: Any, _example: Example) -> Any:
    return output


def _whole(example: Example) -> Example:
    return example


def row_of(value: Any, row: int) -> Any:
    """The batch of one that holds one row: of a tensor or list along its first axis, of each part of a tuple or dict.

    A list of tensors counts as its parts, a list of other things as the batch. Other things stay as they are.
    """
    if isinstance(value, Tensor):
        return value[row : row + 1]
    if isinstance(value, dict):
        return {key: row_of(part, row) for key, part in value.items()}
    if isinstance(value, tuple) or (isinstance(value, list) and any(isinstance(part, Tensor) for part in value)):
        return type(value)(row_of(part, row) for part in value)
    return value[row : row + 1] if isinstance(value, list) else value


def padding_changes_nothing(
    function: Answer,
    examples: Iterable[Example],
    *,
    pad: Callable[[Example, int], Example],
    unpad: Callable[[Any, Example], Any] = _unchanged,
    paddings: Sequence[int] = (1, 3, 7),
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """More padding leaves the answer as it is.

    pad: the example with so many further places of padding. unpad: cuts the answer for a padded example to what the
    given, unpadded example would have. Raises PropertyFailed with the first (smallest) example it changes; there,
    `padded X` is the argument X after padding, and the answer holds both answers, cut alike.
    """
    failed = "more padding changes nothing"
    for example in smallest_first(examples):
        before = answer_to(function, example)
        expect_data(before, example, failed, mistakes)
        for places in paddings:
            padded = pad(example, places)
            output = answer_to(function, padded)
            after = cut(partial(unpad, output, example), output, padded, failed)
            if differs := difference(before, after, tolerance, expected_is="without the padding"):
                shown = {**example, **changed(example, padded, "padded {}")}
                found = f"with {places} more place{'s' if places > 1 else ''} of padding, {differs}"
                mistake = recognised(mistakes, padded, output) or recognised(mistakes, example, before)
                raise PropertyFailed(failed, found, shown, {"without": before, "with padding": after}, mistake)


def batch_of_one_equals_batch(
    function: Answer,
    examples: Iterable[Example],
    *,
    batched: Sequence[str],
    trim: Callable[[Example], Example] = _whole,
    unpad: Callable[[Any, Example], Any] = _unchanged,
    row: Callable[[Any, int], Any] = row_of,
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """Each row's answer is the same alone and in its batch.

    batched: the arguments with a row per sentence. trim: takes the padding off an example of one row.
    unpad: cuts a row of the batch's answer to what the given example of one row would have.
    row: gives one row of an argument or answer, as a batch of one; the first axis is the batch unless you say so here.
    Raises PropertyFailed with the first (smallest) example in which a row differs; there, `X alone` is the argument X
    of that row alone, and the answer holds both answers.
    """
    failed = "a sentence's answer is the same alone and in a batch"
    for example in smallest_first(examples):
        output = answer_to(function, example)
        expect_data(output, example, failed, mistakes)
        rows = len(example[batched[0]])
        if row is row_of and not _has_rows(output, rows):
            found = f"expected a row for each of the batch ({rows}), got {described(output)}"
            raise PropertyFailed(failed, found, example, output, recognised(mistakes, example, output) or "wrong_shape")
        for index in range(rows):
            single = trim({name: row(value, index) if name in batched else value for name, value in example.items()})
            alone = answer_to(function, single)
            together = cut(partial(_row_unpadded, output, index, single, row, unpad), output, example, failed)
            if differs := difference(alone, together, tolerance, expected_is="alone"):
                shown = {**example, **changed(example, single, "{} alone")}
                mistake = recognised(mistakes, example, output) or recognised(mistakes, single, alone)
                both = {"alone": alone, "in the batch": together}
                raise PropertyFailed(failed, f"row {index} of the batch, {differs}", shown, both, mistake)


def permutation_equivariance(
    function: Answer,
    examples: Iterable[Example],
    *,
    permute: Callable[[Example, Tensor], Example],
    length: Callable[[Example], int],
    permute_output: Callable[[Any, Tensor], Any],
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """When the inputs change places, the outputs change places alike, and nothing else changes.

    permute: the example in a new order, a LongTensor `order` of `length(example)` places. permute_output: the answer in
    this order; `lambda output, order: output` where the answer should not depend on the order at all.
    Raises PropertyFailed with the first (smallest) example that differs; there, `order` is the new order.
    """
    failed = "in another order, the same answer in that order"
    for example in smallest_first(examples):
        before = answer_to(function, example)
        expect_data(before, example, failed, mistakes)
        for order in _orders(length(example)):
            permuted = permute(example, order)
            after = answer_to(function, permuted)
            expected = cut(partial(permute_output, before, order), before, example, failed)
            if differs := difference(expected, after, tolerance, expected_is="expected after the change of order"):
                shown = {**example, "order": order}
                found = f"in the order {order.tolist()}, {differs}"
                mistake = recognised(mistakes, permuted, after) or recognised(mistakes, example, before)
                raise PropertyFailed(failed, found, shown, {"expected": expected, "in that order": after}, mistake)


def _has_rows(output: Any, rows: int) -> bool:
    """Whether `row_of` can take each row of the output: of a number, a word or another batch it cannot."""
    if isinstance(output, Tensor):
        return output.dim() > 0 and len(output) == rows
    if isinstance(output, dict):
        return all(_has_rows(part, rows) for part in output.values())
    if isinstance(output, tuple) or (isinstance(output, list) and any(isinstance(part, Tensor) for part in output)):
        return all(_has_rows(part, rows) for part in output)
    return isinstance(output, list) and len(output) == rows


def _row_unpadded(
    output: Any, index: int, single: Example, row: Callable[[Any, int], Any], unpad: Callable[[Any, Example], Any]
) -> Any:
    return unpad(row(output, index), single)


def _orders(length: int) -> Iterator[Int[Tensor, " length"]]:
    """All orders of up to three things; of more, a swap, the reverse, a rotation and two shuffles."""
    places = torch.arange(length)
    if length <= 3:
        yield from (torch.tensor(order) for order in permutations(range(length)) if order != tuple(range(length)))
        return
    yield torch.cat([places[:2].flip(0), places[2:]])
    yield places.flip(0)
    yield places.roll(1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        yield torch.randperm(length, generator=generator)


def cut(how: Callable[[], Any], output: Any, example: Example, failed: str) -> Any:
    """What `how()` makes of the output. Raises PropertyFailed when the output is too odd to be cut or put in order."""
    try:
        return how()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        found = f"the answer has not the form asked for: got {described(output)}"
        raise PropertyFailed(failed, found, example, output) from error


def changed(example: Example, other: Example, name: str) -> Example:
    """The values of `other` that are not those of `example`, under new names: `name` with the old one in its {}."""
    return {
        name.format(key): value
        for key, value in other.items()
        if key not in example or difference(example[key], value, 0.0, equal_nan=True) is not None
    }
