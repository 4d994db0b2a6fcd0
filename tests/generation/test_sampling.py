"""Our filters against transformers' own, drawn tokens against their distribution, and settings that cannot be."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers.generation import logits_process as theirs

from course_lib.generation.sampling import (
    Sampling,
    against_repetition,
    at_temperature,
    distinct_n,
    entropy,
    only_min_p,
    only_top_k,
    only_top_p,
)

CASES = [
    (lambda x, t: at_temperature(x, 0.7), theirs.TemperatureLogitsWarper(0.7)),
    (lambda x, t: at_temperature(x, 3.0), theirs.TemperatureLogitsWarper(3.0)),
    (lambda x, t: only_top_k(x, 1), theirs.TopKLogitsWarper(1)),
    (lambda x, t: only_top_k(x, 5), theirs.TopKLogitsWarper(5)),
    (lambda x, t: only_top_k(x, 500), theirs.TopKLogitsWarper(500)),
    (lambda x, t: only_top_p(x, 0.1), theirs.TopPLogitsWarper(0.1)),
    (lambda x, t: only_top_p(x, 0.9), theirs.TopPLogitsWarper(0.9)),
    (lambda x, t: only_top_p(x, 1.0), theirs.TopPLogitsWarper(1.0)),
    (lambda x, t: only_min_p(x, 0.05), theirs.MinPLogitsWarper(0.05)),
    (lambda x, t: only_min_p(x, 1.0), theirs.MinPLogitsWarper(1.0)),
    (lambda x, t: against_repetition(x, t, 1.3), theirs.RepetitionPenaltyLogitsProcessor(1.3)),
    (lambda x, t: against_repetition(x, t, 0.5), theirs.RepetitionPenaltyLogitsProcessor(0.5)),
]


@pytest.mark.parametrize(("ours", "warper"), CASES)
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 8.0]))
def test_each_step_equals_transformers_warper(ours, warper, seed, spread):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(3, 40, generator=generator)
    tokens = torch.randint(0, 40, (3, 6), generator=generator)
    found, expected = ours(logits, tokens), warper(tokens, logits.clone())
    torch.testing.assert_close(found.softmax(-1), expected.softmax(-1), atol=1e-6, rtol=0)
    assert torch.equal(found.isinf(), expected.isinf())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.1, 3),
    st.none() | st.integers(1, 30),
    st.none() | st.floats(0.05, 1),
    st.none() | st.floats(0, 0.5),
    st.floats(0.5, 2),
)
def test_all_steps_together_equal_those_that_generate_puts_together(seed, temperature, top_k, top_p, min_p, penalty):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 30, generator=generator)
    tokens = torch.randint(0, 30, (2, 5), generator=generator)
    steps = theirs.LogitsProcessorList()
    if penalty != 1:
        steps.append(theirs.RepetitionPenaltyLogitsProcessor(penalty))
    steps.append(theirs.TemperatureLogitsWarper(temperature))
    if top_k is not None:
        steps.append(theirs.TopKLogitsWarper(top_k))
    if top_p is not None:
        steps.append(theirs.TopPLogitsWarper(top_p))
    if min_p is not None:
        steps.append(theirs.MinPLogitsWarper(min_p))
    found = Sampling(temperature, top_k, top_p, min_p, penalty).scores(logits, tokens)
    torch.testing.assert_close(found.softmax(-1), steps(tokens, logits.clone()).softmax(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7, top_k=5), Sampling(2.0, top_p=0.8), Sampling(min_p=0.1)]
)
def test_drawn_tokens_follow_the_distribution(sampling):
    generator = torch.Generator().manual_seed(7)
    logits = 2 * torch.randn(1, 12, generator=generator)
    shares = sampling.scores(logits, torch.zeros(1, 1, dtype=torch.long)).softmax(-1)[0]
    draws = torch.multinomial(shares, 20_000, replacement=True, generator=generator)
    counts = draws.bincount(minlength=12)
    possible = shares > 0
    assert counts[~possible].sum() == 0
    expected = (shares[possible].double() / shares[possible].double().sum() * 20_000).numpy()
    if len(expected) > 1:
        assert chisquare(counts[possible].numpy(), expected).pvalue > 1e-3


def test_stages_come_in_order_and_the_last_is_the_result():
    logits, tokens = torch.randn(1, 9), torch.tensor([[1, 2]])
    sampling = Sampling(0.5, top_k=4, top_p=0.9, min_p=0.01, repetition_penalty=1.2)
    stages = dict(sampling.stages(logits, tokens))
    assert list(stages) == ["repetition_penalty", "temperature", "top_k", "top_p", "min_p"]
    assert torch.equal(stages["min_p"], sampling.scores(logits, tokens))
    assert list(dict(Sampling().stages(logits, tokens))) == ["temperature"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "must be > 0, got 0.0; for the likeliest token at every step use do_sample=False"),
        ({"temperature": -1.0}, "must be > 0"),
        ({"temperature": float("nan")}, "must be > 0"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]"),
        ({"top_p": 1.5}, "top_p must be in"),
        ({"min_p": -0.1}, r"min_p must be in \[0, 1\]"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be > 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(changes, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**changes)


def test_entropy_is_shannons_and_grows_with_the_temperature():
    assert entropy(torch.zeros(8)).item() == pytest.approx(3)
    assert entropy(torch.tensor([0.0, float("-inf")])).item() == 0
    halves = torch.tensor([0.5, 0.25, 0.25]).log()
    assert entropy(halves).item() == pytest.approx(1.5)
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(0))
    values = [entropy(at_temperature(logits, t)).item() for t in (0.1, 0.3, 0.7, 1.0, 1.5, 3.0)]
    assert values == sorted(values)
    assert values[-1] < math.log2(50)


def test_a_low_temperature_becomes_the_likeliest_token():
    logits = torch.randn(4, 30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(at_temperature(logits, 1e-4).softmax(-1).argmax(-1), logits.argmax(-1))
    assert at_temperature(logits, 1e-4).softmax(-1).amax(-1).allclose(torch.ones(4))


def test_distinct_n_counts_different_runs_of_tokens():
    assert distinct_n([[1, 2, 3]], 1) == 1
    assert distinct_n([[1, 1, 1, 1]], 1) == 0.25
    assert distinct_n([[1, 2], [1, 2], [1, 3]], 2) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no text has 3 tokens in a row"):
        distinct_n([[1, 2]], 3)
