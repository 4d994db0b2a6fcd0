"""What must be on disk so that a killed training goes on as if nothing had happened? Checkpoints, whole or not at all.

A folder of checkpoints holds one folder for each, the newest having the highest number:

    00007-step-400/
      model.safetensors   the weights, in the format every other tool reads
      training.pt         optimizer, schedule, random states, place in the data, losses (plain tensors and numbers)
      manifest.json       step, and size and SHA-256 of the two files

A checkpoint is written under a temporary name, flushed to the disk, and only then renamed: it is there as a whole or
not at all, and the one before it is removed only afterwards.
"""

import hashlib
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import safetensors.torch
import torch
from torch import nn

WEIGHTS, TRAINING, MANIFEST = "model.safetensors", "training.pt", "manifest.json"
_SAVING, _REMOVING = ".saving-", ".removing-"


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or none can be read."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was verified against its manifest."""

    path: Path
    step: int
    state: dict[str, Any]

    def load_weights(self, model: nn.Module) -> None:
        """Copy the weights into the model, on whatever device it is. Raises RuntimeError if the names differ."""
        safetensors.torch.load_model(model, self.path / WEIGHTS)


class CheckpointFolder:
    """The checkpoints of one training run, in a folder that no other run writes to.

    `keep` good checkpoints stay; older ones go once a new one is in place. With `start_over`, those of an earlier run
    go once the first new one is in place, and are not read.
    Raises ValueError if the folder cannot be made or written to, before any training time is spent.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2, start_over: bool = False) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1 (checkpoints to keep), got {keep}")
        self.folder, self.keep = Path(folder), keep
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"checkpoints cannot be kept in {self.folder}: {error}; name another folder") from error
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise ValueError(f"checkpoints cannot be kept in {self.folder}: no right to write there")
        self._outdated = set(self.paths()) if start_over else set()

    def paths(self) -> list[Path]:
        """The folders of the checkpoints, good or bad, oldest first."""
        return sorted((path for path in self.folder.glob("[0-9]*-step-*") if path.is_dir()), key=_number)

    def save(self, step: int, model: nn.Module, state: dict[str, Any]) -> Path:
        """Write a checkpoint, then remove what is older than the last `keep`.

        `state` may hold what `torch.load(weights_only=True)` accepts: tensors, numbers, strings, and lists, tuples and
        dicts of them. Raises CheckpointError if it cannot be written (disk full, ...): nothing of it stays behind, and
        the earlier checkpoints are untouched.
        """
        number = max((_number(path) for path in self.paths()), default=0) + 1
        target = self.folder / f"{number:05d}-step-{step}"
        temporary = self.folder / f"{_SAVING}{os.getpid()}-{target.name}"
        try:
            temporary.mkdir()
            safetensors.torch.save_model(model, str(temporary / WEIGHTS))
            torch.save(state, temporary / TRAINING)
            torch.load(temporary / TRAINING, weights_only=True, mmap=True, map_location="meta")  # or find out too late
            files = {name: _fingerprint(temporary / name) for name in (WEIGHTS, TRAINING)}
            (temporary / MANIFEST).write_text(json.dumps({"format": 1, "step": step, "files": files}, indent=1))
            for path in (*temporary.iterdir(), temporary):
                _flush_to_disk(path)
            temporary.rename(target)
            _flush_to_disk(self.folder)
        except BaseException as error:
            free = shutil.disk_usage(self.folder).free
            shutil.rmtree(temporary, ignore_errors=True)
            if not isinstance(error, Exception):  # Ctrl-C
                raise
            raise CheckpointError(
                f"the checkpoint of step {step} could not be written to {self.folder} ({error}). "
                f"{free / 2**20:.0f} MiB were free there. Earlier checkpoints are intact: make room, "
                "and call again to go on from the last one"
            ) from error
        self._remove_old(newest=target)
        return target

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; None if there is none at all.

        Damaged ones are passed over with a warning, and removed after the next save. Raises CheckpointError if there
        are checkpoints but none is whole.
        """
        damage: list[str] = []
        for path in reversed([path for path in self.paths() if path not in self._outdated]):
            try:
                checkpoint = _read(path)
            except (OSError, ValueError, RuntimeError, EOFError) as error:
                damage.append(f"{path.name}: {error}")
                self._outdated.add(path)
                continue
            if damage:
                warnings.warn(
                    f"going on from the checkpoint of step {checkpoint.step}: newer ones are damaged "
                    f"({'; '.join(damage)})",
                    stacklevel=2,
                )
            return checkpoint
        if damage:
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole ({'; '.join(damage)}). "
                "Restore one from a backup, or start over with resume=False (or in another folder)"
            )
        return None

    def remove_debris(self) -> None:
        """Remove what a process that was killed while saving or removing left behind."""
        for path in self.folder.glob(f"{_SAVING}*"):
            process = path.name.removeprefix(_SAVING).partition("-")[0]
            if not (process.isdigit() and psutil.pid_exists(int(process))) or int(process) == os.getpid():
                shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(f"{_REMOVING}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _remove_old(self, newest: Path) -> None:
        good = [path for path in self.paths() if path not in self._outdated]
        for path in {*self._outdated, *good[: -self.keep]} - {newest}:
            doomed = path.with_name(f"{_REMOVING}{path.name}")  # renamed first: never a half-removed checkpoint
            if path.exists():
                path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        self._outdated = set()


def _read(path: Path) -> Checkpoint:
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        step, files = int(manifest["step"]), dict(manifest["files"])
        expected = {name: files[name] for name in (WEIGHTS, TRAINING)}
    except FileNotFoundError:
        raise ValueError(f"no {MANIFEST}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{MANIFEST} cannot be read ({error})") from error
    for name, fingerprint in expected.items():
        if not (path / name).is_file():
            raise ValueError(f"{name} is missing")
        found = _fingerprint(path / name)
        if found != fingerprint:
            raise ValueError(f"{name} is not what was saved ({found['bytes']} bytes, saved {fingerprint})")
    return Checkpoint(path, step, torch.load(path / TRAINING, weights_only=True, map_location="cpu"))


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
