import math

import numpy as np
import pytest
import torch

from course_lib.lesson.numbers import about, seconds, written


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.97123, "≈0.971"),
        (0.97, "≈0.97"),
        (-0.5, "≈-0.5"),
        (26.749, "≈26.7"),
        (999.96, "≈1,000"),
        (12345.6, "≈12,300"),
        (3.2e6, "≈3,200,000"),
        (4.2e-8, "≈4.2e-08"),
        (0.0, "≈0"),
        (-0.0, "≈0"),
        (7, "≈7"),
        (math.nan, "≈nan"),
        (-math.inf, "≈-inf"),
        (np.float32(0.25), "≈0.25"),
        (torch.tensor(0.25), "≈0.25"),
        (torch.tensor([0.25]), "≈0.25"),
    ],
)
def test_a_measured_number_is_rounded_and_marked(number, expected):
    assert about(number) == expected


def test_digits_and_unit_are_respected():
    assert about(1234.567, digits=6, unit="MB") == "≈1,234.57 MB"


@pytest.mark.parametrize("value", [True, "0.5", None, [1, 2], torch.zeros(2)])
def test_what_is_not_one_number_is_refused(value):
    with pytest.raises(TypeError, match=r"about\(\) takes"):
        about(value)


def test_no_digits_are_refused():
    with pytest.raises(ValueError, match="digits must be >= 1, got 0"):
        about(1.0, digits=0)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(0.257, "≈260 ms"), (12.4, "≈12 s"), (0, "≈0 ms"), (210, "≈3.5 min"), (7200, "≈2 h")],
)
def test_a_duration_gets_the_unit_that_reads_best(duration, expected):
    assert seconds(duration) == expected


@pytest.mark.parametrize("duration", [-1.0, math.nan, math.inf])
def test_a_duration_that_is_none_is_refused(duration):
    with pytest.raises(ValueError, match="number of seconds >= 0"):
        seconds(duration)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, "≈0.5"), (3, "3"), (True, "True"), ("first", "first"), (np.float64(0.5), "≈0.5")]
)
def test_only_floats_count_as_measured(value, expected):
    assert written(value) == expected
