"""Draws that follow a distribution, and draws that follow another."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from course_lib.exercises.properties.distributions import chi_square_p_value, same_distribution
from course_lib.exercises.properties.examples import Mistake

PROBABILITIES = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
LOGITS = PROBABILITIES.log()


def drawer(probabilities, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda draws: torch.multinomial(probabilities, draws, replacement=True, generator=generator)


def often(key, outcome, share):
    return Mistake(key, lambda given, drawn: abs((drawn == outcome).double().mean() - share) < 0.03)


@pytest.mark.parametrize("seed", range(20))
def test_right_draws_pass(seed):
    same_distribution(drawer(PROBABILITIES, seed), PROBABILITIES)


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int64])
def test_draws_may_be_any_whole_numbers(kind):
    same_distribution(lambda draws: drawer(PROBABILITIES)(draws).to(kind), PROBABILITIES)
    same_distribution(lambda draws: drawer(PROBABILITIES)(draws).tolist(), [0.5, 0.3, 0.15, 0.05, 0.0])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (torch.full((4,), 0.25), "should come about"),
        ((LOGITS / 0.8).softmax(0), "should come about"),
        ((LOGITS / 1.25).softmax(0), "should come about"),
        (torch.tensor([0.5, 0.3, 0.15, 0.049, 0.001]), "and has the probability 0"),
        (PROBABILITIES.flip(0)[1:], "should come about"),
        (torch.tensor([1.0]), "should come about"),
    ],
    ids=["uniform", "colder", "warmer", "impossible", "reversed", "greedy"],
)
def test_draws_of_another_distribution_fail(wrong, told, failure_of):
    failure = failure_of(same_distribution, drawer(wrong, 1), PROBABILITIES)
    assert failure.failed == "the draws follow the probabilities"
    assert told in failure.found
    assert " times in 4000, and " in failure.found
    assert failure.example["draws"] == 4000
    assert torch.equal(failure.example["probabilities"], PROBABILITIES)
    assert len(failure.answer) == 4000


def test_a_known_wrong_sampler_is_named(failure_of):
    mistakes = [often("uniform", 3, 0.25), often("greedy", 0, 1.0)]
    greedy = lambda draws: torch.zeros(draws).long()  # noqa: E731
    assert failure_of(same_distribution, greedy, PROBABILITIES, mistakes=mistakes).mistake == "greedy"
    uniform = drawer(torch.full((4,), 0.25))
    assert failure_of(same_distribution, uniform, PROBABILITIES, mistakes=mistakes).mistake == "uniform"


def test_a_right_sampler_gets_a_second_chance():
    calls = []

    def unlucky_once(draws):
        calls.append(draws)
        return torch.zeros(draws).long() if len(calls) == 1 else drawer(PROBABILITIES)(draws)

    same_distribution(unlucky_once, PROBABILITIES)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (None, "expected a tensor of 9 whole numbers, got None (is there a `return`?)"),
        (torch.zeros(9), "expected a tensor of 9 whole numbers, got a float32 tensor of shape [9]"),
        (torch.zeros(9).bool(), "expected a tensor of 9 whole numbers, got a bool tensor of shape [9]"),
        (torch.zeros(9, 1).long(), "expected a tensor of 9 whole numbers, got an int64 tensor of shape [9, 1]"),
        (torch.zeros(8).long(), "expected a tensor of 9 whole numbers, got an int64 tensor of shape [8]"),
        (torch.tensor(3), "expected a tensor of 9 whole numbers, got an int64 tensor of shape []"),
        ([0.5] * 9, "expected a tensor of 9 whole numbers, got a list of 9"),
        ([10**30] * 9, "expected a tensor of 9 whole numbers, got a list of 9"),
        (3, "expected a tensor of 9 whole numbers, got the int 3"),
        (torch.full((9,), 5), "expected outcomes from 0 to 4, got 5 to 5"),
        (torch.arange(9) - 5, "expected outcomes from 0 to 4, got -5 to 3"),
    ],
)
def test_odd_answers_fail_clearly(answer, found, failure_of):
    assert failure_of(same_distribution, lambda draws: answer, PROBABILITIES, draws=9).found == found


@pytest.mark.parametrize("probabilities", [[0.5, 0.6], [-0.1, 1.1], [torch.nan, 1.0]])
def test_what_are_no_probabilities_is_the_authors_error(probabilities):
    with pytest.raises(ValueError, match="probabilities must be at least 0 and sum to 1"):
        same_distribution(drawer(PROBABILITIES), probabilities)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=8).filter(lambda counts: sum(counts) > 0), st.randoms())
def test_the_p_value_is_scipys_where_no_outcome_is_rare(counts, random):
    weights = torch.tensor([random.uniform(0.5, 1) for _ in counts], dtype=torch.float64)
    probabilities = weights / weights.sum()
    drawn = torch.tensor(counts, dtype=torch.float64)
    if (probabilities * drawn.sum()).min() >= 5:
        expected = chisquare(drawn.numpy(), (probabilities * drawn.sum()).numpy()).pvalue
        assert chi_square_p_value(drawn, probabilities) == pytest.approx(expected, abs=1e-9)


def test_rare_outcomes_are_put_together():
    # 1,000 outcomes expected 0.4 times each would give nonsense one by one; put together they are about 80 of five.
    probabilities = torch.cat(
        [torch.tensor([0.6], dtype=torch.float64), torch.full((1000,), 0.0004, dtype=torch.float64)]
    )
    drawn = drawer(probabilities)(1000).bincount(minlength=1001).double()
    assert chi_square_p_value(drawn, probabilities) > 0.001
    moved = drawn.clone()
    moved[1:], moved[0] = 0, 1000
    assert chi_square_p_value(moved, probabilities) < 1e-12


def test_with_one_outcome_there_is_nothing_to_tell_apart():
    assert chi_square_p_value(torch.tensor([7.0]), torch.tensor([1.0])) == 1
    same_distribution(lambda draws: torch.zeros(draws).long(), [1.0])


def test_p_values_of_right_draws_are_spread_evenly():
    values = torch.tensor(
        [
            chi_square_p_value(drawer(PROBABILITIES, seed)(500).bincount(minlength=5).double(), PROBABILITIES)
            for seed in range(200)
        ]
    )
    assert 0.4 < values.mean() < 0.6
    assert 0.02 < (values < 0.1).double().mean() < 0.2
