import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from course_lib.training.arguments import check_learner, check_loader


class Endless(IterableDataset):
    def __iter__(self):
        return iter(range(9))


def test_a_list_of_batches_is_refused_with_the_way_to_wrap_it():
    with pytest.raises(TypeError, match=r"got list.*DataLoader\(batches, batch_size=None\)"):
        check_loader([torch.zeros(2)])


def test_data_that_can_only_be_read_in_passing_is_refused():
    with pytest.raises(TypeError, match="neither repeated nor resumed"):
        check_loader(DataLoader(Endless()))


def test_a_schedule_that_waits_for_measures_is_refused():
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        check_learner(model, optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer))
