"""Functions that change what they are given, in each way that they can."""

import pytest
import torch

from course_lib.exercises.failures import AnswerRaised
from course_lib.exercises.properties.arguments import leaves_arguments_alone
from course_lib.exercises.properties.mistakes import not_a_number

EXAMPLES = [
    {
        "x": torch.tensor([[1.0, torch.nan, 2.0]]),
        "kept": [torch.zeros(1)],
        "options": {"scale": 2.0},
        "how": torch.tanh,
    },
    {"x": torch.tensor([[1.0, 2.0]]), "kept": [], "options": {}, "how": torch.tanh},
]


def test_a_function_that_leaves_all_alone():
    def function(x, kept, options, how):
        kept, options = [*kept, x], {**options, "scale": 1.0}
        return x.masked_fill(x > 1, 0.0), how(x)

    leaves_arguments_alone(function, EXAMPLES)


def changes_values(x, kept, options, how):
    return x.clamp_(max=1.5)


def changes_shape(x, kept, options, how):
    return x.unsqueeze_(0)


def changes_list(x, kept, options, how):
    kept.append(x)


def changes_dict(x, kept, options, how):
    options["scale"] = 1.0


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (changes_values, "`x` was changed in place: [0, 1]: 1.5 instead of 2 (before)"),
        (changes_shape, "`x` was changed in place: expected the shape [1, 2], got [1, 1, 2]"),
        (changes_list, "`kept` was changed in place: expected a list of 0, got a list of 1"),
        (changes_dict, "`options` was changed in place: expected an empty dict, got a dict with 'scale'"),
    ],
)
def test_each_change_in_place_is_told_with_the_smallest_example(function, found, failure_of):
    failure = failure_of(leaves_arguments_alone, function, EXAMPLES)
    assert failure.found == found
    assert failure.example is EXAMPLES[1]
    name = found.split("`")[1]
    assert set(failure.answer) == {f"{name} before", f"{name} afterwards"}
    assert EXAMPLES[1]["x"].tolist() == [[1.0, 2.0]]


def test_a_change_deep_inside_is_found_where_there_is_one(failure_of):
    def function(x, kept, options, how):
        for tensor in kept:
            tensor.add_(1)

    failure = failure_of(leaves_arguments_alone, function, EXAMPLES)
    assert failure.found == "`kept` was changed in place: [0][0]: 1 instead of 0 (before)"


def test_a_known_mistake_is_named_by_what_came_out(failure_of):
    def function(x, kept, options, how):
        return x.mul_(torch.nan)

    assert failure_of(leaves_arguments_alone, function, EXAMPLES, mistakes=[not_a_number("spoilt")]).mistake == "spoilt"


def test_an_error_comes_with_its_example():
    with pytest.raises(AnswerRaised, match="ZeroDivisionError") as raised:
        leaves_arguments_alone(lambda *_: 1 / 0, EXAMPLES)
    assert raised.value.example is EXAMPLES[1]
