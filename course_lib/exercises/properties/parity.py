"""Is the answer equal to a trusted one, such as torch's own?"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    copy_of,
    recognised,
    refuse_nan,
    smallest_first,
)


def same_as(
    function: Answer,
    reference: Callable[..., Any],
    examples: Iterable[Example],
    *,
    reference_name: str = "torch",
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """The answer equals that of `reference`, called with the same arguments.

    Answers may be tensors, numbers, words, truth values, None, and tuples, lists and dicts of them
    (`comparing.difference` says what counts as equal). Raises PropertyFailed with the first (smallest) example.
    """
    failed = f"the answer equals that of {reference_name}"
    for example in smallest_first(examples):
        expected = reference(*(copy_of(value) for value in example.values()))
        output = answer_to(function, example)
        refuse_nan(output, example, failed, mistakes)
        if differs := difference(expected, output, tolerance, expected_is=reference_name):
            raise PropertyFailed(failed, differs, example, output, recognised(mistakes, example, output))
