"""Evaluation leaves every part of a network in the mode that it was in."""

import pytest
from torch import nn

from course_lib.models.modes import evaluating


@pytest.fixture
def network():
    """It learns, but for a part that is held still."""
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    network.train()
    network[1].eval()
    return network


def modes(network):
    return [part.training for part in network.modules()]


def test_all_parts_are_in_evaluation_mode_and_then_as_before(network):
    before = modes(network)
    with evaluating(network):
        assert not any(modes(network))
    assert modes(network) == before


def test_modes_are_put_back_after_an_error(network):
    before = modes(network)
    with pytest.raises(KeyError), evaluating(network):
        raise KeyError("broken")
    assert modes(network) == before
