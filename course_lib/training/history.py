"""How did the training go? Losses step by step, a progress bar, and an error as soon as a loss is not a number."""

import math
import os
import time
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

_SECONDS_BETWEEN_LOOKS = 0.1


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradients became infinite or not a number."""


class History:
    """Losses and other measures of each step, and the evaluations.

    Looking at a number on a GPU makes the processor wait for it, and the GPU then waits for the processor. So numbers
    stay on the device until `look`, which `add` calls for every step on a CPU, where it costs nothing, and about ten
    times a second elsewhere. The measures named in `must_be_finite` are checked at each look.
    """

    def __init__(
        self,
        total_steps: int,
        description: str,
        *,
        must_be_finite: tuple[str, ...] = ("loss", "gradient_norm"),
        visible: bool = True,
    ) -> None:
        self.measures: dict[str, list[float]] = {"loss": []}
        self.evaluations: list[dict[str, float]] = []
        self.total_steps, self.description, self.visible = total_steps, description, visible
        self.must_be_finite = must_be_finite
        self._waiting: list[tuple[dict[str, float], list[str], Tensor]] = []
        self._last_look = 0.0

    def __enter__(self) -> "History":
        # TQDM_DISABLE is read here and now: tqdm's bar for notebooks overlooks it, and others read it at import only.
        silenced = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
        self._bar = tqdm(
            total=self.total_steps,
            initial=self.steps,
            desc=self.description,
            unit="step",
            mininterval=0.1,
            disable=silenced or not self.visible,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._show_loss()
        self._bar.close()

    @property
    def losses(self) -> list[float]:
        """The losses looked at so far."""
        return self.measures["loss"]

    @property
    def steps(self) -> int:
        """Steps added so far, those before a resume included."""
        return len(self.losses) + len(self._waiting)

    def add(self, measures: Mapping[str, Float[Tensor, ""]], learning_rate: float) -> None:
        """Note a step's measures, "loss" among them. Call it before the optimizer uses the gradients.

        Raises NonFiniteLossError for a loss or a gradient norm that is not finite: on a CPU for this very step, with
        the weights still sound, on a GPU at the next look. Raises ValueError if the names differ from step to step.
        """
        stacked = torch.stack(list(measures.values()))
        self._waiting.append(({"learning_rate": learning_rate}, list(measures), stacked))
        if stacked.device.type == "cpu" or time.monotonic() - self._last_look > _SECONDS_BETWEEN_LOOKS:
            self.look()

    def step_done(self) -> None:
        """Move the progress bar on."""
        self._bar.update()

    def look(self) -> None:
        """Bring the waiting numbers from the device, and check them."""
        for known, names, stacked in self._waiting:
            measures = known | dict(zip(names, stacked.tolist(), strict=True))
            if not all(math.isfinite(measures[name]) for name in self.must_be_finite):
                raise NonFiniteLossError(_advice(len(self.losses) + 1, measures))
            if self.losses and measures.keys() != self.measures.keys():
                raise ValueError(
                    f"the loss function's measures must have the same names at every step: so far "
                    f"{sorted(self.measures)}, now {sorted(measures)}"
                )
            for name, value in measures.items():
                self.measures.setdefault(name, []).append(value)
        self._waiting.clear()
        now = time.monotonic()
        if now - self._last_look > _SECONDS_BETWEEN_LOOKS:
            self._show_loss()
            self._last_look = now

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        self.look()
        measures = {name: torch.tensor(values, dtype=torch.float64) for name, values in self.measures.items()}
        return {"measures": measures, "evaluations": self.evaluations}

    def load(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        self.measures = {name: values.tolist() for name, values in state["measures"].items()}
        self.evaluations = list(state["evaluations"])

    def _show_loss(self) -> None:
        if self.losses:
            self._bar.set_postfix_str(f"loss {self.losses[-1]:.4f}", refresh=False)


def _advice(step: int, measures: Mapping[str, float]) -> str:
    rate = measures["learning_rate"]
    return (
        f"the training broke down at step {step}: loss {measures['loss']:g}, gradient norm "
        f"{measures['gradient_norm']:g}, learning rate {rate:g}. Try, in this order: a look at that batch (a row of "
        f"padding alone, a division by zero, an infinite input); a learning rate of {rate / 10:g}; a warm-up (see "
        "course_lib.training.schedule); a smaller gradient_clip; bf16 or no mixed precision in place of fp16"
    )
