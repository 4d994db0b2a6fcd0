"""Does a function leave what it was given as it was? Else a later line finds its inputs changed."""

from collections.abc import Iterable, Sequence

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    copy_of,
    expect_function,
    recognised,
    smallest_first,
)


def leaves_arguments_alone(function: Answer, examples: Iterable[Example], *, mistakes: Sequence[Mistake] = ()) -> None:
    """The function changes none of its arguments in place.

    Only a function of this process can: one in a grading worker gets copies, so there the property always holds.
    Raises PropertyFailed with the first (smallest) example; its answer holds the changed argument.
    """
    failed = "the arguments are left as they were"
    for example in smallest_first(examples):
        expect_function(function, example)
        given = {name: copy_of(value) for name, value in example.items()}
        # answer_to hands on copies, so what it calls here looks away from them and uses `given`.
        output = answer_to(lambda *_, given=given: function(*given.values()), example)
        for name, value in example.items():
            if differs := difference(value, given[name], 0.0, expected_is="before", equal_nan=True):
                found = f"`{name}` was changed in place: {differs}"
                both = {f"{name} before": value, f"{name} afterwards": given[name]}
                raise PropertyFailed(failed, found, example, both, recognised(mistakes, example, output))
