"""How fast is this machine for the series' kind of work, and how long will each notebook take here?

Four small pieces of work that resemble the notebooks' own are timed, each several times, keeping the fastest. Their
ratios to the same pieces on the reference machine, averaged geometrically, are the machine's factor: 2 means that
notebooks take twice as long here as the reference times say.
"""

import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from course_lib.batch.files import write_atomically
from course_lib.batch.hardware import describe_hardware

CPU_PIECES = ("gru_training_step", "matrix_products", "small_operations", "kernel_start")
GPU_PIECES = ("gru_training_step_gpu", "small_operations_gpu", "kernel_start")
SHARES_OF_TIME = {"gru_training_step": 3, "kernel_start": 3}  # every other piece has one share of the limit
CACHE_FILE = "calibration.json"
LESSON_THREADS = 1  # what lesson.start sets


@dataclass(frozen=True)
class Calibration:
    """Fastest seconds of each piece of work on one machine.

    machine: a fingerprint of CPU, cores, memory, GPUs and torch version; another machine's times are of no use here.
    description: the machine in words. date: ISO, UTC. threads: how many torch used.
    """

    seconds: dict[str, float]
    machine: str
    description: str
    date: str
    threads: int


def calibrate(limit_seconds: float = 15.0, tell: Callable[[str], None] | None = None) -> Calibration:
    """Time the pieces of work, in about `limit_seconds` plus the import of torch and the first rounds.

    `tell` hears the name of each piece. Each is timed at least once, however slow the machine. Torch computes on one
    thread meanwhile, as in the lessons.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(LESSON_THREADS)
    try:
        return _calibrated(limit_seconds, tell)
    finally:
        torch.set_num_threads(threads)


def _calibrated(limit_seconds: float, tell: Callable[[str], None] | None) -> Calibration:
    import torch

    pieces: dict[str, Callable[[], Any]] = {}
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        suffix = "_gpu" if device == "cuda" else ""
        pieces[f"gru_training_step{suffix}"] = _gru_training_step(device)
        pieces[f"matrix_products{suffix}"] = partial(_matrix_products, device)
        pieces[f"small_operations{suffix}"] = partial(_small_operations, device)
    pieces["kernel_start"] = start_kernel
    share = limit_seconds / sum(SHARES_OF_TIME.get(name, 1) for name in pieces)
    seconds = {}
    for name, piece in pieces.items():
        if tell:
            tell(name)
        piece()  # the first round also pays for what is done once
        seconds[name] = _fastest(piece, share * SHARES_OF_TIME.get(name, 1))
    hardware = describe_hardware()
    return Calibration(
        seconds=seconds,
        machine=machine_fingerprint(hardware),
        description=describe_machine(hardware),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        threads=torch.get_num_threads(),
    )


def machine_factor(here: Calibration, reference: Calibration, profile: str = "cpu") -> float | None:
    """How many times longer the work takes here: the geometric mean of the ratios; None when no piece is common."""
    names = [
        name
        for name in (GPU_PIECES if profile == "gpu" else CPU_PIECES)
        if name in here.seconds and name in reference.seconds
    ]
    if not names or (profile == "gpu" and names == ["kernel_start"]):
        return None
    return math.exp(sum(math.log(here.seconds[name] / reference.seconds[name]) for name in names) / len(names))


def predict_minutes(reference_seconds: float, factor: float) -> float:
    """Minutes that a notebook will take here. Raises ValueError for a factor or time that is not positive."""
    if factor <= 0 or reference_seconds <= 0:
        raise ValueError(f"time and factor must be > 0, got {reference_seconds} s and {factor}")
    return reference_seconds * factor / 60


def cached_calibration(folder: Path | None = None) -> Calibration | None:
    """This machine's last calibration, or None when there is none, it is unreadable, or the machine has changed."""
    try:
        content = json.loads(((folder or cache_folder()) / CACHE_FILE).read_text(encoding="utf-8"))
        calibration = calibration_from(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    is_of_use = calibration.machine == machine_fingerprint() and calibration.threads == LESSON_THREADS
    return calibration if is_of_use else None


def calibration_from(content: dict[str, Any]) -> Calibration:
    """The inverse of `asdict`. Raises ValueError, KeyError or TypeError for what is not a calibration."""
    calibration = Calibration(**content)
    if not all(isinstance(value, float) and value > 0 for value in calibration.seconds.values()):
        raise ValueError(f"times must be positive numbers, got {calibration.seconds}")
    return calibration


def save_calibration(calibration: Calibration, folder: Path | None = None) -> Path:
    """Keep it in the user's cache folder. Raises OSError when that cannot be written."""
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CACHE_FILE
    write_atomically(file, json.dumps(asdict(calibration), indent=2) + "\n")
    return file


def cache_folder() -> Path:
    """~/.cache/course on Linux, ~/Library/Caches/course on macOS; XDG_CACHE_HOME counts."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("course", appauthor=False))


def machine_fingerprint(hardware: dict[str, Any] | None = None) -> str:
    """A short hash of what decides speed. Memory counts in whole GiB, since some of it comes and goes."""
    hardware = hardware or describe_hardware()
    parts = [hardware["cpu"], hardware["cores"], round(hardware["ram_bytes"] / 2**30)]
    parts += [gpu["name"] for gpu in hardware["gpus"]] + [_version("torch")]
    return sha256(json.dumps(parts).encode()).hexdigest()[:12]


def describe_machine(hardware: dict[str, Any]) -> str:
    """Intel Xeon @ 2.1 GHz, 2 cores, 24 GiB RAM, NVIDIA H200"""
    parts = [str(hardware["cpu"]), f"{hardware['cores']} cores", f"{hardware['ram_bytes'] / 2**30:.0f} GiB RAM"]
    return ", ".join(parts + [gpu["name"] for gpu in hardware["gpus"]])


def start_kernel() -> str:
    """Start a Jupyter kernel with this Python, let it compute, and end it; returns the path of the kernel's Python.

    Raises RuntimeError, with the kernel's last words, when it does not start or does not answer within a minute.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager._kernel_spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    with tempfile.TemporaryFile() as words:
        try:
            manager.start_kernel(stdout=words, stderr=words)
            client = manager.client()
            client.start_channels()
            try:
                client.wait_for_ready(timeout=60)
                answer = client.execute_interactive(
                    "import sys", timeout=60, user_expressions={"python": "sys.executable"}, output_hook=_ignore
                )
            finally:
                client.stop_channels()
            return answer["content"]["user_expressions"]["python"]["data"]["text/plain"].strip("'\"")
        except Exception as error:
            words.seek(0)
            last = words.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"{type(error).__name__}: {' '.join([str(error), *last])}") from error
        finally:
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)


def _ignore(message: dict[str, Any]) -> None:
    """The kernel's messages are of no interest here."""


def _fastest(piece: Callable[[], Any], limit_seconds: float, most_rounds: int = 200) -> float:
    """Seconds of the fastest round. The minimum is what the machine can do; all else is disturbance by others."""
    fastest, until = math.inf, time.perf_counter() + limit_seconds
    gc_was_on = gc.isenabled()
    gc.disable()
    try:
        for _ in range(most_rounds):
            began = time.perf_counter()
            piece()
            took = time.perf_counter() - began
            fastest = min(fastest, took)
            if time.perf_counter() + took > until:
                break
    finally:
        if gc_was_on:
            gc.enable()
    return fastest


def _gru_training_step(device: str) -> Callable[[], None]:
    """Forward, backward and Adam of a GRU, 128 wide, over 64 sentences of 24 words: notebooks 01 and 02's main work."""
    import torch

    network = torch.nn.GRU(128, 128, bidirectional=True, batch_first=True).to(device)
    optimizer = torch.optim.Adam(network.parameters())
    sentences = torch.zeros(64, 24, 128, device=device)

    def step() -> None:
        optimizer.zero_grad()
        network(sentences)[0].square().mean().backward()
        optimizer.step()
        _wait_for(device)

    return step


def _matrix_products(device: str) -> None:
    """The output layer: 1,536 states times a vocabulary of 2,000 words, four times."""
    import torch

    states, words = torch.zeros(1536, 128, device=device), torch.zeros(128, 2000, device=device)
    for _ in range(4):
        states @ words
    _wait_for(device)


def _small_operations(device: str) -> None:
    """The overhead of many small calls, as in a decoder that goes word by word."""
    import torch

    state = torch.zeros(64, 128, device=device)
    for _ in range(200):
        state = torch.tanh(state + 1.0)
    _wait_for(device)


def _wait_for(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
