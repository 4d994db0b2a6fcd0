"""Which weights of a training are the ones to keep? Those that were best at the questions held out (notebook 09)."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

WEIGHTS, NOTE = "best.safetensors", "best.json"


class BestWeights:
    """The weights with the highest score so far, in a folder, or in memory without one.

    In a folder they outlive a killed run: `see` of the resumed run compares with what was best before. The weights are
    written first, their score then, each under another name at first; a run that is killed between the two sees the
    same step, and so the same score, again.
    """

    def __init__(self, folder: str | Path | None = None, *, start_over: bool = False) -> None:
        self.folder = None if folder is None else Path(folder)
        self.score, self.step = float("-inf"), 0
        self._weights: dict[str, torch.Tensor] = {}
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if start_over:
            (self.folder / NOTE).unlink(missing_ok=True)
        elif (self.folder / NOTE).is_file():
            note = json.loads((self.folder / NOTE).read_text(encoding="utf8"))
            self.score, self.step = note["score"], note["step"]

    def see(self, model: nn.Module, score: float, step: int) -> bool:
        """Keep these weights if no earlier ones had as high a score; returns whether they were kept.

        Raises ValueError for NaN, which no score is higher than.
        """
        if score != score:
            raise ValueError(f"the score at step {step} is NaN, which cannot be compared")
        if score <= self.score:
            return False
        weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        self.score, self.step = score, step
        if self.folder is None:
            self._weights = weights
            return True
        unfinished = self.folder / f"{WEIGHTS}.partial"
        save_file(weights, unfinished)
        os.replace(unfinished, self.folder / WEIGHTS)
        unfinished = self.folder / f"{NOTE}.partial"
        unfinished.write_text(json.dumps({"score": score, "step": step}), encoding="utf8")
        os.replace(unfinished, self.folder / NOTE)
        return True

    def put_into(self, model: nn.Module) -> None:
        """Give the model the best weights. Raises ValueError if none were seen."""
        if self.score == float("-inf"):
            raise ValueError("no weights were kept: nothing was evaluated; give evaluate_every at most the steps")
        model.load_state_dict(load_file(self.folder / WEIGHTS) if self.folder else self._weights)
