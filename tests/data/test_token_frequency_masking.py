"""Rare words are hidden more often: by their counts' power of -0.7, and exactly 15 % of a batch."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.masking import NOT_ASKED, MaskingRule
from course_lib.data.token_frequency_masking import (
    FrequencyMasking,
    choosing_weights,
    mask_by_frequency,
    token_counts,
)

SPECIAL, MASK = (0, 1, 2, 3, 4), 4
RULE = MaskingRule(mask_token=MASK, vocabulary_size=30, special_tokens=SPECIAL)
FLAT = choosing_weights(torch.ones(30, dtype=torch.long), SPECIAL)


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def test_counts_are_those_of_all_rows():
    counts = token_counts([torch.tensor([7, 7, 2]), torch.tensor([9]), torch.tensor([], dtype=torch.long)], 30)
    assert counts[7] == 2
    assert counts[9] == counts[2] == 1
    assert counts.sum() == 4


def test_weights_are_the_counts_to_the_power_of_minus_smoothing_and_zero_for_special_tokens():
    counts = torch.arange(30)
    weights = choosing_weights(counts, SPECIAL)
    assert not weights[:5].any()
    torch.testing.assert_close(weights[5:], torch.tensor([count**-0.7 for count in range(5, 30)]))
    assert choosing_weights(torch.zeros(30, dtype=torch.long), SPECIAL)[5] == 1  # a token that was never seen
    assert choosing_weights(counts, SPECIAL, smoothing=0.0)[5:].tolist() == [1.0] * 25


@given(
    st.lists(st.integers(3, 12), min_size=1, max_size=6),
    st.sampled_from([0.05, 0.15, 0.3]),
    st.integers(0, 1_000),
)
def test_exactly_the_share_of_all_lengths_is_hidden_rounded_up(lengths, share, seed):
    rule = MaskingRule(MASK, 30, SPECIAL, share=share)
    is_word = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    tokens = torch.randint(5, 30, is_word.shape, generator=seeded(seed)).masked_fill(~is_word, 0)
    batch = mask_by_frequency(tokens, is_word, FLAT, rule, seeded(seed))
    chosen = batch.labels != NOT_ASKED
    assert int(chosen.sum()) == math.ceil(share * sum(lengths))
    assert not chosen[~is_word].any()
    assert torch.equal(batch.labels[chosen], tokens[chosen])
    assert torch.equal(batch.tokens[~chosen], tokens[~chosen])


def test_words_are_drawn_in_proportion_to_their_weights():
    counts = torch.ones(30, dtype=torch.long)
    counts[10] = 1_000
    weights = choosing_weights(counts, SPECIAL)
    tokens = torch.tensor([[10, 11] * 50]).repeat(40, 1)  # as many of the one as of the other
    rule = MaskingRule(MASK, 30, SPECIAL, share=0.02)  # few, so that drawing hardly uses the words up
    generator = seeded(1)
    drawn = torch.cat([
        batch.labels[batch.labels != NOT_ASKED]
        for batch in (mask_by_frequency(tokens, None, weights, rule, generator) for _ in range(100))
    ])  # fmt: skip
    common, expected = int((drawn == 10).sum()), len(drawn) / (1 + 1_000**0.7)
    assert abs(common - expected) < 4 * expected**0.5


def test_the_fates_are_80_10_10():
    tokens = torch.full((100, 100), 7)
    batch = mask_by_frequency(tokens, None, FLAT, RULE, seeded())
    chosen = batch.labels != NOT_ASKED
    masked, kept = batch.tokens[chosen] == MASK, batch.tokens[chosen] == 7
    assert chosen.sum() == 1_500
    assert masked.float().mean() == pytest.approx(0.8, abs=0.04)
    assert kept.float().mean() == pytest.approx(0.1 + 0.1 / 25, abs=0.035)


def test_where_hardly_any_word_may_be_hidden_all_of_them_are():
    tokens = torch.full((4, 20), 2)
    tokens[1, 3] = tokens[2, 5] = 9
    batch = mask_by_frequency(tokens, None, FLAT, RULE, seeded())
    assert (batch.labels != NOT_ASKED).nonzero().tolist() == [[1, 3], [2, 5]]
    with pytest.raises(ValueError, match="no word to hide"):
        mask_by_frequency(torch.full((4, 20), 2), None, FLAT, RULE)


def test_the_same_seed_hides_the_same_words():
    tokens = torch.randint(5, 30, (4, 20), generator=seeded())
    one, two, other = (mask_by_frequency(tokens, None, FLAT, RULE, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.tokens, two.tokens)
    assert not torch.equal(one.labels, other.labels)


def test_the_collate_function_pads_and_never_hides_padding():
    batch = FrequencyMasking(RULE, FLAT)([torch.full((9,), 7), torch.full((4,), 8)])
    assert batch.is_word.sum(1).tolist() == [9, 4]
    assert (batch.labels[~batch.is_word] == NOT_ASKED).all()
    assert (batch.labels != NOT_ASKED).sum() == math.ceil(0.15 * 13)
    assert FrequencyMasking(RULE, FLAT)([torch.full((9,), 7)]).is_word is None


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="a weight for each of 30 tokens, got 29"):
        FrequencyMasking(RULE, FLAT[:29])
    with pytest.raises(ValueError, match="the padding, token 7, weighs 1"):
        FrequencyMasking(RULE, FLAT, pad_token=7)
    with pytest.raises(ValueError, match=r"smoothing must be 0 or more, got -0\.7"):
        choosing_weights(torch.ones(30, dtype=torch.long), SPECIAL, smoothing=-0.7)
