"""Which training does a folder hold, and how long did it take? Its training.json keeps two trainings from mixing."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from course_lib.data.byte_pairs import FILE_NAME as TOKENIZER_FILE
from course_lib.training.loop import TrainingResult
from course_lib.zoo.cards import ZooError

RUN_FILE, CHECKPOINT_FOLDER = "training.json", "checkpoints"
MEANING = {
    "name": "the model",
    "steps": "--steps",
    "seed": "the seed",
    "data": "the data on this machine",
    "precision": "the precision (bf16 on a GPU)",
    "parents": "the model that it starts from",
}


class RunFile:
    """The settings of a training (name, steps, seed, data, precision) and what each call of it took.

    With `resume`, a folder that has checkpoints of other settings is refused with a ZooError; one without training.json
    is taken over if its tokenizer is the same.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], tokenizer: str, *, resume: bool) -> None:
        self.file, self.settings = folder / RUN_FILE, settings
        self.calls: list[dict[str, Any]] = []
        if resume and any((folder / CHECKPOINT_FOLDER).glob("[0-9]*-step-*")):
            self._refuse_another(folder, tokenizer)
        folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def note(self, result: TrainingResult) -> None:
        """Add what this call of the training took, if it made any step."""
        first = result.resumed_from or 0
        if result.steps_done > first:
            seconds = round(result.seconds, 1)
            self.calls.append({"first": first, "last": result.steps_done, "seconds": seconds, "machine": machine()})
            self._write()

    @property
    def seconds(self) -> float | None:
        """Of all steps; None if some were made by calls that were not recorded, such as one that was killed."""
        reached = 0
        for call in self.calls:
            if call["first"] != reached:
                return None
            reached = call["last"]
        return sum(call["seconds"] for call in self.calls) if reached == self.settings["steps"] else None

    def _refuse_another(self, folder: Path, tokenizer: str) -> None:
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
            found, self.calls = dict(known["settings"]), list(known["calls"])
        except FileNotFoundError:
            found = {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ZooError(f"{self.file} cannot be read ({error}); remove it, or train in another folder") from error
        for name, value in found.items():
            if self.settings.get(name) != value:
                raise ZooError(
                    f"the training in {folder} is another one: {MEANING.get(name, name)} was {_short(value)}, is "
                    f"{_short(self.settings.get(name))}; give the same, or another --out, or --no-resume to start over"
                )
        saved = folder / TOKENIZER_FILE
        if saved.exists() and _pairs(saved.read_text(encoding="utf-8")) != _pairs(tokenizer):
            raise ZooError(
                f"the training in {folder} has other tokens than the documentation on this machine gives; "
                "give another --out, or --no-resume to start over"
            )

    def _write(self) -> None:
        text = json.dumps({"settings": self.settings, "calls": self.calls}, indent=1)
        unfinished = self.file.with_suffix(".partial")
        unfinished.write_text(text + "\n", encoding="utf-8")
        os.replace(unfinished, self.file)


def on_gpu() -> bool:
    """Whether Accelerate takes a GPU: there is one, and nobody asked for the CPU."""
    asked_for_the_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on", "t", "y")
    return torch.cuda.is_available() and not asked_for_the_cpu


def machine() -> str:
    """The GPU if there is one, else the processor and the threads in use; and the day."""
    if on_gpu():
        used = torch.cuda.get_device_name()
    else:
        threads = torch.get_num_threads()
        used = f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{used}, {datetime.now(UTC).date().isoformat()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _pairs(tokenizer: str) -> Any:
    try:
        return json.loads(tokenizer)["model"]
    except (ValueError, KeyError):
        return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
