"""How does a model write what comes next? A causal language model, GPT-2's architecture (notebook 04)."""

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.models.blocks import Looks
from course_lib.models.key_value_cache import KeyValueCache, positions_of_words
from course_lib.models.packing import places_in_documents, within_documents
from course_lib.models.positions import LearnedPositions, refuse_too_long
from course_lib.models.scaled_attention import (
    attend,
    causal_mask,
    fused_attention,
    join_heads,
    refuse_uneven_heads,
    split_heads,
)


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT. The defaults are GPT-2's smallest (124M parameters; Radford et al. 2019, table 2)."""

    vocabulary_size: int = 50_257
    context_size: int = 1_024
    blocks: int = 12
    heads: int = 12
    embedding_size: int = 768
    dropout: float = 0.0
    norm_epsilon: float = 1e-5
    inner_size: int | None = None  # of the feed-forward network; None: 4 x embedding_size

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in ("dropout", "norm_epsilon"):
                continue
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        refuse_uneven_heads(self.embedding_size, self.heads)

    @property
    def width(self) -> int:
        """Of the feed-forward network."""
        return self.inner_size or 4 * self.embedding_size


@dataclass
class GPTOutput:
    """The scores of each next token; where each block's heads looked, if asked; the last hidden states."""

    logits: Float[Tensor, "batch length vocabulary"]
    weights: list[Looks] | None
    states: Float[Tensor, "batch length embedding"]


class CausalSelfAttention(nn.Module):
    """Multi-head attention of each place to itself and to those before it.

    One matrix makes query, key and value together: three products in one call.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.query_key_value = nn.Linear(config.embedding_size, 3 * config.embedding_size)
        self.output_projection = nn.Linear(config.embedding_size, config.embedding_size)

    def forward(
        self,
        states: Float[Tensor, "batch new embedding"],
        may_look: Bool[Tensor, "#batch 1 new all"] | None,
        want_weights: bool,
        cache: KeyValueCache | None,
        block: int,
    ) -> tuple[Float[Tensor, "batch new embedding"], Looks | None]:
        """may_look None: plain causal attention within `states`, for which the fused kernel needs no mask."""
        query, key, value = (split_heads(part, self.heads) for part in self.query_key_value(states).chunk(3, dim=-1))
        if cache is not None:
            key, value = cache.extend(block, key, value)
        dropout = self.dropout if self.training else 0.0
        if may_look is None and not want_weights:
            context = fused_attention(query, key, value, causal=True, dropout=dropout)
            return self.output_projection(join_heads(context)), None
        if may_look is None:
            may_look = causal_mask(states.shape[1]).to(states.device)[None, None]
        looked, weights = attend(query, key, value, may_look, want_weights, dropout)
        return self.output_projection(join_heads(looked)), weights


class GPTBlock(nn.Module):
    """x = x + attention(norm(x)); x = x + feed_forward(norm(x)), with GPT-2's tanh form of GELU (pre-norm)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.embedding_size, eps=config.norm_epsilon)
        self.attention = CausalSelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.embedding_size, eps=config.norm_epsilon)
        self.expand = nn.Linear(config.embedding_size, config.width)
        self.contract = nn.Linear(config.width, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        states: Float[Tensor, "batch new embedding"],
        may_look: Bool[Tensor, "#batch 1 new all"] | None = None,
        want_weights: bool = False,
        cache: KeyValueCache | None = None,
        block: int = 0,
    ) -> tuple[Float[Tensor, "batch new embedding"], Looks | None]:
        looked, weights = self.attention(self.attention_norm(states), may_look, want_weights, cache, block)
        states = states + self.dropout(looked)
        inner = F.gelu(self.expand(self.feed_forward_norm(states)), approximate="tanh")
        return states + self.dropout(self.contract(inner)), weights


class GPT(nn.Module):
    """Tokens in, the scores of each next token out. The output matrix is the embedding's (tied).

    Source: Radford et al. 2019, section 2.3. Equal to transformers' GPT2LMHeadModel with the same weights;
    `course_lib.models.gpt_files` reads and writes its files.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        self.positions = LearnedPositions(config.context_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(GPTBlock(config) for _ in range(config.blocks))
        self.last_norm = nn.LayerNorm(config.embedding_size, eps=config.norm_epsilon)
        self._initialise()

    def _initialise(self) -> None:
        """N(0, 0.02^2); what writes into the residual stream is smaller by sqrt(2 x blocks), one share for each."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                writes = name.endswith(("output_projection.weight", "contract.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * self.config.blocks) ** 0.5 if writes else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def empty_cache(self) -> KeyValueCache:
        """A cache for one text (or one batch of texts) of up to `context_size` tokens."""
        return KeyValueCache(self.config.blocks, self.config.context_size)

    def forward(
        self,
        tokens: Int[Tensor, "batch new"],
        is_word: Bool[Tensor, "batch all"] | None = None,
        cache: KeyValueCache | None = None,
        want_weights: bool = False,
        documents: Int[Tensor, "batch new"] | None = None,
    ) -> GPTOutput:
        """Reads the new tokens, after those in the cache if there is one.

        is_word: False for padding, over all tokens, cached ones too; padding may only stand on the left, so that the
        last place of each row is its newest word. documents: where a row holds several texts, one behind the other,
        the number of each token's text; none reads another. Raises ValueError for more tokens than the context holds,
        for none at all, and for documents beside padding or a cache.
        """
        new, before = tokens.shape[1], cache.length if cache is not None else 0
        if not new:
            raise ValueError("there are no tokens to read; begin with at least one, such as the end-of-text token")
        refuse_too_long(before + new, self.config.context_size)
        embedded = self.embedding(tokens)
        may_look: Tensor | None = None
        if documents is not None:
            if is_word is not None or cache is not None:
                raise ValueError("documents share rows without is_word and without a cache; leave these out")
            states = self.positions(embedded, places=places_in_documents(documents))
            may_look = within_documents(documents)
        elif is_word is not None:
            states = self.positions(embedded, places=positions_of_words(is_word)[:, before:])
            causal = causal_mask(new, before + new).to(tokens.device)
            # Padding looks at itself, for want of anything else; nobody looks at it.
            own = torch.eye(before + new, dtype=torch.bool, device=tokens.device)[before:]
            may_look = ((causal & is_word[:, None, :]) | own)[:, None]
        else:
            states = self.positions(embedded, first=before)
            if before:
                may_look = causal_mask(new, before + new).to(tokens.device)[None, None]
        states = self.dropout(states)
        looks: list[Looks] = []
        for number, block in enumerate(self.blocks):
            states, weights = block(states, may_look, want_weights, cache, number)
            if weights is not None:
                looks.append(weights)
        states = self.last_norm(states)
        return GPTOutput(F.linear(states, self.embedding.weight), looks if want_weights else None, states)


def next_token_loss(
    logits: Float[Tensor, "batch length vocabulary"], tokens: Int[Tensor, "batch length"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, of each token given those before it: place i is scored on token i + 1.

    Raises ValueError for texts of one token, which have nothing to predict.
    """
    if tokens.shape[1] < 2:
        raise ValueError("a next-token loss needs texts of at least two tokens")
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
