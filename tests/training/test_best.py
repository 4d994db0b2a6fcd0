"""The best weights of a training: kept in memory or on disk, over a crash."""

import math

import pytest
import torch
from torch import nn

from course_lib.training.best import NOTE, BestWeights


def of(value):
    model = nn.Linear(2, 1)
    nn.init.constant_(model.weight, value)
    return model


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_weights_of_the_highest_score_come_back(tmp_path, on_disk):
    best = BestWeights(tmp_path / "best" if on_disk else None)
    assert [best.see(of(step), score, step) for step, score in ((1, 0.2), (2, 0.9), (3, 0.9), (4, 0.1))] == [
        True,
        True,
        False,
        False,
    ]
    model = of(0)
    best.put_into(model)
    assert model.weight.flatten().tolist() == [2, 2]
    assert (best.score, best.step) == (0.9, 2)


def test_what_is_kept_is_a_copy():
    best, model = BestWeights(), of(1)
    best.see(model, 0.5, 1)
    nn.init.constant_(model.weight, 7)
    best.put_into(model)
    assert model.weight.flatten().tolist() == [1, 1]


def test_a_resumed_run_compares_with_what_was_best_before_it_was_killed(tmp_path):
    BestWeights(tmp_path).see(of(5), 0.7, 10)
    resumed = BestWeights(tmp_path)
    assert not resumed.see(of(6), 0.6, 20)
    model = of(0)
    resumed.put_into(model)
    assert model.weight.flatten().tolist() == [5, 5]
    assert BestWeights(tmp_path, start_over=True).see(of(8), 0.1, 1)


def test_a_run_killed_while_writing_keeps_what_was_whole(tmp_path):
    best = BestWeights(tmp_path)
    best.see(of(1), 0.3, 1)
    (tmp_path / f"{NOTE}.partial").write_text('{"sc')
    (tmp_path / "best.safetensors.partial").write_bytes(b"half")
    again = BestWeights(tmp_path)
    assert (again.score, again.step) == (0.3, 1)
    model = of(0)
    again.put_into(model)
    assert model.weight.flatten().tolist() == [1, 1]


def test_no_score_and_a_score_of_nan_are_refused():
    with pytest.raises(ValueError, match="nothing was evaluated"):
        BestWeights().put_into(of(0))
    with pytest.raises(ValueError, match="NaN"):
        BestWeights().see(of(0), math.nan, 1)


def test_a_score_may_be_zero_and_below(tmp_path):
    best = BestWeights(tmp_path)
    assert best.see(of(1), -3.0, 1)
    assert best.see(of(2), 0.0, 2)
    assert torch.equal(of(2).weight, nn.Parameter(torch.full((1, 2), 2.0)))
