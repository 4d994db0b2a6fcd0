"""Where should the decoder look? Attention scores and the masked softmax (notebooks 02, 03)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def masked_softmax(
    energies: Float[Tensor, "batch source"], is_word: Bool[Tensor, "batch source"]
) -> Float[Tensor, "batch source"]:
    """Softmax over the words of each row; padding gets weight 0 exactly.

    The padding is struck out *before* the softmax (energy -inf), so that what is left sums to 1.
    Raises ValueError if a row of `is_word` is all False: its weights would be NaN.
    """
    refuse_rows_of_padding(is_word)
    return energies.masked_fill(~is_word, float("-inf")).softmax(dim=-1)


def refuse_rows_of_padding(is_word: Bool[Tensor, "batch source"]) -> None:
    """Raises ValueError if a row of `is_word` is all False (on a GPU: a device-side assertion, without waiting)."""
    every_row_has_a_word = is_word.any(dim=-1).all()
    if is_word.is_cuda:
        torch._assert_async(every_row_has_a_word)
    elif not every_row_has_a_word:
        empty = (~is_word.any(dim=-1)).nonzero().flatten().tolist()
        raise ValueError(f"rows {empty} of is_word hold nothing but padding; remove empty source sentences first")


class AdditiveAttention(nn.Module):
    """Bahdanau's alignment model: e_ij = v^T tanh(W s_{i-1} + U h_j).

    U h_j does not depend on the decoding step, so callers project the keys once with
    `project_keys` and pass the result to every step.

    Source: Bahdanau, Cho, Bengio 2014, section 3.1 and appendix A.1.2.
    """

    def __init__(self, query_size: int, key_size: int, attention_size: int) -> None:
        super().__init__()
        self.query_projection = nn.Linear(query_size, attention_size, bias=False)  # W
        self.key_projection = nn.Linear(key_size, attention_size, bias=False)  # U
        self.energy = nn.Linear(attention_size, 1, bias=False)  # v

    def project_keys(self, keys: Float[Tensor, "batch source key"]) -> Float[Tensor, "batch source attention"]:
        return self.key_projection(keys)

    def energies(
        self, query: Float[Tensor, "batch query"], projected_keys: Float[Tensor, "batch source attention"]
    ) -> Float[Tensor, "batch source"]:
        bent = torch.tanh(self.query_projection(query).unsqueeze(1) + projected_keys)  # [batch, source, attention]
        return self.energy(bent).squeeze(-1)

    def forward(
        self,
        query: Float[Tensor, "batch query"],
        projected_keys: Float[Tensor, "batch source attention"],
        values: Float[Tensor, "batch source value"],
        is_word: Bool[Tensor, "batch source"],
    ) -> tuple[Float[Tensor, "batch value"], Float[Tensor, "batch source"]]:
        """One decoding step: the context vector, and the weights it was made with.

        Raises ValueError if a row of `is_word` is all False.
        """
        return weigh(self.energies(query, projected_keys), values, is_word)


def dot_energies(
    query: Float[Tensor, "batch size"], keys: Float[Tensor, "batch source size"]
) -> Float[Tensor, "batch source"]:
    """e_ij = s_{i-1}^T k_j: one inner product for each source word."""
    return torch.bmm(keys, query.unsqueeze(-1)).squeeze(-1)


class GeneralAttention(nn.Module):
    """Luong's "general" score: e_ij = s_{i-1}^T W h_j.

    Source: Luong, Pham, Manning 2015, section 3.1 (there with the current decoder state).
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        self.key_projection = nn.Linear(key_size, query_size, bias=False)  # W

    def project_keys(self, keys: Float[Tensor, "batch source key"]) -> Float[Tensor, "batch source query"]:
        return self.key_projection(keys)

    def forward(
        self,
        query: Float[Tensor, "batch query"],
        projected_keys: Float[Tensor, "batch source query"],
        values: Float[Tensor, "batch source value"],
        is_word: Bool[Tensor, "batch source"],
    ) -> tuple[Float[Tensor, "batch value"], Float[Tensor, "batch source"]]:
        """One decoding step: the context vector, and the weights it was made with."""
        return weigh(dot_energies(query, projected_keys), values, is_word)


class DotAttention(nn.Module):
    """Luong's "dot" score: e_ij = s_{i-1}^T h_j, without a parameter; query and keys must be of one size.

    Source: Luong, Pham, Manning 2015, section 3.1.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        if query_size != key_size:
            raise ValueError(
                f"the dot score needs query and keys of one size, got {query_size} and {key_size}; use GeneralAttention"
            )

    def project_keys(self, keys: Float[Tensor, "batch source key"]) -> Float[Tensor, "batch source key"]:
        return keys  # nothing to learn

    def forward(
        self,
        query: Float[Tensor, "batch size"],
        projected_keys: Float[Tensor, "batch source size"],
        values: Float[Tensor, "batch source value"],
        is_word: Bool[Tensor, "batch source"],
    ) -> tuple[Float[Tensor, "batch value"], Float[Tensor, "batch source"]]:
        """One decoding step: the context vector, and the weights it was made with."""
        return weigh(dot_energies(query, projected_keys), values, is_word)


def weigh(
    energies: Float[Tensor, "batch source"],
    values: Float[Tensor, "batch source value"],
    is_word: Bool[Tensor, "batch source"],
) -> tuple[Float[Tensor, "batch value"], Float[Tensor, "batch source"]]:
    """From energies to weights, and from weights to the context c_i = sum_j a_ij h_j."""
    weights = masked_softmax(energies, is_word)
    context = torch.bmm(weights.unsqueeze(1), values).squeeze(1)
    return context, weights
