"""What does each head of a transformer attend to? Shares of its weight on neighbours (notebook 03)."""

from jaxtyping import Bool, Float
from torch import Tensor


def share_at_offset(
    weights: Float[Tensor, "batch heads length length"], is_word: Bool[Tensor, "batch length"], offset: int
) -> Float[Tensor, " heads"]:
    """The mean weight that a word gives to the word `offset` places further on (-1: the word before it, 0: itself).

    Words that have no such neighbour are left out. Raises ValueError if no word has one.
    """
    length = is_word.shape[1]
    if abs(offset) < length:
        looks = weights.diagonal(offset, dim1=-2, dim2=-1)  # [batch, heads, length - |offset|]
        here, there = (
            (is_word[:, : length - offset], is_word[:, offset:])
            if offset >= 0
            else (is_word[:, -offset:], is_word[:, :offset])
        )
        counts = (here & there).unsqueeze(1)
        if counts.any():
            return (looks * counts).sum(dim=(0, 2)) / counts.sum()
    raise ValueError(f"no sentence has a word {offset} places from another; give longer sentences")
