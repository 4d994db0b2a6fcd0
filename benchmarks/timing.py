"""How long does a piece of work take, and how much could the GPU have done meanwhile?"""

import time
from collections.abc import Callable

import torch

# Dense bfloat16 products, in FLOP a second, from NVIDIA's data sheets (without sparsity).
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "A800": 312e12, "L4": 121e12}


def seconds_of(work: Callable[[], object], device: torch.device | str) -> float:
    """How long it takes, all of it: on a GPU it has ended only once the queue is empty."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else (lambda: None)
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def peak_of(device: torch.device) -> float | None:
    """The data sheet's FLOP a second of this GPU; None for a CPU, and for one that is not listed."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for chip, peak in PEAKS.items() if chip in name), None)
