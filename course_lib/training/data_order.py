"""Which batch comes at which step? An endless stream of batches that repeats exactly and resumes anywhere.

Everything random about the data (the order of an epoch, and whatever a dataset or a collate function draws, such as
the masked words of BERT) depends on the seed and on the place in the stream alone: not on the model, not on the number
of loading workers, not on when the run was interrupted.
"""

import itertools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from course_lib.training.seeding import derived_seed, isolated_randomness

_ORDER, _CONTENT = 0, 1  # two purposes of one seed


@dataclass(frozen=True)
class DataPosition:
    """`batches` batches into `epoch` (counted from 0). More batches than the epoch has: on into the next ones."""

    epoch: int = 0
    batches: int = 0


def epoch_order(loader: DataLoader, seed: int, epoch: int) -> list[Any]:
    """The indices of each batch of an epoch, in order, by the loader's own sampler.

    The sampler's `set_epoch(epoch)` is called where there is one, and generators that it owns are seeded anew.
    Raises ValueError if the loader yields no batch.
    """
    samplers: list[Any] = [loader.batch_sampler, loader.sampler, getattr(loader.batch_sampler, "sampler", None)]
    epoch_seed = derived_seed(seed, _ORDER, epoch)
    for sampler in samplers:
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        if isinstance(getattr(sampler, "generator", None), torch.Generator):
            sampler.generator.manual_seed(epoch_seed)
    with isolated_randomness(epoch_seed, with_device=False):
        order = list(loader.sampler if loader.batch_sampler is None else loader.batch_sampler)
    if not order:
        raise ValueError(
            f"the loader has no batch in epoch {epoch} (its dataset has {_size(loader)} items): give it data, "
            "or, if it drops the last incomplete batch, a smaller batch size"
        )
    return order


class BatchStream:
    """Epoch after epoch of a loader's batches, from a position on, each process taking every n-th batch.

    In several processes, process r of n takes batches r, n + r, 2n + r, ... of the one stream, also over the border
    of two epochs, so that no process ever runs out of data before another.
    """

    def __init__(
        self, loader: DataLoader, seed: int, start: DataPosition, *, process_index: int = 0, process_count: int = 1
    ) -> None:
        self.loader, self.seed, self.start = loader, seed, start
        self.process_index, self.process_count = process_index, process_count
        self.position = start  # after the batches taken so far by all processes

    def __iter__(self) -> Iterator[Any]:
        loader = self.loader
        for position, batch in DataLoader(
            _SeededBatches(loader, self.seed),
            sampler=_EndlessOrder(self),
            batch_size=None,
            num_workers=loader.num_workers,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=_WorkerStart(loader.worker_init_fn),
            multiprocessing_context=loader.multiprocessing_context,
            prefetch_factor=loader.prefetch_factor,
            generator=torch.Generator().manual_seed(self.seed),  # or it would draw from the global generator
        ):
            epoch, number = position
            self.position = DataPosition(epoch, number - self.process_index + self.process_count)
            yield batch


class _EndlessOrder:
    """(epoch, number in the epoch, indices) of each batch of one process, for ever."""

    def __init__(self, stream: BatchStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[tuple[int, int, Any]]:
        stream = self.stream
        everyones = self._of_all_processes(stream.loader, stream.seed, stream.start)
        return itertools.islice(everyones, stream.process_index, None, stream.process_count)

    @staticmethod
    def _of_all_processes(loader: DataLoader, seed: int, start: DataPosition) -> Iterator[tuple[int, int, Any]]:
        to_skip = start.batches
        for epoch in itertools.count(start.epoch):
            order = epoch_order(loader, seed, epoch)
            for number in range(to_skip, len(order)):
                yield epoch, number, order[number]
            to_skip = max(0, to_skip - len(order))


class _SeededBatches(Dataset):
    """Fetches and collates one batch under randomness of its own."""

    def __init__(self, loader: DataLoader, seed: int) -> None:
        self.dataset, self.collate, self.seed = loader.dataset, loader.collate_fn, seed
        self.makes_batches = loader.batch_sampler is not None  # else an item of the dataset is a batch already

    def __getitem__(self, place: tuple[int, int, Any]) -> tuple[tuple[int, int], Any]:
        epoch, number, indices = place
        with isolated_randomness(derived_seed(self.seed, _CONTENT, epoch, number), with_device=False):
            if not self.makes_batches:
                items: Any = self.dataset[indices]
            elif hasattr(self.dataset, "__getitems__"):  # Hugging Face datasets fetch many rows at once
                items = self.dataset.__getitems__(indices)
            else:
                items = [self.dataset[index] for index in indices]
            return (epoch, number), self.collate(items)


class _WorkerStart:
    """Lets a loading worker ignore Ctrl-C: the training loop decides, and still needs its batches until then."""

    def __init__(self, also: Callable[[int], None] | None) -> None:
        self.also = also

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.also is not None:
            self.also(worker)


def _size(loader: DataLoader) -> int | str:
    try:
        return len(loader.dataset)  # type: ignore[arg-type]
    except TypeError:
        return "an unknown number of"
