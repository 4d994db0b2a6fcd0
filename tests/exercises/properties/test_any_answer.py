"""Every property, and every odd thing that a learner's function may give: a clear failure, never a crash."""

import pytest
import torch

from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.arguments import leaves_arguments_alone
from course_lib.exercises.properties.batches import (
    batch_of_one_equals_batch,
    padding_changes_nothing,
    permutation_equivariance,
)
from course_lib.exercises.properties.distributions import same_distribution
from course_lib.exercises.properties.examples import part_of
from course_lib.exercises.properties.generation import cached_equals_uncached
from course_lib.exercises.properties.gradients import gradient_equals_autograd
from course_lib.exercises.properties.means import mean_not_sum
from course_lib.exercises.properties.mistakes import (
    equals,
    has_shape,
    ignores_padding_mask,
    in_part,
    mask_inverted,
    masked_too_late,
    right_plus,
    right_times,
    sums_to_one_over,
)
from course_lib.exercises.properties.order import future_changes_nothing
from course_lib.exercises.properties.parity import same_as
from course_lib.exercises.properties.weights import padding_gets_no_weight, weights_sum_to_one

EXAMPLES = [
    {
        "energies": torch.randn(rows, places, generator=torch.Generator().manual_seed(rows)),
        "is_word": torch.arange(places) <= torch.arange(rows).unsqueeze(1),
    }
    for rows, places in [(2, 3), (1, 2)]
]


def right(energies, is_word):
    return energies.masked_fill(~is_word, -torch.inf).softmax(-1)


def by_sum(energies, is_word):
    return (right(energies, is_word) * torch.arange(energies.shape[-1])).sum()


MISTAKES = [
    mask_inverted("a", "is_word"),
    masked_too_late("b", "is_word"),
    ignores_padding_mask("c", "is_word"),
    sums_to_one_over("d", 0),
    equals("e", lambda energies, is_word: energies.softmax(0)),
    right_times("f", right, lambda given: 2.0),
    right_plus("g", right, lambda given: 2.0),
    has_shape("h", lambda given: given["energies"].T.shape),
    in_part(sums_to_one_over("i", 0), 1),
]


def pad(given, places):
    more = torch.zeros(len(given["energies"]), places)
    return {
        "energies": torch.cat([given["energies"], more], 1),
        "is_word": torch.cat([given["is_word"], more.bool()], 1),
    }


def permute(given, order):
    return {name: value[:, order] for name, value in given.items()}


PROPERTIES = {
    "weights_sum_to_one": lambda f: weights_sum_to_one(f, EXAMPLES, shape_of="energies", mistakes=MISTAKES),
    "padding_gets_no_weight": lambda f: padding_gets_no_weight(f, EXAMPLES, mask="is_word", mistakes=MISTAKES),
    "padding_changes_nothing": lambda f: padding_changes_nothing(
        f, EXAMPLES, pad=pad, unpad=lambda out, given: out[:, : given["energies"].shape[1]], mistakes=MISTAKES
    ),
    "batch_of_one": lambda f: batch_of_one_equals_batch(
        f, EXAMPLES, batched=["energies", "is_word"], mistakes=MISTAKES
    ),
    "permutation": lambda f: permutation_equivariance(
        f,
        EXAMPLES,
        permute=permute,
        length=lambda given: given["energies"].shape[1],
        permute_output=lambda out, order: out[:, order],
        mistakes=MISTAKES,
    ),
    "future": lambda f: future_changes_nothing(f, EXAMPLES, sequence="energies", mistakes=MISTAKES),
    "same_as": lambda f: same_as(f, right, EXAMPLES, mistakes=MISTAKES),
    "gradient": lambda f: gradient_equals_autograd(
        f, by_sum, EXAMPLES, with_respect_to=["energies"], mistakes=MISTAKES
    ),
    "cached": lambda f: cached_equals_uncached(f, right, EXAMPLES, mistakes=MISTAKES),
    "distribution": lambda f: same_distribution(f, [0.5, 0.5], mistakes=MISTAKES),
    "mean": lambda f: mean_not_sum(f, EXAMPLES, repeat=["energies", "is_word"], mistakes=MISTAKES),
    "arguments": lambda f: leaves_arguments_alone(f, EXAMPLES, mistakes=MISTAKES),
    "part": lambda f: same_as(part_of(f, 1, of=2), right, EXAMPLES, mistakes=MISTAKES),
}


class Hostile:
    """Its every method raises what is no ordinary error."""

    def __getattr__(self, name):
        raise SystemExit

    __eq__ = __repr__ = __str__ = __len__ = __bool__ = __iter__ = __getattr__
    __hash__ = object.__hash__


ODD = {
    "None": None,
    "NotImplemented": NotImplemented,
    "bool": True,
    "huge": 10**400,
    "nan": float("nan"),
    "infinite": -float("inf"),
    "words": "words",
    "bytes": b"words",
    "empty tuple": (),
    "tuple with nothing": (None, None),
    "list": [[0.5, 0.5]],
    "dict": {"weights": torch.ones(1, 2)},
    "set": {1},
    "range": range(3),
    "function": print,
    "kind": int,
    "array": torch.ones(1, 2).numpy(),
    "hostile": Hostile(),
    "tuple of hostile": (Hostile(), Hostile()),
    "0-d nan": torch.tensor(torch.nan),
    "vector": torch.ones(7),
    "empty": torch.zeros(0),
    "no places": torch.zeros(1, 0),
    "four axes": torch.zeros(1, 2, 1, 1),
    "bools": torch.ones(1, 2).bool(),
    "complex": torch.ones(1, 2).cfloat(),
    "sparse": torch.ones(1, 2).to_sparse(),
    "meta": torch.ones(1, 2, device="meta"),
    "nested": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged),
    "NaN": torch.full((1, 2), torch.nan),
    "infinities": torch.full((1, 2), torch.inf),
    "float8": torch.ones(1, 2).to(torch.float8_e5m2).requires_grad_(False),
}
# What is always the same does not depend on padding, and only values tell that it is wrong.
CONSTANT = {"no places", "four axes", "bools", "infinities"}


@pytest.mark.parametrize("name", sorted(set(PROPERTIES) - {"arguments"}))
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_is_a_clear_failure(name, odd):
    if name == "padding_changes_nothing" and odd in CONSTANT:
        PROPERTIES[name](lambda *arguments: ODD[odd])
        return
    with pytest.raises(PropertyFailed) as failure:
        PROPERTIES[name](lambda *arguments: ODD[odd])
    assert failure.value.failed
    assert failure.value.found
    assert len(str(failure.value)) < 900
    assert failure.value.example


@pytest.mark.parametrize("odd", ODD)
def test_whether_arguments_are_left_alone_does_not_depend_on_what_is_given_back(odd):
    PROPERTIES["arguments"](lambda *arguments: ODD[odd])


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(), RecursionError("x"), MemoryError(), StopIteration()])
def test_an_error_is_told_with_an_example(name, error):
    def answer(*arguments):
        raise error

    with pytest.raises(AnswerRaised, match=type(error).__name__) as raised:
        PROPERTIES[name](answer)
    assert raised.value.example
    assert raised.value.where.endswith(": raise error")


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_is_no_function_is_refused(name):
    with pytest.raises(PropertyFailed, match="expected a function, got the int 5"):
        PROPERTIES[name](5)


class Unending(list):
    """A list that no one can go through."""

    def __iter__(self):
        raise SystemExit


def test_answers_that_cannot_be_copied_are_errors_of_the_answer():
    inside_itself = []
    inside_itself.append(inside_itself)
    for odd, kind in [(inside_itself, "RecursionError"), (Unending([1]), "SystemExit")]:
        for name in sorted(set(PROPERTIES) - {"part"}):
            with pytest.raises(AnswerRaised, match=kind):
                PROPERTIES[name](lambda *arguments, odd=odd: odd)
