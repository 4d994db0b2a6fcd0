import math

import pytest

from course_lib.batch import wording


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (250, "4 min 10 s"),
        (3599.7, "1 h 00 min"),
        (3905, "1 h 05 min"),
        (None, "–"),
        (math.inf, "–"),
    ],
)
def test_times_are_written_as_people_say_them(seconds, words):
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.95123, "0.9512"),
        (1.0, "1"),
        (-0.5, "−0.5"),
        (1e-9, "1.00e−9"),
        (123_456, "123\u202f456"),
        (12_345.6, "12\u202f346"),
        (True, "yes"),
        (None, "–"),
        (math.nan, "not a number"),
        (-math.inf, "−∞"),
        ("text", "text"),
        ({"a": [1, 2]}, '{"a": [1, 2]}'),
        ("x" * 100, "x" * 79 + "…"),
    ],
)
def test_values_are_written_with_no_more_digits_than_are_read(value, words):
    assert wording.number(value) == words


@pytest.mark.parametrize(("size", "words"), [(812 * 2**20, "812 MiB"), (24 * 2**30, "24 GiB"), (1.25e9, "1.2 GiB")])
def test_sizes_are_written_in_binary_units(size, words):
    assert wording.size(size) == words


@pytest.mark.parametrize(("value", "words"), [(0.01, "5 s"), (0.5, "30 s"), (1.25, "1.2 min"), (80, "1 h 20 min")])
def test_predictions_are_no_finer_than_they_deserve(value, words):
    assert wording.minutes(value) == words


def test_an_empty_setting_can_be_seen():
    assert wording.settings({"data": "", "width": 3}) == "data = '', width = 3"
