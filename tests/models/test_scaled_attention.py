"""Scaled dot-product and multi-head attention, against torch's own and against what must hold of any attention."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_lib.models.scaled_attention import (
    MultiHeadAttention,
    attend,
    causal_mask,
    fused_attention,
    join_heads,
    scaled_dot_product,
    split_heads,
)


def random_heads(batch=2, heads=3, target=4, source=5, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, heads, target, size, generator=generator),
        torch.randn(batch, heads, source, size, generator=generator),
        torch.randn(batch, heads, source, size, generator=generator),
    )


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 8), st.integers(0, 99)
)
def test_it_equals_torchs_own_with_and_without_a_mask(batch, heads, target, source, size, seed):
    query, key, value = random_heads(batch, heads, target, source, size, seed)
    may_look = torch.rand(batch, 1, target, source, generator=torch.Generator().manual_seed(seed)) > 0.4
    may_look[..., 0] = True
    for mask in (None, may_look):
        context, weights = scaled_dot_product(query, key, value, mask)
        torch.testing.assert_close(
            context, F.scaled_dot_product_attention(query, key, value, attn_mask=mask), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(weights.sum(-1), torch.ones(batch, heads, target))
        if mask is not None:
            assert (weights.masked_select(~mask.expand_as(weights)) == 0).all()


def test_it_equals_the_papers_formula_written_with_loops():
    query, key, value = random_heads(1, 1, 2, 3, 4)
    context, _ = scaled_dot_product(query, key, value)
    for place in range(2):
        scores = [float(query[0, 0, place] @ key[0, 0, j]) / math.sqrt(4) for j in range(3)]
        shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
        by_hand = sum(share * value[0, 0, j] for j, share in enumerate(shares))
        torch.testing.assert_close(context[0, 0, place], by_hand, atol=1e-5, rtol=0)


def test_a_place_that_may_look_nowhere_gets_zeros_and_a_finite_gradient():
    query, key, value = random_heads(1, 1, 2, 3, 4)
    query.requires_grad_()
    may_look = torch.tensor([[True, True, False], [False, False, False]])[None, None]
    context, weights = scaled_dot_product(query, key, value, may_look)
    assert (weights[0, 0, 1] == 0).all()
    assert (context[0, 0, 1] == 0).all()
    context.sum().backward()
    assert query.grad.isfinite().all()


def test_scores_of_random_vectors_have_variance_one_only_with_the_square_root():
    query, key, _ = random_heads(8, 4, 32, 32, 256)
    plain = query @ key.transpose(-2, -1)
    assert plain.var().item() == pytest.approx(256, rel=0.1)
    assert (plain / math.sqrt(256)).var().item() == pytest.approx(1, rel=0.1)


def test_a_causal_mask_lets_each_place_see_itself_and_the_past():
    assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert causal_mask(1, 4).tolist() == [[True, True, True, True]]
    assert causal_mask(2, 3).tolist() == [[True, True, False], [True, True, True]]
    with pytest.raises(ValueError, match="2 < 3"):
        causal_mask(3, 2)


def test_changing_the_future_never_changes_the_past():
    attention = MultiHeadAttention(16, 4)
    states = torch.randn(1, 6, 16)
    changed = states.clone()
    changed[:, 4:] = torch.randn(1, 2, 16)
    mask = causal_mask(6)[None, None]
    before, after = attention(states, states, mask)[0], attention(changed, changed, mask)[0]
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])


def test_splitting_and_joining_heads_are_inverse():
    states = torch.randn(2, 5, 12)
    assert split_heads(states, 3).shape == (2, 3, 5, 4)
    assert torch.equal(join_heads(split_heads(states, 3)), states)


def torchs(ours: MultiHeadAttention, embedding_size: int, heads: int) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(embedding_size, heads, batch_first=True)
    projections = (ours.query_projection, ours.key_projection, ours.value_projection)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
        theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
        theirs.out_proj.load_state_dict(ours.output_projection.state_dict())
    return theirs


@pytest.mark.parametrize("want_weights", [True, False])
@pytest.mark.parametrize(("embedding_size", "heads"), [(8, 1), (12, 3), (16, 16)])
def test_multi_head_attention_equals_torchs_with_its_weights(embedding_size, heads, want_weights):
    torch.manual_seed(heads)
    ours = MultiHeadAttention(embedding_size, heads)
    theirs = torchs(ours, embedding_size, heads)
    target, source = torch.randn(2, 3, embedding_size), torch.randn(2, 5, embedding_size)
    is_word = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    looked, weights = ours(target, source, is_word[:, None, None, :], want_weights)
    expected, expected_weights = theirs(
        target, source, source, key_padding_mask=~is_word, average_attn_weights=False, need_weights=True
    )
    torch.testing.assert_close(looked, expected, atol=1e-5, rtol=0)
    if want_weights:
        torch.testing.assert_close(weights, expected_weights, atol=1e-5, rtol=0)
    else:
        assert weights is None


def test_padding_and_neighbours_change_nothing():
    attention = MultiHeadAttention(16, 4)
    states = torch.randn(3, 5, 16)
    is_word = torch.ones(3, 5, dtype=torch.bool)
    alone = attention(states[:1], states[:1], is_word[:1, None, None])[0]
    together = attention(states, states, is_word[:, None, None])[0]
    torch.testing.assert_close(alone, together[:1], atol=1e-6, rtol=0)
    wider = torch.cat([states, torch.randn(3, 4, 16)], dim=1)
    padded = attention(states, wider, torch.cat([is_word, torch.zeros(3, 4, dtype=torch.bool)], dim=1)[:, None, None])[
        0
    ]
    torch.testing.assert_close(padded, together, atol=1e-6, rtol=0)


def test_without_a_mask_shuffled_words_give_shuffled_results():
    attention = MultiHeadAttention(16, 4)
    states, order = torch.randn(1, 6, 16), torch.randperm(6)
    torch.testing.assert_close(
        attention(states[:, order], states[:, order])[0], attention(states, states)[0][:, order], atol=1e-6, rtol=0
    )


def test_dropout_acts_on_the_weights_in_both_ways_of_computing():
    query, key, value = random_heads(4, 4, 32, 32, 8)
    torch.manual_seed(0)
    for want_weights in (True, False):
        dropped, _ = attend(query, key, value, None, want_weights, dropout=0.5)
        kept, _ = attend(query, key, value, None, want_weights, dropout=0.0)
        assert not torch.allclose(dropped, kept)
        assert (dropped - kept).mean().abs() < 0.02  # right on average


@pytest.mark.parametrize("heads", [0, 3, 5, 32])
def test_heads_that_do_not_fit_are_refused_with_those_that_do(heads):
    with pytest.raises(ValueError, match=r"possible are \[1, 2, 4, 8, 16\]"):
        MultiHeadAttention(16, heads)


@pytest.mark.parametrize("within_autocast", [True, False])
def test_half_precision_on_a_cpu_is_reckoned_in_full_and_comes_back_as_it_was(within_autocast):
    draw = torch.Generator().manual_seed(0)
    full = [torch.randn(2, 3, 7, 8, generator=draw) for _ in range(3)]
    half = [part.bfloat16() for part in full]
    with torch.autocast("cpu", torch.bfloat16, enabled=within_autocast):
        found = fused_attention(*half, causal=True)
    expected, _ = scaled_dot_product(*(part.float() for part in half), causal_mask(7))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected.bfloat16(), atol=0.01, rtol=0.01)  # one rounding, at the end
