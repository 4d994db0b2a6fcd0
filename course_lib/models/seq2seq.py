"""How does one sentence become another? The encoder-decoder with one context, and with attention (notebooks 01, 02)."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.models.attention import AdditiveAttention, DotAttention, GeneralAttention
from course_lib.models.recurrent import Annotations, BidirectionalGRUEncoder, ContextGRUCell, GRUEncoder

Attention = AdditiveAttention | GeneralAttention | DotAttention


@dataclass
class DecoderOutput:
    """The scores of every next word, and where the decoder looked for it (None without attention)."""

    logits: Float[Tensor, "batch target vocabulary"]
    weights: Float[Tensor, "batch target source"] | None


class Readout(nn.Module):
    """From state, previous word and context to the scores of the next word, through a maxout layer.

        t~ = U_o s + V_o Ey + C_o c,   t = the larger one of each pair of t~,   scores = W_o t

    Source: Bahdanau, Cho, Bengio 2014, appendix A.2.2 (deep output with one maxout layer).
    """

    def __init__(self, hidden_size: int, embedding_size: int, context_size: int, vocabulary_size: int) -> None:
        super().__init__()
        self.from_state = nn.Linear(hidden_size, 2 * hidden_size)  # U_o
        self.from_word = nn.Linear(embedding_size, 2 * hidden_size, bias=False)  # V_o
        self.from_context = nn.Linear(context_size, 2 * hidden_size, bias=False)  # C_o
        self.to_vocabulary = nn.Linear(hidden_size, vocabulary_size, bias=False)  # W_o

    def forward(
        self,
        states: Float[Tensor, "batch target hidden"],
        embedded: Float[Tensor, "batch target embedding"],
        contexts: Float[Tensor, "batch target context"],
    ) -> Float[Tensor, "batch target vocabulary"]:
        pairs = self.from_state(states) + self.from_word(embedded) + self.from_context(contexts)
        largest = pairs.unflatten(-1, (-1, 2)).amax(dim=-1)  # [batch, target, hidden]
        return self.to_vocabulary(largest)


class FixedContextDecoder(nn.Module):
    """Sees one context vector, the same at every step: the encoder's summary of the sentence.

    Since the context never changes, all target words are read in one call of `nn.GRU`.

    Source: Cho et al. 2014, section 2.2; RNNencdec in Bahdanau, Cho, Bengio 2014, section 2.1.
    """

    def __init__(
        self, vocabulary_size: int, embedding_size: int, hidden_size: int, context_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.first_state = nn.Linear(context_size, hidden_size)  # W_s
        self.gru = nn.GRU(embedding_size + context_size, hidden_size, batch_first=True)
        self.readout = Readout(hidden_size, embedding_size, context_size, vocabulary_size)

    def start(self, annotations: Annotations) -> Float[Tensor, "batch hidden"]:
        return torch.tanh(self.first_state(annotations.summary))

    def prepare(self, annotations: Annotations) -> None:
        """Nothing to compute ahead: the context is the summary itself."""

    def forward(
        self,
        target_input: Int[Tensor, "batch target"],
        state: Float[Tensor, "batch hidden"],
        annotations: Annotations,
        prepared: None = None,
    ) -> tuple[DecoderOutput, Float[Tensor, "batch hidden"]]:
        """Reads the given target words (teacher forcing, or a single word while generating)."""
        embedded = self.dropout(self.embedding(target_input))
        contexts = annotations.summary.unsqueeze(1).expand(-1, target_input.shape[1], -1)
        states, last = self.gru(torch.cat([embedded, contexts], dim=-1), state.unsqueeze(0))
        return DecoderOutput(self.readout(states, embedded, contexts), None), last[0]


class AttentionDecoder(nn.Module):
    """Looks back at all source words before each target word, and makes a context of its own for it.

    At step i: weights from s_{i-1}, context c_i from the weights, s_i from s_{i-1}, y_{i-1} and c_i.

    Source: Bahdanau, Cho, Bengio 2014, section 3.1 and appendix A.2.2. The readout takes s_i, where the
    paper's formula has s_{i-1}.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        annotation_size: int,
        summary_size: int,
        attention: Attention,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.first_state = nn.Linear(summary_size, hidden_size)  # W_s
        self.attention = attention
        self.cell = ContextGRUCell(embedding_size, annotation_size, hidden_size)
        self.readout = Readout(hidden_size, embedding_size, annotation_size, vocabulary_size)

    def start(self, annotations: Annotations) -> Float[Tensor, "batch hidden"]:
        return torch.tanh(self.first_state(annotations.summary))  # s_0

    def prepare(self, annotations: Annotations) -> Float[Tensor, "batch source attention"]:
        """U h_j, once for the whole sentence."""
        return self.attention.project_keys(annotations.states)

    def forward(
        self,
        target_input: Int[Tensor, "batch target"],
        state: Float[Tensor, "batch hidden"],
        annotations: Annotations,
        prepared: Float[Tensor, "batch source attention"],
    ) -> tuple[DecoderOutput, Float[Tensor, "batch hidden"]]:
        """Reads the given target words; only what depends on the last state is computed inside the loop."""
        embedded = self.dropout(self.embedding(target_input))  # [batch, target, embedding]
        word_parts = self.cell.read_words(embedded)  # W Ey for all words at once
        states, contexts, weights = [], [], []
        for word_part in word_parts.unbind(dim=1):
            context, step_weights = self.attention(state, prepared, annotations.states, annotations.is_word)
            state = self.cell(word_part, context, state)
            states.append(state)
            contexts.append(context)
            weights.append(step_weights)
        logits = self.readout(torch.stack(states, dim=1), embedded, torch.stack(contexts, dim=1))
        return DecoderOutput(logits, torch.stack(weights, dim=1)), state


class EncoderDecoder(nn.Module):
    """An encoder and a decoder: source words in, scores of the target words out."""

    encoder: Any
    decoder: Any

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        """encoder: gives `Annotations`. decoder: has `start` and `prepare`, as the two above have."""
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        source_is_word: Bool[Tensor, "batch source"],
        target_input: Int[Tensor, "batch target"],
    ) -> DecoderOutput:
        """Teacher forcing: each next word is predicted from the true words before it."""
        annotations = self.encoder(source, source_is_word)
        state = self.decoder.start(annotations)
        output, _ = self.decoder(target_input, state, annotations, self.decoder.prepare(annotations))
        return output


def fixed_context_model(
    source_vocabulary_size: int,
    target_vocabulary_size: int,
    *,
    context_size: int,
    embedding_size: int = 64,
    hidden_size: int = 128,
    dropout: float = 0.0,
) -> EncoderDecoder:
    """The encoder-decoder of notebook 01: the encoder's last state, `context_size` numbers, is the context."""
    encoder = GRUEncoder(source_vocabulary_size, embedding_size, context_size, dropout)
    decoder = FixedContextDecoder(target_vocabulary_size, embedding_size, hidden_size, context_size, dropout)
    return EncoderDecoder(encoder, decoder)


def attention_model(
    source_vocabulary_size: int,
    target_vocabulary_size: int,
    *,
    embedding_size: int = 64,
    hidden_size: int = 128,
    attention_size: int = 128,
    score: str = "additive",
    dropout: float = 0.0,
) -> EncoderDecoder:
    """The RNNsearch of notebook 02: bidirectional encoder, and attention by `score` (additive, general or dot).

    For the dot score each direction of the encoder is half as wide as the decoder, since its query and keys
    must be of one size. Raises ValueError for another score.
    """
    encoder_size = hidden_size // 2 if score == "dot" else hidden_size
    encoder = BidirectionalGRUEncoder(source_vocabulary_size, embedding_size, encoder_size, dropout)
    attention: Attention
    if score == "additive":
        attention = AdditiveAttention(hidden_size, encoder.annotation_size, attention_size)
    elif score == "general":
        attention = GeneralAttention(hidden_size, encoder.annotation_size)
    elif score == "dot":
        attention = DotAttention(hidden_size, encoder.annotation_size)
    else:
        raise ValueError(f"score must be 'additive', 'general' or 'dot', got {score!r}")
    decoder = AttentionDecoder(
        target_vocabulary_size,
        embedding_size,
        hidden_size,
        encoder.annotation_size,
        encoder.summary_size,
        attention,
        dropout,
    )
    return EncoderDecoder(encoder, decoder)


def initialise_like_the_paper(model: EncoderDecoder) -> None:
    """The start of Bahdanau, Cho, Bengio 2014, appendix B.1: almost no signal at first.

    Recurrent matrices orthogonal; W_a, U_a from N(0, 0.001^2); v_a and all biases 0, so attention starts
    exactly uniform; everything else from N(0, 0.01^2).
    """
    for name, parameter in model.named_parameters():
        if "bias" in name or "attention.energy" in name:
            nn.init.zeros_(parameter)
        elif "attention." in name:
            nn.init.normal_(parameter, std=0.001)
        elif "weight_hh" in name or "cell.from_state" in name:
            for gate in parameter.data.chunk(3):  # one orthogonal matrix for each gate
                nn.init.orthogonal_(gate)
        else:
            nn.init.normal_(parameter, std=0.01)
