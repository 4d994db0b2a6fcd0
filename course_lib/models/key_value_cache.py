"""What need not be computed again for each new word? The keys and values of all words before it (notebook 04)."""

from jaxtyping import Bool, Float, Int
from torch import Tensor


class KeyValueCache:
    """Keys and values of every block for the words read so far, in buffers of the full capacity.

    Memory: 2 x blocks x batch x capacity x embedding_size numbers, taken when the first words are read.
    """

    def __init__(self, blocks: int, capacity: int) -> None:
        self.blocks, self.capacity, self.length = blocks, capacity, 0
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def extend(
        self,
        block: int,
        key: Float[Tensor, "batch heads new head_size"],
        value: Float[Tensor, "batch heads new head_size"],
    ) -> tuple[Float[Tensor, "batch heads all head_size"], Float[Tensor, "batch heads all head_size"]]:
        """Keep the keys and values of the new words; gives those of all words, old ones first.

        `length` grows once the last block has been extended. Raises ValueError beyond the capacity.
        """
        batch, heads, new, head_size = key.shape
        end = self.length + new
        if end > self.capacity:
            raise ValueError(
                f"{end} tokens do not fit into the cache of {self.capacity}; start again from the last "
                f"{self.capacity // 2} tokens, or use a model with a longer context"
            )
        if block == len(self._keys):
            self._keys.append(key.new_empty(batch, heads, self.capacity, head_size))
            self._values.append(value.new_empty(batch, heads, self.capacity, head_size))
        keys, values = self._keys[block], self._values[block]
        keys[:, :, self.length : end], values[:, :, self.length : end] = key, value
        if block == self.blocks - 1:
            self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows only; a row may be kept several times (beam search)."""
        self._keys = [keys[rows] for keys in self._keys]
        self._values = [values[rows] for values in self._values]

    def cut(self, length: int) -> None:
        """Forget all but the first `length` words, so that another continuation can begin there."""
        if not 0 <= length <= self.length:
            raise ValueError(f"the cache holds {self.length} tokens, so it cannot be cut to {length}")
        self.length = length

    @property
    def bytes(self) -> int:
        """The memory the buffers take."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self._keys, *self._values))


def positions_of_words(is_word: Bool[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Each word's place in its own row when rows begin with padding: padding is 0, the first word is 0 too."""
    return (is_word.long().cumsum(dim=1) - 1).clamp(min=0)
