"""What is a transformer's block? Attention and a small network, each behind a residual and a norm (notebook 03).

Where the norm stands decides the name. Post-norm, as published in 2017: norm(x + sublayer(x)). Pre-norm, as in GPT-2:
x + sublayer(norm(x)); then one more norm stands behind the last block.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.models.scaled_attention import MultiHeadAttention

Activation = Callable[[Tensor], Tensor]
Looks = Float[Tensor, "batch heads target source"]
LooksBack = Float[Tensor, "batch heads target before"]


class FeedForward(nn.Module):
    """Two layers, the same at every place: max(0, x W_1 + b_1) W_2 + b_2, or with another activation.

    Source: Vaswani et al. 2017, section 3.3, equation 2.
    """

    def __init__(
        self, embedding_size: int, inner_size: int, activation: Activation = nn.functional.relu, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(embedding_size, inner_size)
        self.contract = nn.Linear(inner_size, embedding_size)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, states: Float[Tensor, "batch length embedding"]) -> Float[Tensor, "batch length embedding"]:
        return self.contract(self.dropout(self.activation(self.expand(states))))


@dataclass(frozen=True)
class BlockSizes:
    """What all blocks of one model share. inner_size: width of the feed-forward network, usually 4 x embedding_size."""

    embedding_size: int
    heads: int
    inner_size: int
    dropout: float = 0.0
    activation: Activation = nn.functional.relu
    norm_epsilon: float = 1e-5

    def attention(self) -> MultiHeadAttention:
        return MultiHeadAttention(self.embedding_size, self.heads, self.dropout)

    def feed_forward(self) -> FeedForward:
        return FeedForward(self.embedding_size, self.inner_size, self.activation, self.dropout)

    def norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.embedding_size, eps=self.norm_epsilon)


class PostNormEncoderBlock(nn.Module):
    """x = norm(x + attention(x)); x = norm(x + feed_forward(x)).

    Source: Vaswani et al. 2017, section 3.1. `nn.TransformerEncoderLayer(norm_first=False)` computes the same.
    """

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.attention, self.attention_norm = sizes.attention(), sizes.norm()
        self.feed_forward, self.feed_forward_norm = sizes.feed_forward(), sizes.norm()
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch length embedding"],
        may_look: Bool[Tensor, "#batch #heads #length length"] | None = None,
        want_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch length embedding"], Float[Tensor, "batch heads length length"] | None]:
        looked, weights = self.attention(states, states, may_look, want_weights)
        states = self.attention_norm(states + self.dropout(looked))
        states = self.feed_forward_norm(states + self.dropout(self.feed_forward(states)))
        return states, weights


class PreNormEncoderBlock(nn.Module):
    """x = x + attention(norm(x)); x = x + feed_forward(norm(x)).

    Source: Radford et al. 2019, section 2.3 (GPT-2). `nn.TransformerEncoderLayer(norm_first=True)` computes the same.
    """

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.attention_norm, self.attention = sizes.norm(), sizes.attention()
        self.feed_forward_norm, self.feed_forward = sizes.norm(), sizes.feed_forward()
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch length embedding"],
        may_look: Bool[Tensor, "#batch #heads #length length"] | None = None,
        want_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch length embedding"], Float[Tensor, "batch heads length length"] | None]:
        normed = self.attention_norm(states)
        looked, weights = self.attention(normed, normed, may_look, want_weights)
        states = states + self.dropout(looked)
        states = states + self.dropout(self.feed_forward(self.feed_forward_norm(states)))
        return states, weights


class PostNormDecoderBlock(nn.Module):
    """Attention to the words so far, then to the source, then the feed-forward network, each: x = norm(x + f(x)).

    Source: Vaswani et al. 2017, section 3.1. `nn.TransformerDecoderLayer(norm_first=False)` computes the same.
    """

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.self_attention, self.self_attention_norm = sizes.attention(), sizes.norm()
        self.cross_attention, self.cross_attention_norm = sizes.attention(), sizes.norm()
        self.feed_forward, self.feed_forward_norm = sizes.feed_forward(), sizes.norm()
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch target embedding"],
        memory: Float[Tensor, "batch source embedding"],
        may_look_back: Bool[Tensor, "#batch #heads target before"],
        may_look_over: Bool[Tensor, "#batch #heads #target source"] | None = None,
        want_weights: bool = False,
        before: Float[Tensor, "batch before embedding"] | None = None,
    ) -> tuple[Float[Tensor, "batch target embedding"], LooksBack | None, Looks | None]:
        """The new states, and the weights of self-attention and cross-attention if wanted.

        before: what self-attention looks at, when earlier places were computed already (default: `states`).
        """
        looked, self_weights = self.self_attention(
            states, states if before is None else before, may_look_back, want_weights
        )
        states = self.self_attention_norm(states + self.dropout(looked))
        looked, cross_weights = self.cross_attention(states, memory, may_look_over, want_weights)
        states = self.cross_attention_norm(states + self.dropout(looked))
        states = self.feed_forward_norm(states + self.dropout(self.feed_forward(states)))
        return states, self_weights, cross_weights


class PreNormDecoderBlock(nn.Module):
    """Attention to the words so far, then to the source, then the feed-forward network, each: x = x + f(norm(x)).

    `nn.TransformerDecoderLayer(norm_first=True)` computes the same.
    """

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.self_attention_norm, self.self_attention = sizes.norm(), sizes.attention()
        self.cross_attention_norm, self.cross_attention = sizes.norm(), sizes.attention()
        self.feed_forward_norm, self.feed_forward = sizes.norm(), sizes.feed_forward()
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch target embedding"],
        memory: Float[Tensor, "batch source embedding"],
        may_look_back: Bool[Tensor, "#batch #heads target before"],
        may_look_over: Bool[Tensor, "#batch #heads #target source"] | None = None,
        want_weights: bool = False,
        before: Float[Tensor, "batch before embedding"] | None = None,
    ) -> tuple[Float[Tensor, "batch target embedding"], LooksBack | None, Looks | None]:
        """As in `PostNormDecoderBlock`."""
        normed = self.self_attention_norm(states)
        source = normed if before is None else self.self_attention_norm(before)
        looked, self_weights = self.self_attention(normed, source, may_look_back, want_weights)
        states = states + self.dropout(looked)
        looked, cross_weights = self.cross_attention(
            self.cross_attention_norm(states), memory, may_look_over, want_weights
        )
        states = states + self.dropout(looked)
        states = states + self.dropout(self.feed_forward(self.feed_forward_norm(states)))
        return states, self_weights, cross_weights
