"""What does seeing both sides buy? A masked language model, BERT's architecture, and a classifier (notebook 05)."""

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.models.blocks import BlockSizes, Looks, PostNormEncoderBlock
from course_lib.models.positions import LearnedPositions
from course_lib.models.scaled_attention import causal_mask, refuse_uneven_heads


@dataclass(frozen=True)
class BERTConfig:
    """The sizes of a BERT. The defaults are BERT-base's (110M parameters; Devlin et al. 2019, section 3)."""

    vocabulary_size: int = 30_522
    context_size: int = 512
    blocks: int = 12
    heads: int = 12
    embedding_size: int = 768
    inner_size: int = 3_072
    segments: int = 2  # sentence A and sentence B; 0: the model does not tell them apart (DistilBERT)
    dropout: float = 0.1
    norm_epsilon: float = 1e-12

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name == "segments" else 1
            if name not in ("dropout", "norm_epsilon") and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        refuse_uneven_heads(self.embedding_size, self.heads)

    def sizes(self) -> BlockSizes:
        return BlockSizes(
            self.embedding_size, self.heads, self.inner_size, self.dropout, F.gelu, norm_epsilon=self.norm_epsilon
        )


@dataclass
class BERTOutput:
    """The states of all places, and where each block's heads looked, if asked."""

    states: Float[Tensor, "batch length embedding"]
    weights: list[Looks] | None


class BERT(nn.Module):
    """The encoder: every word looks at every other one, left and right.

    Source: Devlin et al. 2019, section 3. Equal to transformers' BertModel with the same weights.
    causal: let each word look only at what is before it (for a comparison; no BERT is).
    """

    def __init__(self, config: BERTConfig, causal: bool = False) -> None:
        super().__init__()
        self.config, self.causal = config, causal
        self.embedding = nn.Embedding(config.vocabulary_size, config.embedding_size)
        self.positions = LearnedPositions(config.context_size, config.embedding_size)
        self.segments = nn.Embedding(config.segments, config.embedding_size) if config.segments else None
        self.embedding_norm = nn.LayerNorm(config.embedding_size, eps=config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(PostNormEncoderBlock(config.sizes()) for _ in range(config.blocks))

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        is_word: Bool[Tensor, "batch length"] | None = None,
        segments: Int[Tensor, "batch length"] | None = None,
        want_weights: bool = False,
    ) -> BERTOutput:
        """is_word: False for padding. segments: 0 for sentence A, 1 for sentence B; None: all 0.

        Raises ValueError for more tokens than `context_size`, and for segments that the model does not tell apart.
        """
        words = self.positions(self.embedding(tokens))
        if self.segments is not None:
            words = words + (self.segments.weight[0] if segments is None else self.segments(segments))
        elif segments is not None:
            raise ValueError("this model does not tell segments apart (its config has segments=0); leave them out")
        states = self.dropout(self.embedding_norm(words))
        may_look = None if is_word is None else is_word[:, None, None, :]
        if self.causal:
            before = causal_mask(tokens.shape[1]).to(tokens.device)
            may_look = before[None, None] if may_look is None else may_look & before
        looks: list[Looks] = []
        for block in self.blocks:
            states, weights = block(states, may_look, want_weights)
            if weights is not None:
                looks.append(weights)
        return BERTOutput(states, looks if want_weights else None)


class MaskedLanguageModel(nn.Module):
    """Guesses the words behind the masks: a dense layer, GELU, a norm, and the embedding's own matrix (tied).

    Source: Devlin et al. 2019, section 3.1. Equal to transformers' BertForMaskedLM with the same weights.
    """

    def __init__(self, encoder: BERT) -> None:
        super().__init__()
        self.encoder = encoder
        size = encoder.config.embedding_size
        self.dense, self.norm = nn.Linear(size, size), nn.LayerNorm(size, eps=encoder.config.norm_epsilon)
        self.bias = nn.Parameter(torch.zeros(encoder.config.vocabulary_size))
        self.apply(start_small)

    def scores(self, states: Float[Tensor, "*places embedding"]) -> Float[Tensor, "*places vocabulary"]:
        """The logits at these places only; in training, the masked ones: a sixth of the work."""
        return F.linear(self.norm(F.gelu(self.dense(states))), self.encoder.embedding.weight, self.bias)

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        is_word: Bool[Tensor, "batch length"] | None = None,
        segments: Int[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch length vocabulary"]:
        return self.scores(self.encoder(tokens, is_word, segments).states)


class Classifier(nn.Module):
    """One label for a text: the first place's state (of [CLS]), bent by tanh, then a linear layer.

    Source: Devlin et al. 2019, section 4.1. Equal to transformers' BertForSequenceClassification.
    For a causal encoder the last word's state is taken: the only one that has seen the whole text.
    """

    def __init__(self, encoder: BERT, labels: int) -> None:
        super().__init__()
        if labels < 2:
            raise ValueError(f"a classifier needs at least two labels, got {labels}")
        self.encoder, self.labels = encoder, labels
        size = encoder.config.embedding_size
        self.pooler, self.dropout = nn.Linear(size, size), nn.Dropout(encoder.config.dropout)
        self.to_labels = nn.Linear(size, labels)
        for layer in (self.pooler, self.to_labels):
            start_small(layer)  # the encoder may come with weights that have learned something

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        is_word: Bool[Tensor, "batch length"] | None = None,
        segments: Int[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch labels"]:
        states = self.encoder(tokens, is_word, segments).states
        if not self.encoder.causal:
            summary = states[:, 0]
        elif is_word is None:
            summary = states[:, -1]
        else:
            summary = states[torch.arange(len(states), device=states.device), is_word.sum(dim=1) - 1]
        return self.to_labels(self.dropout(torch.tanh(self.pooler(summary))))


def start_small(module: nn.Module) -> None:
    """BERT's initial weights: N(0, 0.02^2), biases 0, norms 1."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def masked_language_loss(
    model: MaskedLanguageModel,
    tokens: Int[Tensor, "batch length"],
    labels: Int[Tensor, "batch length"],
    is_word: Bool[Tensor, "batch length"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, at the masked places alone: where `labels` is not -100.

    Raises ValueError if nothing is masked.
    """
    masked = labels != -100
    if not masked.any():
        raise ValueError("nothing is masked in this batch, so there is nothing to guess")
    states = model.encoder(tokens, is_word).states
    return F.cross_entropy(model.scores(states[masked]), labels[masked])
