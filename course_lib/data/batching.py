"""How do sentences of different lengths become one tensor? Batches with padding and masks (notebooks 01, 02)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from datasets import Dataset
from jaxtyping import Bool, Int
from torch import Tensor
from torch.utils.data import DataLoader

from course_lib.data.vocabulary import BEGIN, END, PADDING, Vocabulary

Pair = tuple[list[int], list[int]]
BATCHES_READ_AT_ONCE = 20  # GroundHog's sort_k_batches


@dataclass
class TranslationBatch:
    """Sentence pairs padded to one length a side; the masks are True where there is a word, not padding.

    The source has neither BEGIN nor END. `target_input` is BEGIN and the words, `target_output` the words and END:
    at each position the decoder reads the one and should say the other. `target_is_word` marks the positions of
    `target_output` that count, END among them.
    """

    source: Int[Tensor, "batch source"]
    source_is_word: Bool[Tensor, "batch source"]
    target_input: Int[Tensor, "batch target"]
    target_output: Int[Tensor, "batch target"]
    target_is_word: Bool[Tensor, "batch target"]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "TranslationBatch":
        """The same batch on another device."""
        return TranslationBatch(
            **{field.name: getattr(self, field.name).to(device, non_blocking=non_blocking) for field in fields(self)}
        )

    def __len__(self) -> int:
        """The number of sentence pairs."""
        return self.source.shape[0]


def of_similar_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Row numbers in batches, the shortest first, so that little is padding; each row comes once."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]


def encode_pairs(dataset: Dataset, source_vocabulary: Vocabulary, target_vocabulary: Vocabulary) -> list[Pair]:
    """Turn the columns `source` and `target` into lists of numbers, once, before the first epoch.

    Raises ValueError, naming the row, when a source sentence is empty: a decoder could look at nothing.
    """
    pairs: list[Pair] = []
    for row, (source, target) in enumerate(zip(dataset["source"][:], dataset["target"][:], strict=True)):
        source_ids = source_vocabulary.encode(source)
        if not source_ids:
            raise ValueError(_empty_source(row, "of the dataset"))
        pairs.append((source_ids, target_vocabulary.encode(target)))
    return pairs


def make_batch(pairs: Sequence[Pair]) -> TranslationBatch:
    """Pad pairs of (source numbers, target numbers) into one batch; one pair is enough.

    Raises ValueError when there is no pair, or, naming the row, when a source sentence is empty.
    """
    if not pairs:
        raise ValueError("A batch needs at least one sentence pair; given none.")
    for row, (source_ids, _) in enumerate(pairs):
        if not source_ids:
            raise ValueError(_empty_source(row, "of the batch"))
    source, source_is_word = _pad([source_ids for source_ids, _ in pairs])
    target_input, _ = _pad([[BEGIN, *target_ids] for _, target_ids in pairs])
    target_output, target_is_word = _pad([[*target_ids, END] for _, target_ids in pairs])
    return TranslationBatch(source, source_is_word, target_input, target_output, target_is_word)


class LengthSortedBatchSampler:
    """Row numbers in batches of similar length, so that little of a batch is padding.

    As in GroundHog, the code of Bahdanau, Cho, Bengio 2014: read 20 batches of shuffled rows, sort them by length,
    split them. Unlike there, the batches then come in random order, so that training does not go from short to long
    again and again. The order depends on nothing but (seed, epoch); call `set_epoch` before each epoch.
    With `shuffle=False` the rows come in the dataset's own order, unsorted, so that outputs stand beside their rows.
    """

    def __init__(
        self,
        lengths: Sequence[tuple[int, int]],
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        """`lengths`: (source length, target length) of each row. `drop_last` leaves out a smaller last batch."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; a batch needs at least one sentence pair.")
        if seed < 0:
            raise ValueError(f"seed is {seed}; give a seed of 0 or more.")
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0
        self._shuffle = shuffle
        self._lengths = np.asarray(lengths, dtype=np.int64).reshape(-1, 2)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self._lengths), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[list[int]]:
        row_count = len(self._lengths)
        random = np.random.default_rng([self.seed, self.epoch])
        rows = random.permutation(row_count) if self._shuffle else np.arange(row_count)
        if self.drop_last:  # before sorting: otherwise always the longest sentences would be lost
            rows = rows[: row_count - row_count % self.batch_size]
        batches: list[np.ndarray] = []
        pool_size = BATCHES_READ_AT_ONCE * self.batch_size
        for start in range(0, len(rows), pool_size):
            pool = rows[start : start + pool_size]
            if self._shuffle:
                source_lengths, target_lengths = self._lengths[pool].T
                pool = pool[np.lexsort((target_lengths, source_lengths))]
            batches.extend(pool[first : first + self.batch_size] for first in range(0, len(pool), self.batch_size))
        order = random.permutation(len(batches)) if self._shuffle else range(len(batches))
        for index in order:
            yield batches[index].tolist()


def translation_loader(
    dataset: Dataset,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    batch_size: int,
    seed: int = 0,
    shuffle: bool = True,
    drop_last: bool = False,
) -> DataLoader:
    """A torch DataLoader of `TranslationBatch`, encoded once.

    Its order depends only on (seed, epoch): call `loader.batch_sampler.set_epoch(epoch)` before each epoch, and a
    resumed run sees the same batches (one that Accelerate prepared sets its own count of epochs over the sampler's,
    so call `loader.set_epoch(epoch)` there). It works in this process and draws nothing from torch's global
    generator, so that iterating does not change what dropout draws. `shuffle=False` keeps the dataset's order, for
    evaluation.
    """
    pairs = encode_pairs(dataset, source_vocabulary, target_vocabulary)
    if not pairs:
        raise ValueError("The dataset has no rows; a loader needs at least one sentence pair.")
    lengths = [(len(source_ids), len(target_ids)) for source_ids, target_ids in pairs]
    return DataLoader(
        pairs,  # type: ignore[arg-type]  # a list is a map-style dataset
        batch_sampler=LengthSortedBatchSampler(lengths, batch_size, seed, shuffle, drop_last),
        collate_fn=make_batch,
        num_workers=0,
        generator=torch.Generator().manual_seed(seed),
    )


def _pad(sentences: list[list[int]]) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    longest = max(map(len, sentences))
    padded = torch.tensor([ids + [PADDING] * (longest - len(ids)) for ids in sentences])
    lengths = torch.tensor([len(ids) for ids in sentences])
    return padded, torch.arange(longest) < lengths.unsqueeze(1)


def _empty_source(row: int, where: str) -> str:
    return f"Row {row} {where} has an empty source sentence; give it at least one word or leave the row out."
