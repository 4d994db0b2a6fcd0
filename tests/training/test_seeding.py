import random

import numpy as np
import pytest
import torch

from course_lib.training.seeding import derived_seed, isolated_randomness, random_state, restore_random_state, set_seed


def draws():
    return random.random(), np.random.rand(), np.random.standard_normal(), torch.rand(()).item()


def test_the_same_seed_gives_the_same_numbers_from_all_generators():
    set_seed(3)
    first = draws()
    set_seed(3)
    assert draws() == first
    set_seed(4)
    assert all(other != one for other, one in zip(draws(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be from 0"):
        set_seed(seed)


def test_a_restored_state_goes_on_as_before_also_through_a_file(tmp_path):
    set_seed(0)
    draws()  # leaves numpy with a cached Gaussian
    torch.save(random_state(), tmp_path / "state.pt")
    expected = [draws() for _ in range(3)]
    set_seed(9)
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [draws() for _ in range(3)] == expected


def test_isolated_randomness_leaves_no_trace_even_after_an_error():
    set_seed(0)
    expected = [draws(), draws()]
    set_seed(0)
    found = [draws()]
    with pytest.raises(ZeroDivisionError), isolated_randomness(5):
        assert sum(draws()) / 0
    with isolated_randomness(5, with_device=False):
        draws()
    assert [*found, draws()] == expected


def test_derived_seeds_of_neighbours_do_not_collide():
    seeds = {derived_seed(seed, purpose, epoch) for seed in range(10) for purpose in range(3) for epoch in range(50)}
    assert len(seeds) == 10 * 3 * 50
