from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from course_lib.training.device import move_to, own_accelerator, prepared

META = torch.device("meta")  # a device that every machine has


@dataclass
class Plain:
    source: torch.Tensor
    name: str


class Knowing:
    def to(self, device):
        return ("went to", device)


Pair = namedtuple("Pair", "first second")


def test_tensors_are_moved_wherever_they_are_in_a_batch():
    here = torch.zeros(2)
    batch = {"list": [here, 3], "tuple": (here, None), "pair": Pair(here, "word"), "plain": Plain(here, "n")}
    there = move_to(batch, META)
    assert there["list"][0].device == there["tuple"][0].device == there["pair"].first.device == META
    assert there["plain"].source.device == META
    assert (there["list"][1], there["tuple"][1], there["pair"].second, there["plain"].name) == (3, None, "word", "n")
    assert isinstance(there["pair"], Pair)
    assert here.device.type == "cpu"


def test_a_batch_that_knows_how_to_move_moves_itself():
    assert move_to(Knowing(), META) == ("went to", META)


def test_each_accelerator_has_its_own_settings_and_leaves_others_theirs():
    mine = Accelerator(gradient_accumulation_steps=5, mixed_precision="no")
    with own_accelerator("bf16", 2) as outer:
        with own_accelerator("no", 3) as inner:
            assert (inner.mixed_precision, inner.gradient_accumulation_steps) == ("no", 3)
        assert (outer.mixed_precision, outer.gradient_accumulation_steps) == ("bf16", 2)
    assert (mine.mixed_precision, mine.gradient_accumulation_steps) == ("no", 5)


def test_a_prepared_model_bears_no_marks_afterwards():
    model = nn.Linear(3, 2)
    before = set(vars(model))
    with own_accelerator("bf16", 1) as accelerator, prepared(accelerator, model) as network:
        assert network is model
        assert "forward" in vars(model)
    assert set(vars(model)) == before
    assert model(torch.zeros(1, 3)).dtype == torch.float32


def test_processes_that_would_each_train_alone_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="2 processes were launched"), own_accelerator("no", 1):
        pass
