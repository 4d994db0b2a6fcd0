"""On which machine, with which versions, and from which commit did a run come?"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from course_lib.batch.errors import UsageError

PACKAGES = (
    "course-lib",
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "numpy",
    "babel",
    "sacrebleu",
    "matplotlib",
    "jupyterlab",
    "ipykernel",
    "nbclient",
    "papermill",
    "nbconvert",
)
MIB = 1024 * 1024


@dataclass(frozen=True)
class Gpu:
    """A graphics card as nvidia-smi names it; sizes in bytes."""

    index: str
    uuid: str
    name: str
    vram_bytes: int


def describe_hardware() -> dict[str, Any]:
    """Platform, CPU model, usable cores, RAM in bytes (a container's limit counts), and GPUs with their VRAM."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "ram_bytes": min(psutil.virtual_memory().total, _container_memory()),
        "gpus": [asdict(gpu) for gpu in find_gpus()],
    }


def describe_versions() -> dict[str, str]:
    """Python's version and those of the packages that decide results; what is not installed is left out."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit(folder: Path) -> str | None:
    """The commit that `folder` is at, with "-dirty" when tracked files were changed; None outside git."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return _output_of(command)


def usable_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_jobs(slots: int) -> int:
    """How many notebooks at once: one for each GPU slot; without a GPU one for each core and each 2 GiB of memory.

    On a CPU the lessons' small networks gain next to nothing from a second thread, but a second notebook all.
    """
    if slots:
        return slots
    memory = min(psutil.virtual_memory().total, _container_memory())
    return max(1, min(usable_cores(), int(memory // (2048 * MIB))))


def find_gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine; none where nvidia-smi is missing or fails."""
    text = _nvidia_smi("--query-gpu=index,uuid,name,memory.total")
    gpus = []
    for line in text.splitlines():
        index, uuid, name, memory = (part.strip() for part in line.split(","))
        gpus.append(Gpu(index, uuid, name, int(memory) * MIB if memory.isdecimal() else 0))
    return gpus


def gpu_slots(requested: list[str] | None, profile: str) -> list[str]:
    """Which GPUs the jobs share out among them, one to a job at a time; an empty list means that none sees a GPU.

    Not requested: those visible for the gpu profile, none for the others. Raises UsageError for one that is not there.
    """
    present = find_gpus()
    if requested is None:
        if profile != "gpu":
            return []
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is not None:
            return [part.strip() for part in visible.split(",") if part.strip() not in {"", "-1"}]
        return [gpu.index for gpu in present]
    known = {gpu.index for gpu in present} | {gpu.uuid for gpu in present}
    for gpu in requested:
        if not gpu.strip():
            raise UsageError("--gpus needs numbers or UUIDs, as in --gpus 0,1")
        if known and gpu not in known and not gpu.startswith("MIG-"):
            raise UsageError(f"no GPU {gpu!r} on this machine; there are: {', '.join(g.index for g in present)}")
    return list(requested)


def vram_in_use() -> tuple[dict[str, int], dict[int, int]]:
    """Bytes of VRAM in use now, per GPU (by index and by UUID) and per process."""
    per_gpu: dict[str, int] = {}
    for line in _nvidia_smi("--query-gpu=index,uuid,memory.used").splitlines():
        index, uuid, used = (part.strip() for part in line.split(","))
        if used.isdecimal():
            per_gpu[index] = per_gpu[uuid] = int(used) * MIB
    per_process: dict[int, int] = {}
    for line in _nvidia_smi("--query-compute-apps=pid,used_memory").splitlines():
        pid, used = (part.strip() for part in line.split(","))
        if pid.isdecimal() and used.isdecimal():
            per_process[int(pid)] = per_process.get(int(pid), 0) + int(used) * MIB
    return per_gpu, per_process


def _nvidia_smi(query: str) -> str:
    program = shutil.which("nvidia-smi")
    return (program and _output_of([program, query, "--format=csv,noheader,nounits"])) or ""


def _output_of(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.strip() or None) if done.returncode == 0 else None


def _cpu_model() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        return _output_of(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()
    return platform.processor() or platform.machine()


def _container_memory() -> int:
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return sys.maxsize
