"""Does a learner's check tell broken specimens from sound ones? What the mutation labs have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.examples import answer_to, described


def yes_or_no(detector: Callable[..., Any], arguments: dict[str, Any], failed: str, example: dict[str, Any]) -> bool:
    """What the learner's check says of one specimen. A tensor with one truth value counts as that value.

    failed: the property in words; example: how the specimen is shown if something goes wrong. Raises PropertyFailed,
    with the mistake "asserts" for a check that raises AssertionError instead of answering, "no_bool" for any other
    answer; AnswerRaised, with the example, for other errors.
    """
    try:
        output = answer_to(detector, arguments)
    except AnswerRaised as raised:
        if raised.kind == "AssertionError":
            raise PropertyFailed(failed, "it raised AssertionError", example, raised.kind, "asserts") from raised
        raised.example = example
        raise
    if isinstance(output, torch.Tensor) and output.dtype == torch.bool and output.numel() == 1:
        output = bool(output)
    if not isinstance(output, bool):
        raise PropertyFailed(failed, f"it returned {described(output)}", example, output, "no_bool")
    return output


def missed_for_want_of(specimens: Sequence[Any], found: Sequence[bool], mistakes: Mapping[str, str]) -> str | None:
    """The mistake that explains which specimens were missed, None if no single one does.

    mistakes: what a check must do to see a specimen (one of its `needs`) -> the mistake of not doing it. A need
    explains the result if all that were missed have it and none that was found.
    """
    caught = [one for one, said in zip(specimens, found, strict=True) if said]
    missed = [one for one, said in zip(specimens, found, strict=True) if not said]
    for need, mistake in mistakes.items():
        if all(need in one.needs for one in missed) and not any(need in one.needs for one in caught):
            return mistake
    return None


def first_need(missed: Any, mistakes: Mapping[str, str]) -> str | None:
    """The mistake for the first need of one missed specimen, in the order of the mistakes."""
    return next((mistake for need, mistake in mistakes.items() if need in missed.needs), None)
