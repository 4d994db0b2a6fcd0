"""Torch's layers with our weights compute what ours compute, and only the layer of the right name does."""

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
from course_lib.models.scaled_attention import MultiHeadAttention, causal_mask
from course_lib.models.torch_layers import torch_attention, torch_decoder_layer, torch_encoder_layer

IS_WORD = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
SIZES = BlockSizes(16, 4, 32, activation=nn.functional.gelu, norm_epsilon=1e-3)


def shaken(module):
    """Every weight moved, also those of norms and biases, or one that is not copied would go unseen."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def test_attention():
    ours = shaken(MultiHeadAttention(16, 4))
    target, source = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    found, weights = ours(target, source, IS_WORD[:, None, None], want_weights=True)
    expected, expected_weights = torch_attention(ours)(
        target, source, source, key_padding_mask=~IS_WORD, average_attn_weights=False
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(weights, expected_weights, atol=1e-5, rtol=0)


@pytest.mark.parametrize("block", [PostNormEncoderBlock, PreNormEncoderBlock])
def test_encoder_layer(block):
    ours, states = shaken(block(SIZES)), torch.randn(2, 5, 16)
    theirs = torch_encoder_layer(ours)
    found, _ = ours(states, IS_WORD[:, None, None])
    expected = theirs(states, src_key_padding_mask=~IS_WORD)
    torch.testing.assert_close(found[IS_WORD], expected[IS_WORD], atol=1e-5, rtol=0)
    theirs.norm_first = not theirs.norm_first
    misnamed = theirs(states, src_key_padding_mask=~IS_WORD)
    assert (found - misnamed)[IS_WORD].abs().max() > 0.1


@pytest.mark.parametrize("block", [PostNormDecoderBlock, PreNormDecoderBlock])
def test_decoder_layer(block):
    ours = shaken(block(SIZES))
    states, memory = torch.randn(2, 4, 16), torch.randn(2, 5, 16)
    found, _, _ = ours(states, memory, causal_mask(4)[None, None], IS_WORD[:, None, None])
    expected = torch_decoder_layer(ours)(states, memory, tgt_mask=~causal_mask(4), memory_key_padding_mask=~IS_WORD)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_layer_trains_or_evaluates_as_ours_does():
    assert not torch_encoder_layer(PostNormEncoderBlock(SIZES).eval()).training
    assert torch_decoder_layer(PreNormDecoderBlock(SIZES).train()).training
