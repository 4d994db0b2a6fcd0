"""What remains when recurrence is removed? An encoder-decoder of attention alone (notebook 03)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.models.blocks import (
    BlockSizes,
    Looks,
    LooksBack,
    PostNormDecoderBlock,
    PostNormEncoderBlock,
    PreNormDecoderBlock,
    PreNormEncoderBlock,
)
from course_lib.models.positions import SinusoidPositions
from course_lib.models.recurrent import Annotations
from course_lib.models.scaled_attention import causal_mask
from course_lib.models.seq2seq import DecoderOutput, EncoderDecoder


@dataclass
class TransformerOutput(DecoderOutput):
    """Logits, and where each block and head looked: at the words so far, and at the source (in evaluation mode).

    `weights` is the mean over the heads of the last block's look at the source.
    """

    self_weights: list[LooksBack] = field(default_factory=list)
    cross_weights: list[Looks] = field(default_factory=list)


@dataclass
class TransformerAnnotations(Annotations):
    """A state for each source word, and where each block and head of the encoder looked (in evaluation mode)."""

    encoder_weights: list[Looks] = field(default_factory=list)

    def select(self, rows: Int[Tensor, " kept"]) -> "TransformerAnnotations":
        """These sentences only; the encoder's weights have been seen by then and are left behind."""
        return TransformerAnnotations(self.states[rows], self.summary[rows], self.is_word[rows])


class WordsAndPlaces(nn.Module):
    """Embeddings times sqrt(d_model), plus sinusoids. Source: Vaswani et al. 2017, sections 3.4 and 3.5."""

    def __init__(self, vocabulary_size: int, sizes: BlockSizes, context_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, sizes.embedding_size, padding_idx=0)
        self.positions = SinusoidPositions(context_size, sizes.embedding_size)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, words: Int[Tensor, "batch length"], first: int = 0) -> Float[Tensor, "batch length embedding"]:
        return self.dropout(self.positions(self.embedding(words) * math.sqrt(self.embedding.embedding_dim), first))


class TransformerEncoder(nn.Module):
    """Every source word looks at every other one, block after block; padding is looked at by none."""

    def __init__(self, vocabulary_size: int, sizes: BlockSizes, blocks: int, context_size: int, pre_norm: bool) -> None:
        super().__init__()
        self.words = WordsAndPlaces(vocabulary_size, sizes, context_size)
        block = PreNormEncoderBlock if pre_norm else PostNormEncoderBlock
        self.blocks = nn.ModuleList(block(sizes) for _ in range(blocks))
        self.last_norm = sizes.norm() if pre_norm else nn.Identity()
        self.annotation_size = self.summary_size = sizes.embedding_size

    def forward(
        self, source: Int[Tensor, "batch source"], is_word: Bool[Tensor, "batch source"]
    ) -> TransformerAnnotations:
        states, looks = self.words(source), []
        for block in self.blocks:
            states, weights = block(states, is_word[:, None, None, :], want_weights=not self.training)
            if weights is not None:
                looks.append(weights)
        states = self.last_norm(states)
        shares = is_word / is_word.sum(dim=1, keepdim=True).clamp(min=1)
        summary = torch.einsum("bs,bse->be", shares.to(states.dtype), states)  # the mean of the words' states
        return TransformerAnnotations(states, summary, is_word, looks)


class TransformerDecoder(nn.Module):
    """Each target word looks at the words before it and at the source.

    Its "state" between two calls is what every block has read so far, [batch, before, blocks, embedding], so that
    writing one more word costs one more place, and training reads all places at once from an empty state.
    """

    def __init__(self, vocabulary_size: int, sizes: BlockSizes, blocks: int, context_size: int, pre_norm: bool) -> None:
        super().__init__()
        self.words = WordsAndPlaces(vocabulary_size, sizes, context_size)
        block = PreNormDecoderBlock if pre_norm else PostNormDecoderBlock
        self.blocks = nn.ModuleList(block(sizes) for _ in range(blocks))
        self.last_norm = sizes.norm() if pre_norm else nn.Identity()
        self.to_vocabulary = nn.Linear(sizes.embedding_size, vocabulary_size, bias=False)
        self.to_vocabulary.weight = self.words.embedding.weight  # section 3.4: one matrix for both

    def start(self, annotations: Annotations) -> Float[Tensor, "batch 0 blocks embedding"]:
        batch, _, embedding_size = annotations.states.shape
        return annotations.states.new_zeros(batch, 0, len(self.blocks), embedding_size)

    def prepare(self, annotations: Annotations) -> None:
        """Nothing is computed ahead."""

    def forward(
        self,
        target_input: Int[Tensor, "batch target"],
        state: Float[Tensor, "batch before blocks embedding"],
        annotations: Annotations,
        prepared: None = None,
    ) -> tuple[TransformerOutput, Float[Tensor, "batch read blocks embedding"]]:
        """Reads the given target words after those in `state`. Raises ValueError beyond the context's length."""
        before = state.shape[1]
        length = before + target_input.shape[1]
        may_look_back = causal_mask(target_input.shape[1], length).to(target_input.device)[None, None]
        may_look_over = annotations.is_word[:, None, None, :]
        states = self.words(target_input, first=before)
        read, self_looks, cross_looks = [], [], []
        for number, block in enumerate(self.blocks):
            so_far = torch.cat([state[:, :, number], states], dim=1) if before else states
            read.append(so_far)
            states, self_weights, cross_weights = block(
                states, annotations.states, may_look_back, may_look_over, not self.training, so_far
            )
            self_looks.append(self_weights)
            cross_looks.append(cross_weights)
        logits = self.to_vocabulary(self.last_norm(states))
        if self.training:
            return TransformerOutput(logits, None), torch.stack(read, dim=2)
        output = TransformerOutput(logits, cross_looks[-1].mean(dim=1), self_looks, cross_looks)
        return output, torch.stack(read, dim=2)


def transformer_model(
    source_vocabulary_size: int,
    target_vocabulary_size: int,
    *,
    embedding_size: int = 128,
    heads: int = 4,
    blocks: int = 2,
    inner_size: int | None = None,
    context_size: int = 256,
    pre_norm: bool = True,
    dropout: float = 0.0,
    activation: Callable[[Tensor], Tensor] = nn.functional.relu,
) -> EncoderDecoder:
    """The transformer of notebook 03, as an encoder-decoder that the course's search and evaluation can use.

    The published one (pre_norm=False, 6 blocks, 512 wide, 8 heads, inner size 2048, dropout 0.1) needs a warm-up of
    4,000 steps to train at all; pre-norm trains without.
    """
    sizes = BlockSizes(embedding_size, heads, inner_size or 4 * embedding_size, dropout, activation)
    model = EncoderDecoder(
        TransformerEncoder(source_vocabulary_size, sizes, blocks, context_size, pre_norm),
        TransformerDecoder(target_vocabulary_size, sizes, blocks, context_size, pre_norm),
    )
    start_as_torch_does(model)
    return model


def start_as_torch_does(model: EncoderDecoder) -> None:
    """Each matrix, embeddings included, from Glorot's uniform distribution, as `nn.Transformer` starts.

    Its attention starts three times as sharp as with `nn.Linear`'s own start, and a short training gets further.
    Source: Glorot, Bengio 2010, equation 16.
    """
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
