"""Attention against the papers' formulas, written with loops, and against torch."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.models.attention import AdditiveAttention, DotAttention, GeneralAttention, masked_softmax


def example(batch=3, source=5, query_size=4, key_size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, query_size, generator=generator)
    keys = torch.randn(batch, source, key_size, generator=generator)
    lengths = torch.arange(batch) % source + 1
    is_word = torch.arange(source) < lengths.unsqueeze(1)
    return query, keys, is_word


ATTENTIONS = [
    pytest.param(lambda: AdditiveAttention(4, 6, 7), 6, id="additive"),
    pytest.param(lambda: GeneralAttention(4, 6), 6, id="general"),
    pytest.param(lambda: DotAttention(4, 4), 4, id="dot"),
]


def test_additive_scores_equal_the_papers_formula_written_with_loops():
    attention = AdditiveAttention(4, 6, 7)
    query, keys, _ = example()
    w, u = attention.query_projection.weight.detach(), attention.key_projection.weight.detach()
    v = attention.energy.weight[0].detach()
    energies = attention.energies(query, attention.project_keys(keys))
    for b in range(3):
        for j in range(5):
            expected = sum(v[a] * math.tanh(w[a] @ query[b] + u[a] @ keys[b, j]) for a in range(7))
            assert energies[b, j].item() == pytest.approx(expected.item(), abs=1e-6)


def test_general_scores_equal_torchs_bilinear_form():
    attention = GeneralAttention(4, 6)
    query, keys, is_word = example()
    bilinear = torch.nn.functional.bilinear(
        query.unsqueeze(1).expand(-1, 5, -1).contiguous(), keys, attention.key_projection.weight.unsqueeze(0)
    ).squeeze(-1)
    _, weights = attention(query, attention.project_keys(keys), keys, is_word)
    torch.testing.assert_close(weights, masked_softmax(bilinear, is_word), atol=1e-6, rtol=0)


def test_dot_attention_equals_torchs_scaled_dot_product_without_the_scale():
    attention = DotAttention(4, 4)
    query, keys, is_word = example(key_size=4)
    context, _ = attention(query, attention.project_keys(keys), keys, is_word)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query.unsqueeze(1), keys, keys, attn_mask=is_word.unsqueeze(1), scale=1.0
    ).squeeze(1)
    torch.testing.assert_close(context, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("make", "key_size"), ATTENTIONS)
def test_weights_sum_to_one_and_ignore_padding(make, key_size):
    attention = make()
    query, keys, is_word = example(key_size=key_size)
    _, weights = attention(query, attention.project_keys(keys), keys, is_word)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3))
    assert (weights[~is_word] == 0).all()
    assert (weights >= 0).all()


@pytest.mark.parametrize(("make", "key_size"), ATTENTIONS)
def test_padding_a_batch_does_not_change_the_context(make, key_size):
    attention = make()
    query, keys, _ = example(key_size=key_size)
    all_words = torch.ones(3, 5, dtype=torch.bool)
    context, _ = attention(query, attention.project_keys(keys), keys, all_words)
    padded_keys = torch.cat([keys, 100 * torch.randn(3, 4, key_size)], dim=1)
    padded_words = torch.cat([all_words, torch.zeros(3, 4, dtype=torch.bool)], dim=1)
    padded_context, _ = attention(query, attention.project_keys(padded_keys), padded_keys, padded_words)
    torch.testing.assert_close(context, padded_context, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("make", "key_size"), ATTENTIONS)
def test_shuffling_the_source_shuffles_the_weights_and_keeps_the_context(make, key_size):
    attention = make()
    query, keys, _ = example(key_size=key_size)
    is_word = torch.ones(3, 5, dtype=torch.bool)
    order = torch.tensor([3, 0, 4, 1, 2])
    context, weights = attention(query, attention.project_keys(keys), keys, is_word)
    keys = keys[:, order]
    shuffled_context, shuffled_weights = attention(query, attention.project_keys(keys), keys, is_word)
    torch.testing.assert_close(shuffled_weights, weights[:, order])
    torch.testing.assert_close(shuffled_context, context)


def test_a_sentence_of_padding_is_refused():
    is_word = torch.tensor([[True, False], [False, False]])
    with pytest.raises(ValueError, match=r"rows \[1\]"):
        masked_softmax(torch.zeros(2, 2), is_word)


def test_the_dot_score_refuses_sizes_that_differ():
    with pytest.raises(ValueError, match="GeneralAttention"):
        DotAttention(4, 6)


def test_very_large_energies_do_not_overflow():
    weights = masked_softmax(torch.tensor([[1000.0, 999.0, -1000.0]]), torch.tensor([[True, True, True]]))
    assert weights[0].tolist() == pytest.approx([0.7311, 0.2689, 0.0], abs=1e-4)


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8), st.data())
def test_masked_softmax_equals_the_softmax_of_the_words_alone(energies, data):
    is_word = data.draw(st.lists(st.booleans(), min_size=len(energies), max_size=len(energies)).filter(any))
    row, mask = torch.tensor([energies]), torch.tensor([is_word])
    alone = row[mask].softmax(dim=-1)
    torch.testing.assert_close(masked_softmax(row, mask)[mask], alone, atol=1e-6, rtol=1e-5)
