"""How does a run go on where it was killed? All that a training's next step depends on, saved and put back."""

import warnings
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from course_lib.training.checkpoint import CheckpointError, CheckpointFolder
from course_lib.training.data_order import DataPosition
from course_lib.training.history import History
from course_lib.training.seeding import derived_seed, random_state, restore_random_state, set_seed


class SavedRun:
    """A training run's parts, and the folder where its checkpoints are.

    `settings` says which run it is (seed, batches in an epoch, ...); `resume` refuses the checkpoints of another.
    With several processes, all of them call each method; the main one writes.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: LRScheduler | None,
        history: History,
        settings: dict[str, int | str],
    ) -> None:
        self.folder, self.accelerator, self.model = folder, accelerator, model
        self.optimizer, self.schedule, self.history = optimizer, schedule, history
        self.settings: dict[str, Any] = settings | {
            "optimizer": type(optimizer).__name__,
            "schedule": type(schedule).__name__,
            "weights": {name: list(value.shape) for name, value in model.state_dict().items()},
        }

    def save(self, position: DataPosition) -> None:
        """Raises CheckpointError, in every process, if the main one could not write."""
        state = {
            "step": self.history.steps,
            "settings": self.settings,
            "position": (position.epoch, position.batches),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "scaler": None if self.accelerator.scaler is None else self.accelerator.scaler.state_dict(),
            "random_states": gather_object([random_state()]),
            "history": self.history.state(),
        }
        failure: list[CheckpointError | None] = [None]
        if self.accelerator.is_main_process:
            try:
                self.folder.save(self.history.steps, self.model, state)
            except CheckpointError as error:
                failure = [error]
        broadcast_object_list(failure)
        if failure[0] is not None:
            raise failure[0]

    def resume(self) -> DataPosition | None:
        """Put everything back as the newest good checkpoint has it; returns the place in the data, or None.

        Raises ValueError, before anything is changed, if the checkpoint is of another run; CheckpointError if none of
        the checkpoints is whole.
        """
        if self.accelerator.is_main_process:
            self.folder.remove_debris()
        checkpoint = self.folder.newest()
        if checkpoint is None:
            return None
        state = checkpoint.state
        self._refuse_another_run(state["settings"])
        if checkpoint.step > self.history.total_steps:
            raise ValueError(
                f"the run in {self.folder.folder} has already made {checkpoint.step} steps, more than the "
                f"{self.history.total_steps} asked for: ask for more steps, name another folder, or pass resume=False"
            )
        checkpoint.load_weights(self.model)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.history.load(state["history"])
        self._restore_randomness(state["random_states"], checkpoint.step)
        return DataPosition(*state["position"])

    def _refuse_another_run(self, saved: dict[str, Any]) -> None:
        differing = sorted(name for name in {*saved, *self.settings} if saved.get(name) != self.settings.get(name))
        if not differing:
            return
        difference = "; ".join(
            "the model's weights have other names or shapes"
            if name == "weights"
            else f"{name} was {saved.get(name)}, is {self.settings.get(name)}"
            for name in differing
        )
        raise ValueError(
            f"the checkpoints in {self.folder.folder} are of another run ({difference}): "
            "name another folder for this one, or pass resume=False to replace them"
        )

    def _restore_randomness(self, states: list[dict[str, Any]], step: int) -> None:
        here, processes = self.accelerator.process_index, self.accelerator.num_processes
        if len(states) == processes:
            restore_random_state(states[here])
            return
        warnings.warn(
            f"the run was saved by {len(states)} processes and goes on with {processes}: "
            "it goes on soundly, but not to the same last digit",
            stacklevel=4,
        )
        set_seed(derived_seed(self.settings["seed"], step, here))
