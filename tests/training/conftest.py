"""A small thing to learn, with what is random in a training: dropout and shuffling."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Toy:
    """A model with dropout, its optimizer, shuffled data (13 batches of 8 an epoch) and a loss."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loader: DataLoader
    loss: Callable[[nn.Module, list[Tensor]], Tensor]


def squared_error(model: nn.Module, batch: list[Tensor]) -> Tensor:
    inputs, outputs = batch
    return (model(inputs) - outputs).square().mean()


@pytest.fixture
def make_toy():
    def make(*, dropout: float = 0.2, batch_size: int = 8, **loader_settings) -> Toy:
        generator = torch.Generator().manual_seed(3)
        inputs = torch.randn(104, 6, generator=generator)
        data = TensorDataset(inputs, inputs[:, :2].sum(dim=1, keepdim=True))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(dropout), nn.Tanh(), nn.Linear(16, 1))
        settings = {"shuffle": True} | loader_settings
        loader = DataLoader(data, batch_size=batch_size, **settings)
        return Toy(model, torch.optim.Adam(model.parameters(), lr=0.01), loader, squared_error)

    return make


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
