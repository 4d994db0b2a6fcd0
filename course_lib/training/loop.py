"""How does a network learn? The one training loop of the course, on a laptop, a GPU or several processes.

The loop itself is in `train`: read that first.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from course_lib.models.modes import evaluating
from course_lib.training.arguments import check_intervals, check_learner, check_loader, check_loss, check_numbers
from course_lib.training.checkpoint import CheckpointFolder
from course_lib.training.data_order import BatchStream, DataPosition, epoch_order
from course_lib.training.device import move_to, own_accelerator, prepared
from course_lib.training.history import History
from course_lib.training.saved_run import SavedRun
from course_lib.training.seeding import derived_seed, isolated_randomness
from course_lib.training.stopping import StopReason, StopRequests

LossFunction = Callable[[nn.Module, Any], Tensor | tuple[Tensor, Mapping[str, float | Tensor]]]


@dataclass(frozen=True)
class TrainingResult:
    """How a training went. Lists have one entry per step from the first on, also when the run was resumed.

    `measures` holds "loss", "gradient_norm" (before clipping), "learning_rate", and what the loss function adds.
    `evaluations` holds what `evaluate` returned, each with its "step". `seconds` are those of this call alone.
    `resumed_from` is the step of the checkpoint that this call went on from, None if it started afresh.
    """

    steps_done: int
    measures: dict[str, list[float]] = field(repr=False)
    evaluations: list[dict[str, float]] = field(repr=False)
    seconds: float
    stopped_because: StopReason
    resumed_from: int | None

    @property
    def losses(self) -> list[float]:
        """The loss of each step, a mean over its batches and processes."""
        return self.measures["loss"]


def train(
    model: nn.Module,
    loader: DataLoader,
    loss_function: LossFunction,
    *,
    steps: int,
    optimizer: Optimizer,
    schedule: LRScheduler | None = None,
    gradient_clip: float | None = 1.0,
    accumulation_steps: int = 1,
    mixed_precision: str = "no",
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    evaluate_every: int | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = True,
    keep: int = 2,
    wall_clock_budget: float | None = None,
    seed: int = 0,
    description: str = "training",
    on_step: Callable[[int, nn.Module], None] | None = None,
) -> TrainingResult:
    """Make `steps` updates of the model's weights; the model passed in is the trained one, in eval mode, on the device.

    - `loader`: a DataLoader over a map-style dataset; batches may be tensors, dicts, dataclasses or have `.to(device)`.
      The order of epoch e depends on `seed` and e alone. A step uses `accumulation_steps` batches per process, each
      counting the same, and may run over the end of an epoch.
    - `loss_function(model, batch)`: a scalar tensor, the mean loss; or `(loss, {"name": number, ...})`. It should call
      the model itself, `model(...)`: with several processes the gradients are averaged in that call.
    - `optimizer` holds the model's parameters; `schedule` steps once per update.
    - `gradient_clip`: the largest norm of the gradient; None for no clipping.
    - `mixed_precision`: "no", "bf16" (also on a CPU) or "fp16" (GPU).
    - `evaluate(model)`: called every `evaluate_every` steps and after the last one, without gradients, in eval mode,
      with random numbers of its own, so that it does not change the training. With several processes each calls it.
    - `checkpoints`: a folder for this run alone (shared by all machines, if several). A checkpoint is saved every
      `checkpoint_every` steps (default: ten times in all) and whenever the training stops; the last `keep` stay. With
      `resume`, a call goes on from the newest good one, and a finished run returns at once; without, it starts over and
      replaces the earlier run's checkpoints.
    - `wall_clock_budget`: seconds, after which the training stops at the end of a step, saves and says so.
    - `on_step(step, model)`: called after each update, with the (clipped) gradients still there.

    Ctrl-C, or Jupyter's stop button, ends the step in progress, saves, and returns the result so far, so that the next
    cells have something to look at; a second one raises KeyboardInterrupt at once.

    Same weights, data, seed, number of threads and machine: same losses to the last bit on a CPU, also when the run was
    killed and resumed. (On a GPU, also call `torch.use_deterministic_algorithms(True)`.) The global random generators
    are as before when `train` returns: what follows does not depend on how long the training ran.

    Raises ValueError or TypeError for arguments that cannot work, before anything is changed; NonFiniteLossError when
    the training breaks down; CheckpointError if a checkpoint cannot be written, or if none is whole.
    """
    check_numbers(steps, accumulation_steps, mixed_precision, gradient_clip, wall_clock_budget)
    check_intervals(evaluate, evaluate_every, checkpoints, checkpoint_every)
    check_learner(model, optimizer, schedule)
    check_loader(loader)
    settings: dict[str, int | str] = {
        "seed": seed,
        "batches_in_epoch": len(epoch_order(loader, seed, epoch=0)),
        "accumulation_steps": accumulation_steps,
        "mixed_precision": mixed_precision,
    }
    folder = None if checkpoints is None else CheckpointFolder(checkpoints, keep=keep, start_over=not resume)
    evaluate_every = evaluate_every or steps
    checkpoint_every = checkpoint_every or max(1, steps // 10)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    with ExitStack() as until_the_end:
        use = until_the_end.enter_context
        use(torch.enable_grad())  # a training may be part of an evaluation
        accelerator = use(own_accelerator(mixed_precision, accumulation_steps))
        use(isolated_randomness(derived_seed(seed, accelerator.process_index)))
        network = use(prepared(accelerator, model))
        updates = accelerator.prepare_optimizer(optimizer)
        stop = use(StopRequests(accelerator, wall_clock_budget))
        must_be_finite = ("loss",) if mixed_precision == "fp16" else ("loss", "gradient_norm")  # fp16 skips such steps
        history = History(steps, description, must_be_finite=must_be_finite, visible=accelerator.is_main_process)
        saved = folder and SavedRun(folder, accelerator, model, optimizer, schedule, history, settings)
        position = saved.resume() if saved else None
        resumed_from = None if position is None else history.steps
        stream = BatchStream(
            loader,
            seed,
            position or DataPosition(),
            process_index=accelerator.process_index,
            process_count=accelerator.num_processes,
        )
        batches = iter(stream)
        use(history)
        model.train()
        updates.zero_grad()  # what an earlier call that broke off may have left

        stopped: StopReason | None = None
        while history.steps < steps and stopped is None:
            measures = _backpropagate(accelerator, network, loss_function, batches)
            measures["gradient_norm"] = accelerator.clip_grad_norm_(parameters, gradient_clip or math.inf)
            history.add(measures, learning_rate=float(optimizer.param_groups[0]["lr"]))
            updates.step()
            if schedule is not None and not updates.step_was_skipped:
                schedule.step()
            step = history.steps
            if on_step is not None:
                on_step(step, model)
            updates.zero_grad()
            history.step_done()

            if evaluate is not None and (step % evaluate_every == 0 or step == steps):
                with isolated_randomness(derived_seed(seed, step)):
                    history.evaluations.append({"step": step, **_evaluated(model, evaluate)})
            stopped = "steps" if step == steps else stop.reason()
            if saved and (stopped is not None or step % checkpoint_every == 0):
                saved.save(stream.position)

        history.look()
        model.eval()
        say_so = accelerator.is_main_process
    stopped = stopped or "steps"
    if say_so and stopped != "steps":
        print(_stop_message(description, stopped, history.steps, steps, folder))
    return TrainingResult(history.steps, history.measures, history.evaluations, stop.seconds(), stopped, resumed_from)


def _backpropagate(
    accelerator: Accelerator, network: nn.Module, loss_function: LossFunction, batches: Iterator[Any]
) -> dict[str, Float[Tensor, ""]]:
    """Leave the gradient of one step's mean loss in the parameters; returns the loss and what came with it."""
    count = accelerator.gradient_accumulation_steps
    means: dict[str, Tensor] = {}
    for _ in range(count):
        batch = move_to(next(batches), accelerator.device)
        with accelerator.accumulate(network):
            with accelerator.autocast():
                returned = loss_function(network, batch)
            loss, others = returned if isinstance(returned, tuple) else (returned, {})
            check_loss(loss)
            accelerator.backward(loss)
        number_type = torch.promote_types(loss.dtype, torch.float32)
        for name, value in {**others, "loss": loss.detach()}.items():
            if not isinstance(value, Tensor):
                value = torch.full((), float(value), device=loss.device)
            mean = value.detach().to(loss.device, number_type) / count
            means[name] = means[name] + mean if name in means else mean
    return means if accelerator.num_processes == 1 else reduce(means, "mean")


def _evaluated(model: nn.Module, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> dict[str, float]:
    """What `evaluate` says of the model in eval mode; each part of the model is in its own mode again afterwards."""
    with evaluating(model), torch.no_grad():
        measured = evaluate(model)
    if not isinstance(measured, Mapping):
        raise TypeError(f"evaluate must return a dict such as {{'accuracy': 0.9}}, got {type(measured).__name__}")
    return {name: float(value) for name, value in measured.items()}


def _stop_message(description: str, stopped: str, done: int, steps: int, folder: CheckpointFolder | None) -> str:
    why = "its wall-clock budget is used up" if stopped == "wall clock" else "interrupted"
    saved = f"saved in {folder.folder}; the same call goes on from there" if folder else "not saved (checkpoints=None)"
    return f"{description} stopped after ≈{done} of {steps} steps: {why}; {saved}"
