"""What is each part of the transformer worth? Small models with one part changed, several seeds, for notebook 03.

python -m benchmarks.transformer_ablations --seeds 0 1 2

On sentences of one and two items, so that a training takes seconds. The file has the form of a kept batch run, so
that a notebook reads it by `lesson.shipped`. Names of variants: those of `course_lib.models.ablations`, and post_norm
with and without a warm-up.
"""

import argparse
import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

import torch
from datasets import DatasetDict

from benchmarks.writing import RESULTS, header
from course_lib.data import cldr
from course_lib.data.batching import translation_loader
from course_lib.data.vocabulary import Vocabulary
from course_lib.evaluation.translation import exact_match
from course_lib.generation.translate import translate
from course_lib.models.ablations import CHANGES, change
from course_lib.models.transformer import transformer_model
from course_lib.training.loop import train
from course_lib.training.schedule import warmup_then_linear
from course_lib.training.translation import next_word_loss

ITEMS = (1, 2)
SIZES = {"embedding_size": 64, "heads": 4, "blocks": 2, "inner_size": 128}
NORMS = ("post_norm", "post_norm_without_warmup", "pre_norm_without_warmup")


@cache
def corpus_and_vocabularies() -> tuple[DatasetDict, list[Vocabulary]]:
    """The sentences are the same for all seeds, which choose weights and order."""
    corpus = cldr.parallel_corpus(item_counts=ITEMS)
    return corpus, [Vocabulary.build(corpus["train"][side], minimum_count=2) for side in ("source", "target")]


def train_and_measure(variant: str, seed: int, steps: int, learning_rate: float) -> dict[str, float]:
    """Trains one variant and returns its records."""
    corpus, vocabularies = corpus_and_vocabularies()
    torch.manual_seed(seed)
    pre_norm = not variant.startswith("post_norm")
    model = transformer_model(*map(len, vocabularies), pre_norm=pre_norm, **SIZES)
    change(model, variant if variant in CHANGES else "whole")
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98))
    warmup = 0 if variant.endswith("without_warmup") else steps // 10
    start = time.perf_counter()
    result = train(
        model,
        translation_loader(corpus["train"], *vocabularies, 32, seed=seed),
        next_word_loss,
        steps=steps,
        optimizer=optimizer,
        schedule=warmup_then_linear(optimizer, warmup_steps=warmup, steps=steps),
        seed=seed,
        description=variant,
    )
    records = {
        "seconds_of_training": round(time.perf_counter() - start, 2),
        "last_loss": round(sum(result.losses[-20:]) / 20, 4),
    }
    for count, rows in cldr.sentences_by_item_count(item_counts=ITEMS).items():
        said = translate(model, rows["source"], *vocabularies)
        records[f"exact_match_{count}"] = round(exact_match(said, rows["target"]), 4)
    return records


def one_run(variant: str, seed: int, steps: int, learning_rate: float) -> dict[str, Any]:
    """A run as a batch keeps it: its parameters, its records, its time and memory."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    records = train_and_measure(variant, seed, steps, learning_rate)
    print(variant, seed, records, flush=True)
    return {
        "name": "03_transformer, one part changed",
        "seconds": round(time.perf_counter() - start, 2),
        "peak_ram_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parameters": {"variant": variant, "seed": seed, "steps": steps, "learning_rate": learning_rate},
        "records": records,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=[*CHANGES, *NORMS], default=[*CHANGES, *NORMS])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, one thread each")
    arguments = parser.parse_args()
    cases = [
        (variant, seed, arguments.steps, arguments.learning_rate)
        for seed in arguments.seeds
        for variant in arguments.variants
    ]
    path = RESULTS / "03_transformer_ablations.json"
    runs: list[dict[str, Any]] = []
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        for run in pool.map(one_run, *zip(*cases, strict=True)):
            runs.append(run)
            # After each one: an hour of training should survive an interruption.
            seeds = " ".join(map(str, dict.fromkeys(kept["parameters"]["seed"] for kept in runs)))
            result = {**header(f"python -m benchmarks.transformer_ablations --seeds {seeds}"), "runs": runs}
            path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    print(f"{len(runs)} runs kept in {path.name}")


if __name__ == "__main__":
    main()
