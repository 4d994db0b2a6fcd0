"""What must be equal in every run? Seeds, device, and libraries that keep quiet."""

import logging
import os
import warnings
from typing import Any


def plant_seeds(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators. Raises ValueError for anything but an integer in 0..2**32-1."""
    from course_lib.training.seeding import set_seed

    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f"seed must be an integer, got {seed!r}")
    set_seed(seed)


def choose_device(wanted: str | None = None) -> Any:
    """The torch.device to use: `wanted`, or the first CUDA GPU, or the CPU.

    Apple's GPU is used only when asked for ("mps"): packed sequences and some operators are slower or missing there.
    Raises ValueError when the device is not there.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted is None:
        device = torch.device("cuda" if there["cuda"] else "cpu")
    else:
        try:
            device = torch.device(wanted)
        except RuntimeError as error:
            raise ValueError(f"device must be cpu, cuda, cuda:1, ... or mps, got {wanted!r}: {error}") from None
        if not there.get(device.type, False):
            present = ", ".join(kind for kind, is_there in there.items() if is_there)
            raise ValueError(f"device {wanted!r} is not on this machine; there is: {present}")
    # Left to itself, Accelerate would take Apple's GPU, and part the model from the data.
    os.environ["ACCELERATE_USE_CPU"] = "true" if device.type == "cpu" else "false"
    return device


def choose_threads(threads: int | None) -> None:
    """Set torch's CPU threads; None leaves them.

    Two threads hand a small matrix to and fro more than they compute, and when anything else wants a core they wait
    for each other: a training that takes one minute alone was seen to take seven. Raises ValueError below 1.
    """
    import torch

    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, or None for torch's own choice, got {threads}")
        torch.set_num_threads(threads)


def keep_quiet(live: bool) -> None:
    """Silence what a learner cannot act on: deprecations, telemetry, and, in a batch, progress bars of downloads."""
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category)
    # The first figure on a fresh machine builds a font cache, and says so on stderr.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not live:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
