"""What does the encoder hand over? GRU encoders, and the cell that reads a word and a context (notebooks 01, 02)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_lib.models.attention import refuse_rows_of_padding


@dataclass
class Annotations:
    """What the encoder hands to the decoder: a state for each source word, and one for the whole sentence."""

    states: Float[Tensor, "batch source annotation"]  # h_j
    summary: Float[Tensor, "batch summary"]
    is_word: Bool[Tensor, "batch source"]

    def select(self, rows: Int[Tensor, " kept"]) -> "Annotations":
        """These sentences only; a row may be taken several times (beam search)."""
        return Annotations(self.states[rows], self.summary[rows], self.is_word[rows])


class GRUEncoder(nn.Module):
    """Reads the source from left to right; its last state is all that a plain decoder will know.

    The sequences are packed, so the state after the last *word* is handed over, whatever padding follows.

    Source: Cho et al. 2014, section 2.2.
    """

    def __init__(self, vocabulary_size: int, embedding_size: int, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(embedding_size, hidden_size, batch_first=True)
        self.annotation_size = self.summary_size = hidden_size

    def forward(self, source: Int[Tensor, "batch source"], is_word: Bool[Tensor, "batch source"]) -> Annotations:
        """Raises ValueError if a sentence has no word."""
        states, last = run_packed(self.gru, self.dropout(self.embedding(source)), is_word)
        return Annotations(states, last[0], is_word)


class BidirectionalGRUEncoder(nn.Module):
    """Reads the source both ways: h_j is the forward and the backward state at word j, side by side.

    Its summary is the backward state at the first word, which has read the whole sentence last of all:
    the decoder starts from it.

    Source: Bahdanau, Cho, Bengio 2014, section 3.2 and appendix A.2.1.
    """

    def __init__(self, vocabulary_size: int, embedding_size: int, hidden_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(embedding_size, hidden_size, batch_first=True, bidirectional=True)
        self.annotation_size = 2 * hidden_size
        self.summary_size = hidden_size

    def forward(self, source: Int[Tensor, "batch source"], is_word: Bool[Tensor, "batch source"]) -> Annotations:
        """Raises ValueError if a sentence has no word."""
        states, last = run_packed(self.gru, self.dropout(self.embedding(source)), is_word)
        return Annotations(states, last[1], is_word)  # last[1]: where the backward pass ended, at the first word


def run_packed(
    gru: nn.GRU, embedded: Float[Tensor, "batch source embedding"], is_word: Bool[Tensor, "batch source"]
) -> tuple[Float[Tensor, "batch source states"], Float[Tensor, "directions batch hidden"]]:
    """All states and the last ones, as if each sentence had been read alone, without padding.

    Raises ValueError if a sentence has no word, or if padding stands before a word.
    """
    refuse_rows_of_padding(is_word)
    lengths = is_word.sum(dim=-1).cpu()
    if not (is_word[:, :-1] | ~is_word[:, 1:]).all():
        raise ValueError("padding must follow the words (right padding): is_word has a False before a True")
    packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
    packed_states, last = gru(packed)
    states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=is_word.shape[1])
    return states, last


class ContextGRUCell(nn.Module):
    """A GRU cell that reads a word and a context, which enters all three gates.

        r = sigmoid(W_r Ey + C_r c + U_r s)                 the reset gate
        z = sigmoid(W_z Ey + C_z c + U_z s)                 the update gate
        s~ = tanh(W Ey + C c + r * (U s))                   the candidate
        s' = (1 - z) * s + z * s~

    W Ey does not depend on the state, so callers compute it for all target words at once with `read_words`.

    Source: Bahdanau, Cho, Bengio 2014, appendix A.2.2; as in `torch.nn.GRUCell` the reset gate acts on U s,
    where the paper has U (r * s).
    """

    def __init__(self, embedding_size: int, context_size: int, hidden_size: int) -> None:
        super().__init__()
        self.from_word = nn.Linear(embedding_size, 3 * hidden_size)  # W_r, W_z, W
        self.from_context = nn.Linear(context_size, 3 * hidden_size, bias=False)  # C_r, C_z, C
        self.from_state = nn.Linear(hidden_size, 3 * hidden_size)  # U_r, U_z, U
        bound = hidden_size**-0.5
        for parameter in self.parameters():  # torch's own start for recurrent layers
            nn.init.uniform_(parameter, -bound, bound)

    def read_words(self, embedded: Float[Tensor, "batch target embedding"]) -> Float[Tensor, "batch target gates"]:
        return self.from_word(embedded)

    def forward(
        self,
        word_part: Float[Tensor, "batch gates"],
        context: Float[Tensor, "batch context"],
        state: Float[Tensor, "batch hidden"],
    ) -> Float[Tensor, "batch hidden"]:
        hidden_size = state.shape[-1]
        given = word_part + self.from_context(context)
        remembered = self.from_state(state)
        gates = torch.sigmoid(given[:, : 2 * hidden_size] + remembered[:, : 2 * hidden_size])
        reset, update = gates.chunk(2, dim=-1)
        candidate = torch.tanh(given[:, 2 * hidden_size :] + reset * remembered[:, 2 * hidden_size :])
        return torch.lerp(state, candidate, update)
