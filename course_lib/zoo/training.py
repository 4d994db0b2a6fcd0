"""How is a model of the course trained anew? By its recipe, with the course's training loop, resumably."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here

from course_lib.data.byte_pairs import save_byte_pairs
from course_lib.training.checkpoint import CheckpointError
from course_lib.training.history import NonFiniteLossError
from course_lib.training.loop import train
from course_lib.training.schedule import warmup_then_cosine
from course_lib.zoo.cards import CARD_FILE, Card, ZooError, verify
from course_lib.zoo.describing import describe
from course_lib.zoo.loading import usable_device
from course_lib.zoo.recipe import Recipe, TooFewTexts
from course_lib.zoo.recipes import RECIPES
from course_lib.zoo.run_file import CHECKPOINT_FOLDER, RunFile, on_gpu


class TrainingBroke(RuntimeError):  # noqa: N818 - it reads as what happened
    """The training could not go on; the message says what to do."""


def train_by_name(
    name: str,
    folder: Path,
    *,
    threads: int | None = None,
    bytes_per_origin: int | None = None,
    **options: Any,
) -> Card | None:
    """As `train_recipe`, with so many threads, on the recipe's whole corpus or (for a trial) a part of each package.

    Raises ZooError for a name without a recipe.
    """
    if name not in RECIPES:
        raise ZooError(f"there is no recipe for {name!r}, only for {', '.join(RECIPES)}")
    if threads is not None:
        torch.set_num_threads(threads)
    recipe = RECIPES[name]
    return train_recipe(recipe, folder, recipe.corpus(bytes_per_origin), **options)


def train_recipe(
    recipe: Recipe,
    folder: Path,
    corpus: DatasetDict,
    *,
    steps: int | None = None,
    device: str | None = None,
    resume: bool = True,
    seed: int = 0,
    tell: Callable[[str], None] = print,
) -> Card | None:
    """Train a model into a folder, and write its files and card there; None if it was interrupted.

    Checkpoints are kept in the folder, and the same call goes on from the newest; with `resume=False` it starts over.
    Raises ZooError for a folder that belongs to another training, TrainingBroke when the loss is no number or a
    checkpoint cannot be written.
    """
    steps = recipe.steps if steps is None else steps
    if steps < 1:
        raise ZooError(f"steps must be at least 1, got {steps}")
    recipe = replace(recipe, steps=steps)  # lessons in a fixed order must know how many there will be
    # Another parent is another training. The weights alone decide: a card may be worded anew.
    parents = {name: verify(name).files["model.safetensors"]["sha256"][:12] for name in recipe.parents}
    tell("learning the byte pairs of the texts" if not recipe.parents else f"taking {', '.join(parents)} as a start")
    try:
        pairs = recipe.pairs(recipe, corpus)
    except TooFewTexts as error:
        raise ZooError(str(error)) from error
    with _on(device):
        # On a CPU, networks this small lose more by converting to bfloat16 than they gain.
        precision = "bf16" if on_gpu() else "no"
    settings = {
        "name": recipe.name,
        "steps": steps,
        "seed": seed,
        "data": recipe.version(corpus),
        "precision": precision,
    }
    if parents:
        settings["parents"] = ", ".join(f"{name} ({digest}…)" for name, digest in parents.items())
    run = RunFile(folder, settings, pairs.to_str(), resume=resume)
    if not resume:
        (folder / CARD_FILE).unlink(missing_ok=True)  # or an older model could be taken for this one
    tokenizer = recipe.wrap(pairs, recipe.config.context_size)
    save_byte_pairs(pairs, folder)
    with _on(device):
        torch.manual_seed(seed)
        prepared = recipe.prepare(recipe, corpus, tokenizer)
        optimizer = recipe.optimizer(prepared.model)
        started = datetime.now(UTC)

        def on_step(step: int, model: Any) -> None:
            if step % 50 == 0:
                tell(f"step {step} of {steps}, {(datetime.now(UTC) - started).total_seconds():.0f} s")

        try:
            result = train(
                prepared.model,
                prepared.loader,
                prepared.loss,
                steps=steps,
                optimizer=optimizer,
                schedule=warmup_then_cosine(optimizer, warmup_steps=recipe.warmup(steps), steps=steps),
                mixed_precision=precision,
                evaluate=prepared.evaluate,
                evaluate_every=recipe.evaluate_every,
                checkpoints=folder / CHECKPOINT_FOLDER,
                checkpoint_every=recipe.checkpoint_every,
                resume=resume,
                seed=seed,
                description=recipe.name,
                on_step=on_step,
            )
        except (NonFiniteLossError, CheckpointError) as error:
            raise TrainingBroke(str(error)) from error
        except ValueError as error:
            if "the checkpoints in" in str(error) or "the run in" in str(error):  # these belong to another training
                raise ZooError(str(error).replace("pass resume=False", "use --no-resume")) from error
            raise
        run.note(result)
    if result.stopped_because != "steps":
        return None
    tell("writing the files, and measuring the model on the test split: some minutes")
    recipe.save(prepared.model, tokenizer, folder)
    made = describe(recipe, folder, result, run, corpus, next(prepared.model.parameters()).device)
    made.write(folder)
    return made


@contextmanager
def _on(device: str | None) -> Iterator[None]:
    """Let the training loop, which takes a GPU where there is one, use this device: Accelerate reads its wish here."""
    if device is None:
        yield
        return
    usable_device(device)
    name, value = ("ACCELERATE_USE_CPU", "1") if device == "cpu" else ("ACCELERATE_TORCH_DEVICE", device)
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
