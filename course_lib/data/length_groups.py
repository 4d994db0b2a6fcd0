"""How is padding kept small without sorting everything? Batches of texts from one group of lengths (notebook 06).

Source: the code of Sanh et al. 2019 (huggingface/transformers, examples/research_projects/distillation,
grouped_batch_sampler.py), after torchvision's groups of pictures with the same proportions.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy

FIRST_BORDER, GROUP_WIDTH = 3, 4  # lengths 0 to 2, 3 to 6, 7 to 10, ...


def length_group(length: int) -> int:
    """The number of a text's group: 0 for fewer than 3 tokens, then one for each 4 lengths."""
    return 0 if length < FIRST_BORDER else (length - FIRST_BORDER) // GROUP_WIDTH + 1


class LengthGroupedBatchSampler:
    """Row numbers in batches of one group, in the order in which shuffled rows fill them.

    What is left over at the end, less than a batch of each group, is put together from the shortest group to the
    longest. Every row comes once an epoch, in ceil(rows / batch_size) batches. The order depends on (seed, epoch)
    alone; the course's training loop calls `set_epoch`.

    Raises ValueError for a batch size below 1, a negative seed, or no row.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int = 0) -> None:
        if batch_size < 1 or seed < 0 or not len(lengths):
            raise ValueError(
                "expected at least one row, batch_size of 1 or more and seed of 0 or more, got "
                f"{len(lengths)} rows, batch_size={batch_size}, seed={seed}"
            )
        self.groups = [length_group(int(length)) for length in lengths]
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.groups) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        shuffled = numpy.random.default_rng([self.seed, self.epoch]).permutation(len(self.groups))
        waiting: dict[int, list[int]] = defaultdict(list)
        for row in shuffled.tolist():
            batch = waiting[self.groups[row]]
            batch.append(row)
            if len(batch) == self.batch_size:
                yield waiting.pop(self.groups[row])
        left = [row for _, rows in sorted(waiting.items()) for row in rows]
        for first in range(0, len(left), self.batch_size):
            yield left[first : first + self.batch_size]
