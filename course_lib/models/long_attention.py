"""How can every word look at a long document without l x l scores? Near words, and one summary of each block.

Three self-attentions on the same projections. Full (T5): every place looks at every place. Local: only at places less
than a block away. Transient global (TGlobal): the same, and at one summary of each 16 tokens of the whole document,
made anew in each layer. Source: Guo et al. 2022, "LongT5", section 3.1; equal to the layers in transformers.

None of them divides the scores by sqrt(d_k): T5's initial weights are small instead. Notebook 09.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.models.relative_positions import DistanceBias
from course_lib.models.scaled_attention import join_heads, split_heads

# exp(-10,000) is 0 in every precision, and float16 can hold it. With -inf a place that sees nothing would become NaN.
HIDDEN = -10_000.0


class Projections(nn.Module):
    """T5's four matrices, without biases. head_size x heads need not be the embedding's size."""

    def __init__(self, embedding_size: int, heads: int, head_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(embedding_size, heads * head_size, bias=False)
        self.key = nn.Linear(embedding_size, heads * head_size, bias=False)
        self.value = nn.Linear(embedding_size, heads * head_size, bias=False)
        self.output = nn.Linear(heads * head_size, embedding_size, bias=False)

    def keys_and_values(self, states: Float[Tensor, "batch length embedding"]) -> tuple[Tensor, Tensor]:
        """Both as [batch, heads, length, head_size]."""
        return split_heads(self.key(states), self.heads), split_heads(self.value(states), self.heads)

    def look(
        self,
        query: Float[Tensor, "batch heads target size"],
        key: Float[Tensor, "batch heads source size"],
        value: Float[Tensor, "batch heads source size"],
        bias: Float[Tensor, "#batch #heads #target source"] | None,
    ) -> Float[Tensor, "batch heads target size"]:
        """softmax(Q K^T + bias) V."""
        return biased_attention(query, key, value, bias, self.dropout if self.training else 0.0)


class FullAttention(Projections):
    """T5's attention: of each place to every place, or (in a decoder) to those before it, or to another text.

    The bias holds the distances and the mask, HIDDEN where a place may not look; it is made once for all
    layers. Scores per head: l x l.
    """

    def forward(
        self,
        target: Float[Tensor, "batch target embedding"],
        source: Float[Tensor, "batch source embedding"],
        bias: Float[Tensor, "#batch #heads #target source"] | None = None,
    ) -> Float[Tensor, "batch target embedding"]:
        query = split_heads(self.query(target), self.heads)
        return self.output(join_heads(self.look(query, *self.keys_and_values(source), bias)))


class BlockProjections(Projections):
    """The part that local and transient-global attention share: scores within three blocks of places only."""

    def __init__(self, embedding_size: int, heads: int, head_size: int, block: int, dropout: float = 0.0) -> None:
        super().__init__(embedding_size, heads, head_size, dropout)
        self.block = block

    def look_around(
        self,
        states: Float[Tensor, "batch length embedding"],
        bias: Float[Tensor, "batch blocks #heads block seen"],
        summaries: Float[Tensor, "batch summaries embedding"] | None = None,
    ) -> Float[Tensor, "batch length joined_heads"]:
        """Each block's places look at their own block, at both beside it, and at the summaries if there are any."""
        batch, length, _ = states.shape
        query = in_blocks(
            split_heads(self.query(states), self.heads), self.block
        )  # [batch, heads, blocks, block, size]
        key, value = (with_both_beside(in_blocks(each, self.block)) for each in self.keys_and_values(states))
        if summaries is not None:
            blocks = query.shape[2]
            side_key, side_value = (
                each[:, :, None].expand(-1, -1, blocks, -1, -1) for each in self.keys_and_values(summaries)
            )
            key, value = torch.cat([key, side_key], dim=3), torch.cat([value, side_value], dim=3)
        # Each block becomes a row of its own in the batch.
        query, key, value = (each.transpose(1, 2).flatten(0, 1) for each in (query, key, value))
        context = self.look(query, key, value, bias.flatten(0, 1))  # [batch x blocks, heads, block, size]
        context = context.unflatten(0, (batch, -1)).transpose(2, 3).flatten(3)  # [batch, blocks, block, heads x size]
        return context.flatten(1, 2)[:, :length]


class LocalAttention(BlockProjections):
    """Each place looks at places less than a block away (block = radius + 1), found in its own block and both beside.

    Scores per head: l x 3 blocks. The bias comes from `local_bias`.
    """

    def forward(
        self,
        states: Float[Tensor, "batch length embedding"],
        bias: Float[Tensor, "batch blocks #heads block three_blocks"],
    ) -> Float[Tensor, "batch length embedding"]:
        return self.output(self.look_around(states, bias))


class TransientGlobalAttention(BlockProjections):
    """As local attention, and each place also looks at a summary of every `summary_of` tokens of the document.

    A summary is the norm of the sum of its tokens' states; it goes through the same key and value matrices.
    Scores per head: l x (3 blocks + l / 16). The bias comes from `local_bias` and `summary_bias`, side by side.
    """

    def __init__(
        self,
        embedding_size: int,
        heads: int,
        head_size: int,
        block: int,
        summary_of: int = 16,
        dropout: float = 0.0,
        norm_epsilon: float = 1e-6,
    ) -> None:
        super().__init__(embedding_size, heads, head_size, block, dropout)
        self.summary_of = summary_of
        self.summary_norm = nn.RMSNorm(embedding_size, eps=norm_epsilon)

    def forward(
        self,
        states: Float[Tensor, "batch length embedding"],
        bias: Float[Tensor, "batch blocks heads block seen"],
        is_word: Bool[Tensor, "batch length"],
        belongs: Int[Tensor, "batch parts"],
    ) -> Float[Tensor, "batch length embedding"]:
        """belongs: from `summary_of_parts`."""
        summaries = self.summary_norm(summed(states, is_word, belongs, self.summary_of).to(states.dtype))
        return self.output(self.look_around(states, bias, summaries))


def biased_attention(
    query: Float[Tensor, "batch heads target size"],
    key: Float[Tensor, "batch heads source size"],
    value: Float[Tensor, "batch heads source size"],
    bias: Float[Tensor, "#batch #heads #target source"] | None,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads target size"]:
    """softmax(Q K^T + bias) V by torch's fused kernel, which keeps no weights. The scores are not scaled."""
    if bias is not None:
        bias = bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, bias, dropout, scale=1.0)


def attention_weights(
    query: Float[Tensor, "batch heads target size"],
    key: Float[Tensor, "batch heads source size"],
    bias: Float[Tensor, "#batch #heads #target source"] | None,
) -> Float[Tensor, "batch heads target source"]:
    """The weights that `biased_attention` averages the values with, to be looked at."""
    scores = query @ key.transpose(-2, -1)
    return (scores if bias is None else scores + bias).softmax(dim=-1)


def in_blocks(
    states: Float[Tensor, "batch heads length size"], block: int
) -> Float[Tensor, "batch heads blocks {block} size"]:
    """The length cut into blocks, the last one filled up with zeros."""
    missing = -states.shape[2] % block
    return F.pad(states, (0, 0, 0, missing)).unflatten(2, (-1, block))


def with_both_beside(
    blocks: Float[Tensor, "batch heads blocks block size"],
) -> Float[Tensor, "batch heads blocks three_blocks size"]:
    """Each block between the one before it and the one after it; zeros where there is none."""
    count = blocks.shape[2]
    padded = F.pad(blocks, (0, 0, 0, 0, 1, 1))
    return torch.cat([padded[:, :, shift : shift + count] for shift in range(3)], dim=3)


def local_bias(
    positions: DistanceBias, is_word: Bool[Tensor, "batch length"], block: int
) -> Float[Tensor, "batch blocks heads {block} three_blocks"]:
    """Distances within three blocks, and the mask: places a block or more away, and padding, are not looked at."""
    distance = (
        torch.arange(3 * block, device=is_word.device) - torch.arange(block, 2 * block, device=is_word.device)[:, None]
    )
    near = distance.abs() < block  # [block, three blocks]
    words = in_blocks(is_word[:, None, :, None].float(), block)
    seen = with_both_beside(words)[:, 0, :, None, None, :, 0] > 0  # [batch, blocks, 1, 1, three blocks]
    # The places of the middle block are `block`, `block` + 1, ... of the three.
    bias = positions(block, 3 * block, first_query=block)
    return masked(bias, seen & near)


def summary_of_parts(
    is_word: Bool[Tensor, "batch length"], summary_of: int
) -> tuple[Int[Tensor, "batch parts"], Int[Tensor, " batch"]]:
    """Which summary each part of `summary_of` places belongs to (-1: none), and how many summaries a text has.

    Only whole parts have a summary of their own; words left over at the end join the one before. A text of fewer
    words than `summary_of` has none.
    """
    length = is_word.shape[1]
    ends = is_word[:, summary_of - 1 :: summary_of]  # is the last place of each whole part a word?
    count = ends.sum(dim=1)
    parts = torch.arange(-(-length // summary_of), device=is_word.device)
    return torch.minimum(parts, count[:, None] - 1), count


def summed(
    states: Float[Tensor, "batch length embedding"],
    is_word: Bool[Tensor, "batch length"],
    belongs: Int[Tensor, "batch parts"],
    summary_of: int,
) -> Float[Tensor, "batch summaries embedding"]:
    """The sum of the states of each summary's words; there are l // `summary_of` summaries, the last may be empty.

    First each part is summed where it stands, then the few that stand beyond a text's last summary are added to it:
    hardly any work beside the projections', and no order of additions is left to chance.
    """
    length = states.shape[1]
    words = F.pad(states * is_word[..., None], (0, 0, 0, -length % summary_of))
    parts = words.unflatten(1, (-1, summary_of)).sum(dim=2)
    chosen = belongs[:, None, :] == torch.arange(length // summary_of, device=states.device)[:, None]
    return chosen.to(parts.dtype) @ parts


def summary_bias(
    positions: DistanceBias,
    belongs: Int[Tensor, "batch parts"],
    counts: Int[Tensor, " batch"],
    length: int,
    block: int,
    summary_of: int,
) -> Float[Tensor, "batch blocks heads {block} summaries"]:
    """Distances from each place's own summary, counted in summaries, and the mask of those that a text has not."""
    summaries = torch.arange(length // summary_of, device=belongs.device)
    bias = positions.at(summaries - belongs[..., None]).permute(0, 3, 1, 2)  # [batch, heads, parts, summaries]
    bias = masked(bias, (summaries < counts[:, None])[:, None, None])
    bias = bias.repeat_interleave(summary_of, dim=2)[:, :, :length]  # all places of a part are equally far
    return in_blocks(bias, block).transpose(1, 2)


def masked(bias: Float[Tensor, "*bias"], may_look: Bool[Tensor, "*mask"]) -> Float[Tensor, "..."]:
    """The bias, and HIDDEN where one may not look."""
    return bias.masked_fill(~may_look, HIDDEN)


def scores_per_head(length: int, kind: str, block: int = 128, summary_of: int = 16) -> int:
    """How many scores one head computes for a text of `length` tokens. kind: "full", "local" or "transient-global".

    Full and transient global are equal at about 410 tokens: l = 3 x 128 + l / 16.
    """
    seen = {"full": length, "local": 3 * block, "transient-global": 3 * block + length // summary_of}
    if kind not in seen:
        raise ValueError(f"kind must be one of {', '.join(seen)}, got {kind!r}")
    return length * seen[kind]
