"""Blocks against torch's layers with the same weights, and positions against their formula."""

import math

import pytest
import torch
from torch import nn

from course_lib.models.blocks import (
    BlockSizes,
    PostNormDecoderBlock,
    PostNormEncoderBlock,
    PreNormDecoderBlock,
    PreNormEncoderBlock,
)
from course_lib.models.positions import LearnedPositions, SinusoidPositions, sinusoids
from course_lib.models.scaled_attention import causal_mask

SIZES = BlockSizes(embedding_size=16, heads=4, inner_size=32)


def copy_attention(theirs: nn.MultiheadAttention, ours) -> None:
    projections = (ours.query_projection, ours.key_projection, ours.value_projection)
    theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
    theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
    theirs.out_proj.load_state_dict(ours.output_projection.state_dict())


def copy_layer(theirs, ours, norms) -> None:
    for number, norm in enumerate(norms, start=1):
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)  # or a missing norm would go unseen
        getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())
    theirs.linear1.load_state_dict(ours.feed_forward.expand.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.contract.state_dict())


@pytest.mark.parametrize(("block", "norm_first"), [(PostNormEncoderBlock, False), (PreNormEncoderBlock, True)])
@pytest.mark.parametrize("activation", [nn.functional.relu, nn.functional.gelu])
def test_an_encoder_block_equals_torchs_layer_of_its_name(block, norm_first, activation):
    torch.manual_seed(0)
    ours = block(BlockSizes(16, 4, 32, activation=activation))
    theirs = nn.TransformerEncoderLayer(
        16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm_first, activation=activation
    )
    with torch.no_grad():
        copy_attention(theirs.self_attn, ours.attention)
        copy_layer(theirs, ours, [ours.attention_norm, ours.feed_forward_norm])
    states = torch.randn(2, 5, 16)
    is_word = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    found, _ = ours(states, is_word[:, None, None, :])
    expected = theirs(states, src_key_padding_mask=~is_word)
    torch.testing.assert_close(found[is_word], expected[is_word], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("block", "norm_first"), [(PostNormDecoderBlock, False), (PreNormDecoderBlock, True)])
def test_a_decoder_block_equals_torchs_layer_of_its_name(block, norm_first):
    torch.manual_seed(0)
    ours = block(SIZES)
    theirs = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=norm_first)
    with torch.no_grad():
        copy_attention(theirs.self_attn, ours.self_attention)
        copy_attention(theirs.multihead_attn, ours.cross_attention)
        copy_layer(theirs, ours, [ours.self_attention_norm, ours.cross_attention_norm, ours.feed_forward_norm])
    states, memory = torch.randn(2, 4, 16), torch.randn(2, 5, 16)
    is_word = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    for want_weights in (True, False):
        found, self_weights, cross_weights = ours(
            states, memory, causal_mask(4)[None, None], is_word[:, None, None, :], want_weights
        )
        expected = theirs(states, memory, tgt_mask=~causal_mask(4), memory_key_padding_mask=~is_word)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        assert (self_weights is None) == (not want_weights)
        if want_weights:
            assert self_weights.shape == (2, 4, 4, 4)
            assert cross_weights.shape == (2, 4, 4, 5)


def test_post_norm_leaves_each_state_with_the_norms_own_spread_and_pre_norm_lets_it_grow():
    torch.manual_seed(0)
    states = 10 * torch.randn(2, 5, 16)
    after, _ = PostNormEncoderBlock(SIZES)(states)
    assert after.std(dim=-1, unbiased=False).allclose(torch.ones(2, 5), atol=1e-3)
    before, _ = PreNormEncoderBlock(SIZES)(states)
    assert before.std() > 5


def test_sinusoids_follow_the_papers_formula():
    table = sinusoids(50, 8)
    for place in (0, 1, 7, 49):
        for i in range(4):
            angle = place / 10_000 ** (2 * i / 8)
            assert table[place, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_one_step_on_is_the_same_rotation_at_every_place():
    table = sinusoids(40, 6)
    at, later = table[:-3].unflatten(1, (-1, 2)), table[3:].unflatten(1, (-1, 2))
    cross = at[..., 0] * later[..., 1] - at[..., 1] * later[..., 0]  # the sine of the angle between them
    assert (cross - cross[0]).abs().max() < 1e-5


def test_an_odd_size_and_a_text_that_is_too_long_are_refused():
    with pytest.raises(ValueError, match="must be even, got 7"):
        sinusoids(4, 7)
    for positions in (SinusoidPositions(4, 8), LearnedPositions(4, 8)):
        with pytest.raises(ValueError, match="5 tokens do not fit into the context of 4"):
            positions(torch.zeros(1, 5, 8))
        with pytest.raises(ValueError, match="5 tokens"):
            positions(torch.zeros(1, 2, 8), first=3)
        assert torch.equal(positions(torch.zeros(1, 4, 8))[:, 2:], positions(torch.zeros(1, 2, 8), first=2))
