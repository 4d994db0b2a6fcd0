"""Is what was kept from earlier steps the same as what is computed anew?"""

from collections.abc import Iterable, Sequence

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    expect_data,
    recognised,
    refuse_nan,
    smallest_first,
)


def cached_equals_uncached(
    cached: Answer,
    uncached: Answer,
    examples: Iterable[Example],
    *,
    tolerance: float = 1e-5,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """With the cache, the same words or numbers come out as without it, for the same arguments.

    Either function may be the learner's. Raises PropertyFailed with the first (smallest) example.
    """
    failed = "with the cache, the same comes out as without it"
    for example in smallest_first(examples):
        without = answer_to(uncached, example)
        expect_data(without, example, failed, mistakes)
        output = answer_to(cached, example)
        refuse_nan(output, example, failed, mistakes)
        if differs := difference(without, output, tolerance, expected_is="without the cache"):
            both = {"without the cache": without, "with the cache": output}
            raise PropertyFailed(failed, differs, example, both, recognised(mistakes, example, output))
