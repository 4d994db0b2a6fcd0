"""How does every word look at every other one at once? Scaled dot-product attention, in several heads (notebook 03)."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def scaled_dot_product(
    query: Float[Tensor, "*batch target size"],
    key: Float[Tensor, "*batch source size"],
    value: Float[Tensor, "*batch source value_size"],
    may_look: Bool[Tensor, "*#batch #target source"] | None = None,
) -> tuple[Float[Tensor, "*batch target value_size"], Float[Tensor, "*batch target source"]]:
    """softmax(Q K^T / sqrt(d_k)) V, and the weights it was made with.

    may_look: True where a target place may look at a source place; None lets all look everywhere. A place that may
    look nowhere (a row of padding) gets weights and a context of zeros, where a plain softmax would give NaN.

    Source: Vaswani et al. 2017, section 3.2.1, equation 1.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if may_look is None:
        weights = scores.softmax(dim=-1)
    else:
        # The most negative number instead of -inf: a row without a single place stays finite, and is then emptied.
        weights = scores.masked_fill(~may_look, torch.finfo(scores.dtype).min).softmax(dim=-1)
        weights = weights.masked_fill(~may_look, 0.0)
    return weights @ value, weights


def causal_mask(target_length: int, source_length: int | None = None) -> Bool[Tensor, "target source"]:
    """True where a place may look: at itself and at what is before it.

    With a longer source (keys kept from earlier steps) the target places are its last ones.
    Source: Vaswani et al. 2017, section 3.2.3. Raises ValueError if the source is shorter than the target.
    """
    source_length = target_length if source_length is None else source_length
    if source_length < target_length:
        raise ValueError(f"a causal source cannot be shorter than its target: {source_length} < {target_length}")
    everywhere = torch.ones(target_length, source_length, dtype=torch.bool)
    return everywhere.tril(diagonal=source_length - target_length)


def split_heads(
    states: Float[Tensor, "batch length embedding"], heads: int
) -> Float[Tensor, "batch {heads} length head_size"]:
    """Each head gets its own slice of every state."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(states: Float[Tensor, "batch heads length head_size"]) -> Float[Tensor, "batch length embedding"]:
    """The heads' slices side by side again: the inverse of `split_heads`."""
    return states.transpose(1, 2).flatten(2)


def refuse_uneven_heads(embedding_size: int, heads: int) -> None:
    """Raises ValueError if the embedding cannot be cut into this many equal heads."""
    if heads < 1 or embedding_size % heads:
        fitting = [n for n in range(1, embedding_size + 1) if embedding_size % n == 0 and n <= 64]
        raise ValueError(f"{heads} heads cannot share an embedding of {embedding_size} evenly; possible are {fitting}")


class MultiHeadAttention(nn.Module):
    """h attentions in parallel, each on its own projection of queries, keys and values; their contexts are joined.

    Source: Vaswani et al. 2017, section 3.2.2. Raises ValueError unless `heads` divides `embedding_size`.
    """

    def __init__(self, embedding_size: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        refuse_uneven_heads(embedding_size, heads)
        self.heads, self.dropout = heads, dropout
        self.query_projection = nn.Linear(embedding_size, embedding_size)  # W^Q of all heads
        self.key_projection = nn.Linear(embedding_size, embedding_size)  # W^K
        self.value_projection = nn.Linear(embedding_size, embedding_size)  # W^V
        self.output_projection = nn.Linear(embedding_size, embedding_size)  # W^O

    def forward(
        self,
        target: Float[Tensor, "batch target embedding"],
        source: Float[Tensor, "batch source embedding"],
        may_look: Bool[Tensor, "#batch #heads #target source"] | None = None,
        want_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch target embedding"], Float[Tensor, "batch heads target source"] | None]:
        """Lets each target place look at the source (at itself: pass `target` twice).

        The weights are kept only when wanted: without them torch's fused kernel never stores the n^2 numbers.
        """
        query = split_heads(self.query_projection(target), self.heads)
        key = split_heads(self.key_projection(source), self.heads)
        value = split_heads(self.value_projection(source), self.heads)
        context, weights = attend(query, key, value, may_look, want_weights, self.dropout if self.training else 0.0)
        return self.output_projection(join_heads(context)), weights


def fused_attention(
    query: Float[Tensor, "batch heads target size"],
    key: Float[Tensor, "batch heads source size"],
    value: Float[Tensor, "batch heads source size"],
    may_look: Bool[Tensor, "#batch #heads #target source"] | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads target size"]:
    """torch's kernel, which never stores the n^2 weights; `causal` needs no mask, and skips what it would hide.

    On a CPU it reckons in float32 whatever comes in: its bfloat16 takes up to three times as long there.
    """
    kind = query.dtype
    if query.device.type == "cpu" and kind == torch.bfloat16:
        with torch.autocast("cpu", enabled=False):
            query, key, value = query.float(), key.float(), value.float()
            context = F.scaled_dot_product_attention(query, key, value, may_look, dropout, causal)
        return context.to(kind)
    return F.scaled_dot_product_attention(query, key, value, may_look, dropout, causal)


def attend(
    query: Float[Tensor, "batch heads target size"],
    key: Float[Tensor, "batch heads source size"],
    value: Float[Tensor, "batch heads source size"],
    may_look: Bool[Tensor, "#batch #heads #target source"] | None,
    want_weights: bool,
    dropout: float,
) -> tuple[Float[Tensor, "batch heads target size"], Float[Tensor, "batch heads target source"] | None]:
    """`scaled_dot_product`, by hand if its weights are wanted, else by torch's fused kernel: the same numbers."""
    if not want_weights:
        return fused_attention(query, key, value, may_look, dropout=dropout), None
    context, weights = scaled_dot_product(query, key, value, may_look)
    if dropout:
        context = F.dropout(weights, dropout) @ value
    return context, weights
