"""How does a model read a long document and write an answer? LongT5, an encoder-decoder (notebooks 09 and 10).

The encoder looks by local, transient-global or (as plain T5) full attention; the decoder is T5's, since answers are
short. Source: Guo et al. 2022; Raffel et al. 2020. Equal to transformers' LongT5ForConditionalGeneration.
"""

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from course_lib.models.key_value_cache import KeyValueCache
from course_lib.models.long_attention import (
    FullAttention,
    LocalAttention,
    TransientGlobalAttention,
    local_bias,
    masked,
    summary_bias,
    summary_of_parts,
)
from course_lib.models.relative_positions import DistanceBias
from course_lib.models.scaled_attention import causal_mask, join_heads, split_heads

KINDS = ("transient-global", "local", "full")
NOT_ASKED = -100  # a label that counts for nothing


@dataclass(frozen=True)
class LongT5Config:
    """The sizes of a LongT5. The defaults are those of `google/long-t5-tglobal-base` (248M parameters).

    attention: of the encoder. block: local_radius + 1. scaled_output: T5's first version multiplies the last states by
    embedding_size^-0.5 before the output; from version 1.1 on, and in LongT5, it does not. tied: the output matrix is
    the embedding's.
    """

    vocabulary_size: int = 32_128
    embedding_size: int = 768
    encoder_blocks: int = 12
    decoder_blocks: int = 12
    heads: int = 12
    head_size: int = 64
    inner_size: int = 2_048
    attention: str = "transient-global"
    block: int = 128
    summary_of: int = 16
    buckets: int = 32
    max_distance: int = 128
    dropout: float = 0.0
    norm_epsilon: float = 1e-6
    tied: bool = False
    scaled_output: bool = False
    context_size: int = 4_096  # what it was trained on; longer texts can be read, as the positions are relative

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.attention not in KINDS:
            raise ValueError(f"attention must be one of {', '.join(KINDS)}, got {self.attention!r}")

    def projections(self) -> tuple[int, int, int]:
        return self.embedding_size, self.heads, self.head_size


class GatedFeedForward(nn.Module):
    """W_o (gelu(W_0 x) * W_1 x): a gate for each inner unit. Source: Shazeer 2020, "GLU Variants", equation 6."""

    def __init__(self, config: LongT5Config) -> None:
        super().__init__()
        self.gate = nn.Linear(config.embedding_size, config.inner_size, bias=False)
        self.expand = nn.Linear(config.embedding_size, config.inner_size, bias=False)
        self.contract = nn.Linear(config.inner_size, config.embedding_size, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: Float[Tensor, "batch length embedding"]) -> Float[Tensor, "batch length embedding"]:
        inner = F.gelu(self.gate(states), approximate="tanh") * self.expand(states)
        return self.contract(self.dropout(inner))


class EncoderBlock(nn.Module):
    """x = x + attention(norm(x)); x = x + feed_forward(norm(x)). The norms only scale (RMSNorm)."""

    def __init__(self, config: LongT5Config) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.embedding_size, eps=config.norm_epsilon)
        if config.attention == "full":
            self.attention: nn.Module = FullAttention(*config.projections(), config.dropout)
        elif config.attention == "local":
            self.attention = LocalAttention(*config.projections(), config.block, config.dropout)
        else:
            self.attention = TransientGlobalAttention(
                *config.projections(), config.block, config.summary_of, config.dropout, config.norm_epsilon
            )
        self.feed_forward_norm = nn.RMSNorm(config.embedding_size, eps=config.norm_epsilon)
        self.feed_forward = GatedFeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch length embedding"],
        bias: Float[Tensor, "..."],
        is_word: Bool[Tensor, "batch length"],
        belongs: Int[Tensor, "batch parts"],
    ) -> Float[Tensor, "batch length embedding"]:
        normed = self.attention_norm(states)
        if isinstance(self.attention, TransientGlobalAttention):
            looked = self.attention(normed, bias, is_word, belongs)
        elif isinstance(self.attention, LocalAttention):
            looked = self.attention(normed, bias)
        else:
            looked = self.attention(normed, normed, bias)
        states = states + self.dropout(looked)
        return states + self.dropout(self.feed_forward(self.feed_forward_norm(states)))


class Encoder(nn.Module):
    """The document's states. The biases and masks are the same in all blocks, so they are made once."""

    def __init__(self, config: LongT5Config) -> None:
        super().__init__()
        self.config, self.checkpointing = config, False
        self.positions = DistanceBias(config.heads, config.buckets, config.max_distance)
        if config.attention == "transient-global":
            self.summary_positions = DistanceBias(config.heads, config.buckets, config.max_distance)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.encoder_blocks))
        self.last_norm = nn.RMSNorm(config.embedding_size, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def bias(self, is_word: Bool[Tensor, "batch length"]) -> tuple[Float[Tensor, "..."], Int[Tensor, "batch parts"]]:
        """What is added to the scores of every block, and which summary each part of the text belongs to."""
        config, length = self.config, is_word.shape[1]
        belongs, counts = summary_of_parts(is_word, config.summary_of)
        if config.attention == "full":
            bias = masked(self.positions(length, length), is_word[:, None, None, :])
        else:
            bias = local_bias(self.positions, is_word, config.block)
        if config.attention == "transient-global":
            side = summary_bias(self.summary_positions, belongs, counts, length, config.block, config.summary_of)
            bias = torch.cat([bias, side], dim=-1)
        return in_working_precision(bias), belongs

    def forward(
        self, embedded: Float[Tensor, "batch length embedding"], is_word: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length embedding"]:
        states = self.dropout(embedded)
        bias, belongs = self.bias(is_word)
        for block in self.blocks:
            if self.checkpointing and self.training:
                states = checkpoint(block, states, bias, is_word, belongs, use_reentrant=False)
            else:
                states = block(states, bias, is_word, belongs)
        return self.dropout(self.last_norm(states))


class DecoderBlock(nn.Module):
    """x = x + self_attention(norm(x)); x = x + cross_attention(norm(x)); x = x + feed_forward(norm(x))."""

    def __init__(self, config: LongT5Config) -> None:
        super().__init__()
        self.self_attention_norm = nn.RMSNorm(config.embedding_size, eps=config.norm_epsilon)
        self.self_attention = FullAttention(*config.projections(), config.dropout)
        self.cross_attention_norm = nn.RMSNorm(config.embedding_size, eps=config.norm_epsilon)
        self.cross_attention = FullAttention(*config.projections(), config.dropout)
        self.feed_forward_norm = nn.RMSNorm(config.embedding_size, eps=config.norm_epsilon)
        self.feed_forward = GatedFeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch new embedding"],
        bias: Float[Tensor, "1 heads new all"],
        memory: tuple[Float[Tensor, "batch heads source size"], Float[Tensor, "batch heads source size"]],
        memory_bias: Float[Tensor, "batch 1 1 source"],
        cache: KeyValueCache | None = None,
        number: int = 0,
    ) -> Float[Tensor, "batch new embedding"]:
        """memory: the document's keys and values for this block. cache: those of the words written so far."""
        normed, attention = self.self_attention_norm(states), self.self_attention
        query, (key, value) = split_heads(attention.query(normed), attention.heads), attention.keys_and_values(normed)
        if cache is not None:
            key, value = cache.extend(number, key, value)
        looked = attention.output(join_heads(attention.look(query, key, value, bias)))
        states = states + self.dropout(looked)
        normed, attention = self.cross_attention_norm(states), self.cross_attention
        query = split_heads(attention.query(normed), attention.heads)
        looked = attention.output(join_heads(attention.look(query, *memory, memory_bias)))
        states = states + self.dropout(looked)
        return states + self.dropout(self.feed_forward(self.feed_forward_norm(states)))


@dataclass
class Memory:
    """A read document: for each decoder block its keys and values, which no written word changes, and its mask."""

    keys_and_values: list[tuple[Tensor, Tensor]]
    bias: Float[Tensor, "batch 1 1 source"]


class Decoder(nn.Module):
    """Writes after the words so far, looking at the document."""

    def __init__(self, config: LongT5Config) -> None:
        super().__init__()
        self.checkpointing = False
        self.positions = DistanceBias(config.heads, config.buckets, config.max_distance, both_ways=False)
        self.blocks = nn.ModuleList(DecoderBlock(config) for _ in range(config.decoder_blocks))
        self.last_norm = nn.RMSNorm(config.embedding_size, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def memory(self, states: Float[Tensor, "batch source embedding"], is_word: Bool[Tensor, "batch source"]) -> Memory:
        """What all blocks need of a document, computed once for all the words to be written."""
        bias = masked(states.new_zeros(1, 1, 1, 1, dtype=torch.float32), is_word[:, None, None, :])
        pairs = [block.cross_attention.keys_and_values(states) for block in self.blocks]  # type: ignore[union-attr,operator]
        return Memory(pairs, in_working_precision(bias))

    def forward(
        self, embedded: Float[Tensor, "batch new embedding"], memory: Memory, cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch new embedding"]:
        new, before = embedded.shape[1], 0 if cache is None else cache.length
        bias = self.positions(new, before + new, first_query=before)
        bias = in_working_precision(masked(bias, causal_mask(new, before + new).to(bias.device))[None])
        states = self.dropout(embedded)
        for number, (block, pair) in enumerate(zip(self.blocks, memory.keys_and_values, strict=True)):
            if self.checkpointing and self.training:
                states = checkpoint(block, states, bias, pair, memory.bias, use_reentrant=False)
            else:
                states = block(states, bias, pair, memory.bias, cache, number)
        return self.dropout(self.last_norm(states))


class LongT5(nn.Module):
    """Document in, scores of the answer's words out."""

    def __init__(self, config: LongT5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        if not config.tied:
            self.output = nn.Linear(config.embedding_size, config.vocabulary_size, bias=False)
        initialise(self)

    def read(self, tokens: Int[Tensor, "batch source"], is_word: Bool[Tensor, "batch source"] | None = None) -> Memory:
        """Read documents, padded at the end where `is_word` is False. Raises ValueError for no tokens at all."""
        if not tokens.shape[1]:
            raise ValueError("there is nothing to read; give at least one token, such as the end mark")
        is_word = torch.ones_like(tokens, dtype=torch.bool) if is_word is None else is_word
        return self.decoder.memory(self.encoder(self.embedding(tokens), is_word), is_word)

    def write(
        self, memory: Memory, before: Int[Tensor, "batch new"], cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch new vocabulary"]:
        """The scores of what follows each of these tokens (the first of all is the start mark, the padding token)."""
        states = self.decoder(self.embedding(before), memory, cache)
        if self.config.scaled_output:
            states = states * self.config.embedding_size**-0.5
        return F.linear(states, self.embedding.weight if self.config.tied else self.output.weight)

    def forward(
        self,
        tokens: Int[Tensor, "batch source"],
        before: Int[Tensor, "batch target"],
        is_word: Bool[Tensor, "batch source"] | None = None,
    ) -> Float[Tensor, "batch target vocabulary"]:
        return self.write(self.read(tokens, is_word), before)

    def empty_cache(self, capacity: int) -> KeyValueCache:
        """A cache for answers of up to so many tokens, the start mark included."""
        return KeyValueCache(self.config.decoder_blocks, capacity)

    def use_checkpointing(self, wanted: bool = True) -> None:
        """In training, keep only the states between blocks, and compute what is inside of them again going back."""
        self.encoder.checkpointing = self.decoder.checkpointing = wanted


def in_working_precision(bias: Tensor) -> Tensor:
    """In the precision of autocast where it is on: converted once, instead of in each block."""
    kind = bias.device.type
    return bias.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else bias


def initialise(model: LongT5) -> None:
    """T5's initial weights: since no score is divided by sqrt(d_k), the queries' matrices are that much smaller."""
    config = model.config
    width, joined = config.embedding_size, config.heads * config.head_size
    deviations = {
        "embedding.weight": 1.0,
        "output.weight": 1.0 if config.scaled_output else width**-0.5,
        "query.weight": (width * config.head_size) ** -0.5,
        "attention.output.weight": joined**-0.5,
        "contract.weight": config.inner_size**-0.5,
    }
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            fitting = [ending for ending in deviations if name.endswith(ending)]
            nn.init.normal_(parameter, std=deviations[max(fitting, key=len)] if fitting else width**-0.5)


def start_with_neighbours(model: LongT5) -> None:
    """Give all heads but the last a neighbour to look at from the first step on; for small models and short trainings.

    Not T5's initial weights: with those, a small model needs ten times as many steps until it copies its first word.
    """
    heads = model.config.heads
    model.encoder.positions.start_near((-1, 0, 1, -2, 2, -3, 3, -4)[: heads - 1])
    model.decoder.positions.start_near((0, -1, -2, -3, -4, -5)[: heads - 1])


def shifted(
    labels: Int[Tensor, "batch target"], start_token: int = 0, pad_token: int = 0
) -> Int[Tensor, "batch target"]:
    """What the decoder reads to guess the labels: the start mark, then all of them but the last."""
    before = labels.roll(1, dims=1)
    before[:, 0] = start_token
    return before.masked_fill(before == NOT_ASKED, pad_token)


def answer_loss(
    logits: Float[Tensor, "batch target vocabulary"], labels: Int[Tensor, "batch target"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, of the answers' tokens; labels of NOT_ASKED (-100) do not count."""
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=NOT_ASKED)
