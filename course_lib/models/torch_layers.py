"""Is ours the same as torch's? Torch's own attention and layers, made with the weights of ours (notebook 03)."""

import torch
from torch import nn

from course_lib.models.blocks import (
    FeedForward,
    PostNormDecoderBlock,
    PostNormEncoderBlock,
    PreNormDecoderBlock,
    PreNormEncoderBlock,
)
from course_lib.models.scaled_attention import MultiHeadAttention


def torch_attention(ours: MultiHeadAttention) -> nn.MultiheadAttention:
    """`nn.MultiheadAttention` with the same weights: it keeps W^Q, W^K and W^V in one matrix, one below the other."""
    size = ours.query_projection.in_features
    theirs = nn.MultiheadAttention(size, ours.heads, ours.dropout, batch_first=True)
    _copy_attention(ours, theirs)
    return theirs.train(ours.training)


def torch_encoder_layer(ours: PostNormEncoderBlock | PreNormEncoderBlock) -> nn.TransformerEncoderLayer:
    """`nn.TransformerEncoderLayer` with the same weights, and `norm_first` as the block's name says."""
    theirs = nn.TransformerEncoderLayer(
        ours.attention.query_projection.in_features,
        ours.attention.heads,
        ours.feed_forward.expand.out_features,
        ours.dropout.p,
        ours.feed_forward.activation,
        ours.attention_norm.eps,
        batch_first=True,
        norm_first=isinstance(ours, PreNormEncoderBlock),
    )
    _copy_attention(ours.attention, theirs.self_attn)
    _copy_rest(ours.feed_forward, [ours.attention_norm, ours.feed_forward_norm], theirs)
    return theirs.train(ours.training)


def torch_decoder_layer(ours: PostNormDecoderBlock | PreNormDecoderBlock) -> nn.TransformerDecoderLayer:
    """`nn.TransformerDecoderLayer` with the same weights, and `norm_first` as the block's name says."""
    theirs = nn.TransformerDecoderLayer(
        ours.self_attention.query_projection.in_features,
        ours.self_attention.heads,
        ours.feed_forward.expand.out_features,
        ours.dropout.p,
        ours.feed_forward.activation,
        ours.self_attention_norm.eps,
        batch_first=True,
        norm_first=isinstance(ours, PreNormDecoderBlock),
    )
    _copy_attention(ours.self_attention, theirs.self_attn)
    _copy_attention(ours.cross_attention, theirs.multihead_attn)
    norms = [ours.self_attention_norm, ours.cross_attention_norm, ours.feed_forward_norm]
    _copy_rest(ours.feed_forward, norms, theirs)
    return theirs.train(ours.training)


@torch.no_grad()
def _copy_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> None:
    projections = (ours.query_projection, ours.key_projection, ours.value_projection)
    theirs.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
    theirs.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
    theirs.out_proj.load_state_dict(ours.output_projection.state_dict())


def _copy_rest(
    feed_forward: FeedForward,
    norms: list[nn.LayerNorm],
    theirs: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer,
) -> None:
    theirs.linear1.load_state_dict(feed_forward.expand.state_dict())
    theirs.linear2.load_state_dict(feed_forward.contract.state_dict())
    for number, norm in enumerate(norms, start=1):
        getattr(theirs, f"norm{number}").load_state_dict(norm.state_dict())
