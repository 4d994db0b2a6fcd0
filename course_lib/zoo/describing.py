"""What goes on a trained model's card? Its sizes, what it read, how it was trained, how good it is beside others."""

import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here

from course_lib.evaluation.compression import count_bytes
from course_lib.training.loop import TrainingResult
from course_lib.zoo.cards import LOADED_FILES, Card, fingerprint
from course_lib.zoo.loading import read_model
from course_lib.zoo.recipe import Recipe
from course_lib.zoo.run_file import RunFile

LAST_STEPS = 100  # whose mean loss the card gives


def describe(
    recipe: Recipe, folder: Path, result: TrainingResult, run: RunFile, corpus: DatasetDict, device: torch.device
) -> Card:
    """The card of the model in a folder. The model is read back from there: what is measured is what is shipped."""
    model, tokenizer = read_model(folder)
    measured = recipe.measure(model.to(device), tokenizer, corpus, "test")
    return Card(
        name=recipe.name,
        summary=recipe.summary,
        cannot=list(recipe.cannot),
        sizes={
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **asdict(recipe.config),
            "stored_as": "float16",
        },
        data={"version": recipe.version(corpus), **_counted(corpus)},
        training=_training(recipe, result, run),
        measured={"split": "test", **measured, **recipe.beside(corpus, "test")},
        files={name: fingerprint(folder / name) for name in LOADED_FILES},
    )


def _counted(corpus: DatasetDict) -> dict[str, Any]:
    counted = {}
    for split in ("train", "test"):
        texts = corpus[split]["text"]
        counted[f"documents_of_{split}"] = len(texts)
        counted[f"bytes_of_{split}"] = count_bytes(texts)
    return counted


def _training(recipe: Recipe, result: TrainingResult, run: RunFile) -> dict[str, Any]:
    last = result.losses[-LAST_STEPS:]
    steps = result.steps_done
    at_most = "" if recipe.full_windows else "_at_most"
    parents = {"starts_or_learns_from": run.settings["parents"]} if recipe.parents else {}
    return {
        **parents,
        "steps": steps,
        "rows_in_a_batch": recipe.batch_size,
        f"tokens_in_a_row{at_most}": recipe.window,
        f"tokens_read{at_most}": steps * recipe.batch_size * recipe.window,
        "optimizer": f"AdamW, betas {recipe.betas[0]} and {recipe.betas[1]}, weight decay {recipe.weight_decay} on "
        f"matrices, gradients clipped at norm 1",
        "learning_rate": f"up to {recipe.learning_rate:g} in {recipe.warmup(steps)} steps, then down to 0 as half a "
        "cosine",
        "precision": {"bf16": "bf16 (mixed)", "no": "float32"}[run.settings["precision"]],
        "seed": run.settings["seed"],
        f"mean_loss_of_the_last_{len(last)}_steps": sum(last) / len(last),
        "seconds": run.seconds,
        "machine": "; ".join(dict.fromkeys(call["machine"] for call in run.calls)) or None,
        "finished": datetime.now(UTC).date().isoformat(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}",
        "evaluations": [dict(each) for each in result.evaluations],
    }
