"""How does one get the same random numbers twice? Seeds and random states of Python, numpy and torch."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

LARGEST_SEED = 2**32 - 1  # numpy's limit


def set_seed(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators (on every device).

    Raises ValueError unless 0 <= seed < 2**32.
    """
    _seed_host(seed)
    torch.manual_seed(seed)


def derived_seed(seed: int, *purpose: int) -> int:
    """A seed for one purpose (an epoch, a batch, a process), as good as independent of all the others.

    `seed + epoch` would give epoch 1 of seed 0 and epoch 0 of seed 1 the same numbers; a hash does not.
    """
    return int(np.random.SeedSequence([seed, *purpose]).generate_state(1)[0])


def random_state(*, with_device: bool = True) -> dict[str, Any]:
    """The states of all global generators, made of plain numbers and tensors only (so that they load safely)."""
    numpys: Any = np.random.get_state()
    _, keys, position, has_gauss, cached_gaussian = numpys
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached_gaussian)),
        "torch": torch.get_rng_state(),
    }
    if with_device and torch.accelerator.is_available():
        state["device"] = _device_generators().get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set all global generators to a state that `random_state` returned.

    The device's own state is left alone if the state comes from a machine without one, or the other way round.
    """
    keys, position, has_gauss, cached_gaussian = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached_gaussian))
    torch.set_rng_state(state["torch"])
    if "device" in state and torch.accelerator.is_available():
        _device_generators().set_rng_state(state["device"])


@contextmanager
def isolated_randomness(seed: int, *, with_device: bool = True) -> Iterator[None]:
    """Inside: generators freshly seeded. Outside: as if nothing had happened.

    `with_device=False` leaves the accelerator's generator alone: data-loading workers must not touch the device.
    """
    before = random_state(with_device=with_device)
    try:
        if with_device:
            set_seed(seed)
        else:
            _seed_host(seed)
        yield
    finally:
        restore_random_state(before)


def _seed_host(seed: int) -> None:
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed must be from 0 to {LARGEST_SEED} (numpy's range), got {seed}; choose a smaller one")
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def _device_generators() -> Any:
    return torch.get_device_module(torch.accelerator.current_accelerator())
