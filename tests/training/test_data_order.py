import itertools
import random

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from course_lib.training.data_order import BatchStream, DataPosition, epoch_order

ITEMS = 23


class Noisy(Dataset):
    """Items with a random part, as an augmented picture has."""

    def __len__(self):
        return ITEMS

    def __getitem__(self, index):
        return torch.tensor([index, random.random(), torch.rand(()).item()], dtype=torch.float64)


class EpochSampler:
    """Batches of growing size by epoch, in an order that is the epoch's own: what a length-sorting sampler does."""

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        size = 4 + self.epoch
        return iter([order[start : start + size] for start in range(0, ITEMS, size)])


LOADERS = {
    "shuffled": lambda **more: DataLoader(Noisy(), batch_size=4, shuffle=True, **more),
    "shuffled by a generator of its own": lambda **more: DataLoader(
        Noisy(), batch_sampler=BatchSampler(RandomSampler(Noisy(), generator=torch.Generator()), 4, False), **more
    ),
    "told the epoch": lambda **more: DataLoader(Noisy(), batch_sampler=EpochSampler(), **more),
    "ready-made batches": lambda **more: DataLoader(Noisy(), batch_size=None, shuffle=True, **more),
}


@pytest.fixture(params=LOADERS)
def make_loader(request):
    return LOADERS[request.param]


def take(stream, count):
    return [batch.tolist() for batch in itertools.islice(stream, count)]


def test_an_epoch_has_every_item_once_and_its_own_order(make_loader):
    loader = make_loader()
    orders = [epoch_order(loader, 0, epoch) for epoch in range(3)]
    for order in orders:
        flat = [index for batch in order for index in (batch if isinstance(batch, list) else [batch])]
        assert sorted(flat) == list(range(ITEMS))
    assert orders[0] != orders[1] != orders[2]


def test_the_order_depends_on_seed_and_epoch_alone(make_loader):
    loader = make_loader()
    expected = epoch_order(loader, 7, 2)
    epoch_order(loader, 7, 0)
    torch.manual_seed(99)
    assert epoch_order(loader, 7, 2) == expected == epoch_order(make_loader(), 7, 2)


def test_a_stream_started_anywhere_goes_on_as_the_whole_one(make_loader):
    whole = take(BatchStream(make_loader(), 1, DataPosition()), 40)
    stream = BatchStream(make_loader(), 1, DataPosition())
    batches = iter(stream)
    for taken in range(1, 15):
        next(batches)
        random.random()
        rest = BatchStream(make_loader(), 1, stream.position)
        assert take(rest, 20) == whole[taken : taken + 20]


def test_two_processes_share_the_stream_out_and_save_the_same_place(make_loader):
    whole = take(BatchStream(make_loader(), 1, DataPosition()), 40)
    streams = [BatchStream(make_loader(), 1, DataPosition(), process_index=index, process_count=2) for index in (0, 1)]
    shares = [take(stream, 9) for stream in streams]
    assert [batch for pair in zip(*shares, strict=True) for batch in pair] == whole[:18]
    assert take(BatchStream(make_loader(), 1, streams[0].position), 10) == whole[18:28]


def test_loading_workers_change_nothing():
    alone = take(BatchStream(LOADERS["shuffled"](), 1, DataPosition()), 12)
    helped = take(BatchStream(LOADERS["shuffled"](num_workers=2), 1, DataPosition()), 12)
    assert alone == helped


def test_reading_data_draws_nothing_from_the_global_generators(make_loader):
    def state():
        return random.getstate(), torch.get_rng_state().tolist()

    before = state()
    take(BatchStream(make_loader(), 1, DataPosition()), 12)
    assert state() == before


def test_many_rows_are_fetched_at_once_where_the_dataset_can():
    class Table(Noisy):
        def __getitem__(self, index):
            raise AssertionError("one by one")

        def __getitems__(self, indices):
            return [torch.tensor(index) for index in indices]

    assert len(take(BatchStream(DataLoader(Table(), batch_size=4), 0, DataPosition()), 3)) == 3


@pytest.mark.parametrize(
    "loader",
    [DataLoader([], batch_size=4), DataLoader([1, 2, 3], batch_size=4, drop_last=True)],
    ids=["no items", "fewer than a batch"],
)
def test_a_loader_without_a_batch_is_refused(loader):
    with pytest.raises(ValueError, match="no batch in epoch 0"):
        epoch_order(loader, 0, 0)
