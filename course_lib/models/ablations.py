"""Which part of a transformer does the work? The same model with one part taken out (notebook 03).

Each function changes a new, untrained model in place and returns it.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.models.blocks import Looks, LooksBack, PreNormDecoderBlock, PreNormEncoderBlock
from course_lib.models.fourier import mix_encoder_by_fourier
from course_lib.models.scaled_attention import MultiHeadAttention
from course_lib.models.seq2seq import EncoderDecoder


def leave_out_scale(model: EncoderDecoder) -> EncoderDecoder:
    """softmax(Q K^T) V: the queries are multiplied by sqrt(d_k), which undoes the division in every attention."""
    for attention in [module for module in model.modules() if isinstance(module, MultiHeadAttention)]:
        head_size = attention.query_projection.out_features // attention.heads
        attention.query_projection = Multiplied(attention.query_projection, head_size**0.5)  # type: ignore[assignment]
    return model


def leave_out_positions(model: EncoderDecoder) -> EncoderDecoder:
    """Words only: the encoder gets a bag of words, and the decoder knows order by its causal mask alone."""
    for words in (model.encoder.words, model.decoder.words):
        words.positions = NoPositions()
    return model


def leave_out_residuals(model: EncoderDecoder) -> EncoderDecoder:
    """x = f(norm(x)) in place of x = x + f(norm(x)), everywhere. Raises TypeError unless the blocks are pre-norm."""
    model.encoder.blocks = nn.ModuleList(EncoderBlockWithoutResidual(block) for block in model.encoder.blocks)
    model.decoder.blocks = nn.ModuleList(DecoderBlockWithoutResidual(block) for block in model.decoder.blocks)
    return model


def leak_next_word(model: EncoderDecoder) -> EncoderDecoder:
    """The causal mask one place too wide: in training each word sees the one that it should guess."""
    for block in model.decoder.blocks:
        block.self_attention = LeakyAttention(block.self_attention)
    return model


def leave_as_it_is(model: EncoderDecoder) -> EncoderDecoder:
    """The whole transformer, for comparison."""
    return model


class Multiplied(nn.Module):
    """A layer, and its output times a constant."""

    def __init__(self, layer: nn.Module, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = layer, factor

    def forward(self, states: Float[Tensor, "batch length embedding"]) -> Float[Tensor, "batch length embedding"]:
        return self.layer(states) * self.factor


class LeakyAttention(nn.Module):
    """Attention that may also look one place further than it was told."""

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(
        self,
        target: Float[Tensor, "batch target embedding"],
        source: Float[Tensor, "batch source embedding"],
        may_look: Bool[Tensor, "#batch #heads #target source"],
        want_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch target embedding"], Looks | None]:
        """As in `MultiHeadAttention`."""
        one_further = nn.functional.pad(may_look[..., :-1], (1, 0))
        return self.attention(target, source, may_look | one_further, want_weights)


class NoPositions(nn.Module):
    """Adds nothing."""

    def forward(
        self, embedded: Float[Tensor, "batch length embedding"], first: int = 0
    ) -> Float[Tensor, "batch length embedding"]:
        return embedded


class EncoderBlockWithoutResidual(nn.Module):
    """The parts of a pre-norm encoder block, one after the other."""

    def __init__(self, block: PreNormEncoderBlock) -> None:
        super().__init__()
        refuse_other_than(PreNormEncoderBlock, block)
        self.attention_norm, self.attention = block.attention_norm, block.attention
        self.feed_forward_norm, self.feed_forward = block.feed_forward_norm, block.feed_forward
        self.dropout = block.dropout

    def forward(
        self,
        states: Float[Tensor, "batch length embedding"],
        may_look: Bool[Tensor, "#batch #heads #length length"] | None = None,
        want_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch length embedding"], Looks | None]:
        """As in `PreNormEncoderBlock`."""
        normed = self.attention_norm(states)
        looked, weights = self.attention(normed, normed, may_look, want_weights)
        return self.dropout(self.feed_forward(self.feed_forward_norm(self.dropout(looked)))), weights


class DecoderBlockWithoutResidual(nn.Module):
    """The parts of a pre-norm decoder block, one after the other."""

    def __init__(self, block: PreNormDecoderBlock) -> None:
        super().__init__()
        refuse_other_than(PreNormDecoderBlock, block)
        self.self_attention_norm, self.self_attention = block.self_attention_norm, block.self_attention
        self.cross_attention_norm, self.cross_attention = block.cross_attention_norm, block.cross_attention
        self.feed_forward_norm, self.feed_forward = block.feed_forward_norm, block.feed_forward
        self.dropout = block.dropout

    def forward(
        self,
        states: Float[Tensor, "batch target embedding"],
        memory: Float[Tensor, "batch source embedding"],
        may_look_back: Bool[Tensor, "#batch #heads target before"],
        may_look_over: Bool[Tensor, "#batch #heads #target source"] | None = None,
        want_weights: bool = False,
        before: Float[Tensor, "batch before embedding"] | None = None,
    ) -> tuple[Float[Tensor, "batch target embedding"], LooksBack | None, Looks | None]:
        """As in `PreNormDecoderBlock`."""
        normed = self.self_attention_norm(states)
        source = normed if before is None else self.self_attention_norm(before)
        states, self_weights = self.self_attention(normed, source, may_look_back, want_weights)
        states, cross_weights = self.cross_attention(
            self.cross_attention_norm(self.dropout(states)), memory, may_look_over, want_weights
        )
        states = self.dropout(self.feed_forward(self.feed_forward_norm(self.dropout(states))))
        return states, self_weights, cross_weights


def refuse_other_than(expected: type, block: Any) -> None:
    """Raises TypeError for a block of another kind."""
    if not isinstance(block, expected):
        raise TypeError(
            f"residuals are taken out of {expected.__name__} only, got {type(block).__name__}; use pre_norm=True"
        )


CHANGES: dict[str, Callable[[EncoderDecoder], EncoderDecoder]] = {
    "whole": leave_as_it_is,
    "no_scale": leave_out_scale,
    "no_positions": leave_out_positions,
    "no_residuals": leave_out_residuals,
    "fourier": mix_encoder_by_fourier,
    "leaky_mask": leak_next_word,
}


def change(model: EncoderDecoder, name: str) -> EncoderDecoder:
    """Make the change of this name. Raises ValueError, with the names there are, for another name."""
    if name not in CHANGES:
        raise ValueError(f"unknown change {name!r}; choose from {', '.join(CHANGES)}")
    return CHANGES[name](model)
