"""A failure caught, to be looked at."""

from collections.abc import Callable
from typing import Any

import pytest

from course_lib.exercises.failures import PropertyFailed


@pytest.fixture
def failure_of() -> Callable[..., PropertyFailed]:
    """`failure_of(property, function, examples, …)` gives the PropertyFailed that the property raises."""

    def failure_of(what: Callable[..., None], *arguments: Any, **named: Any) -> PropertyFailed:
        with pytest.raises(PropertyFailed) as failure:
            what(*arguments, **named)
        return failure.value

    return failure_of
