"""How do weights get to disk and back? As config.json and model.safetensors, Hugging Face's format; never pickles."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


class UnsuitableCheckpoint(ValueError):  # noqa: N818 - it reads as what happened
    """A folder whose files are missing, damaged, or of an architecture that this model does not compute."""


def write_checkpoint(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None
) -> None:
    """Write both files, each under another name first, so that a full disk or Ctrl-C leaves an older pair whole.

    dtype: of the floating-point tensors on disk; None keeps the model's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {}
    for name, tensor in tensors.items():
        wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        kept[name] = tensor.detach().to("cpu", wanted).contiguous()
    unfinished = folder / f"{WEIGHTS_FILE}.partial"
    save_file(kept, unfinished, metadata={"format": "pt"})
    (folder / f"{CONFIG_FILE}.partial").write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / WEIGHTS_FILE)
    os.replace(folder / f"{CONFIG_FILE}.partial", folder / CONFIG_FILE)


def read_json(file: Path) -> dict[str, Any]:
    """The contents of a JSON file. Raises UnsuitableCheckpoint."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnsuitableCheckpoint(f"{file} is missing; give a folder that save_pretrained wrote") from None
    except (OSError, ValueError) as error:
        raise UnsuitableCheckpoint(f"{file} cannot be read: {error}") from error


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises UnsuitableCheckpoint for one that is missing or cut off."""
    if not file.exists():
        raise UnsuitableCheckpoint(f"{file} is missing; only safetensors files are read, never pickles")
    try:
        return load_file(file)
    except Exception as error:  # safetensors raises its own error type, and OSError
        raise UnsuitableCheckpoint(f"{file} is damaged ({error}); fetch or make it again") from error


def renamed(
    name: str, names: Mapping[str, str], layers: Mapping[str, str], stem: str, blocks: str = "encoder.blocks."
) -> str:
    """A tensor's name in another library: `layers` for those of a block, which are "STEM.NUMBER.…" there.

    Of the others, the first of `names` that fits the beginning is replaced.
    """
    if name.startswith(blocks):
        number, rest = name.removeprefix(blocks).split(".", 1)
        layer, kind = rest.rsplit(".", 1)
        return f"{stem}.{number}.{layers[layer]}.{kind}"
    ours = next(ours for ours in names if name.startswith(ours))
    return name.replace(ours, names[ours], 1)


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Put the tensors into the model. Raises UnsuitableCheckpoint where a shape does not fit its config.json."""
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise UnsuitableCheckpoint(f"{folder}: the weights do not fit {CONFIG_FILE}: {error}") from error


def refuse_options(config: Mapping[str, Any], fixed: Mapping[str, Any], folder: Path) -> None:
    """Raises UnsuitableCheckpoint for an option that is set to what our model does not compute."""
    for option, value in fixed.items():
        if config.get(option, value) != value:
            raise UnsuitableCheckpoint(f"{folder}: {option}={config[option]!r} is not supported, only {value!r}")
