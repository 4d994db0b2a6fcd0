"""How does a transformer know the order of its words? Sinusoids, or a learned vector for each place (notebook 03)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def sinusoids(length: int, embedding_size: int) -> Float[Tensor, "length embedding"]:
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(pos / 10000^(2i/d)).

    Source: Vaswani et al. 2017, section 3.5. Raises ValueError for an odd embedding size: sines and cosines are pairs.
    """
    if embedding_size % 2:
        raise ValueError(f"sinusoids come in pairs, so embedding_size must be even, got {embedding_size}")
    places = torch.arange(length, dtype=torch.float64).unsqueeze(1)  # double: 10000^x loses digits otherwise
    rates = 10_000 ** -(torch.arange(0, embedding_size, 2, dtype=torch.float64) / embedding_size)
    angles = places * rates  # [length, embedding / 2]
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).float()


class SinusoidPositions(nn.Module):
    """Adds a fixed sinusoid to each place; there is nothing to learn."""

    table: Tensor

    def __init__(self, context_size: int, embedding_size: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(context_size, embedding_size), persistent=False)

    def forward(
        self, embedded: Float[Tensor, "batch length embedding"], first: int = 0
    ) -> Float[Tensor, "batch length embedding"]:
        """first: the place of the first word, when earlier ones were read before. Raises ValueError if too long."""
        refuse_too_long(first + embedded.shape[1], len(self.table))
        return embedded + self.table[first : first + embedded.shape[1]]


class LearnedPositions(nn.Module):
    """Adds a learned vector to each place. Places beyond `context_size` have none.

    Source: Radford et al. 2018, section 4.1 (GPT); Devlin et al. 2019, section 3 (BERT).
    """

    def __init__(self, context_size: int, embedding_size: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(context_size, embedding_size).normal_(std=0.02))

    def forward(
        self,
        embedded: Float[Tensor, "batch length embedding"],
        first: int = 0,
        places: Int[Tensor, "batch length"] | None = None,
    ) -> Float[Tensor, "batch length embedding"]:
        """first: the place of the first word. places: each word's own, where rows begin with padding.

        Raises ValueError if the text is longer than the table.
        """
        if places is not None:
            return embedded + self.table[places]
        refuse_too_long(first + embedded.shape[1], len(self.table))
        return embedded + self.table[first : first + embedded.shape[1]]


def refuse_too_long(length: int, context_size: int) -> None:
    """Raises ValueError for more words than there are places."""
    if length > context_size:
        raise ValueError(
            f"{length} tokens do not fit into the context of {context_size}; shorten the text or cut it into windows"
        )
