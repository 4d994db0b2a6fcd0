"""Which part of the triple loss does the work, over several seeds? Notebook 06 shows what this keeps.

Each row of `course_lib.training.distillation_ablation` is taught with the same settings, then judged twice: by the
hidden words of the test split that it guesses, and fine-tuned, as its teacher is too, on telling a docstring's package.

    python -m benchmarks.distillation_ablation                       # CPU: hours
    python -m benchmarks.distillation_ablation --device cuda --most-seconds 240

The result, `06_distillation_ablation.json`, is written anew after each run; with --most-seconds no run begins later.
--corpus takes a corpus that `DatasetDict.save_to_disk` wrote on another machine.
"""

import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import DatasetDict
from torch.utils.data import DataLoader

from benchmarks.writing import RESULTS, header
from course_lib import zoo
from course_lib.data import pydocs
from course_lib.data.docstring_origins import docstring_origins
from course_lib.data.masking import DynamicMasking, MaskingRule
from course_lib.evaluation.classification import accuracy
from course_lib.models.bert import MaskedLanguageModel
from course_lib.training.classification import fine_tune, judged, labelled_rows, pretrained_classifier
from course_lib.training.distillation import Objective
from course_lib.training.distillation_ablation import ABLATIONS, taught_student
from course_lib.zoo.pydoc_bert import MarkedWindows, guesses, held_out_rows

NAME = "06_distillation_ablation"


def judge(
    model: MaskedLanguageModel,
    held_out: Any,
    task: dict[str, list],
    *,
    windows: int,
    steps: int,
    seed: int,
    precision: str,
) -> dict[str, float]:
    """The hidden words guessed in the first windows, and the accuracy on the task after fine-tuning."""
    nats, right, asked = guesses(model, held_out, windows)
    torch.manual_seed(seed)  # of the new head
    classifier = pretrained_classifier(model, 1 + max(label for _, label in task["train"]))
    fine_tune(classifier, task["train"], steps=steps, batch_size=32, seed=seed, mixed_precision=precision)
    return {
        "hidden_words_guessed": right / asked,
        "nats_per_hidden_word": nats / asked,
        "task_accuracy": judged(classifier, task["test"], accuracy),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ABLATIONS))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--labelled", type=int, default=2_000)
    parser.add_argument("--task-steps", type=int, default=200)
    parser.add_argument("--longest", type=int, default=64, help="tokens of a text of the task")
    parser.add_argument("--tested", type=int, default=10_000, help="texts of the task, at most")
    parser.add_argument("--asked-windows", type=int, default=1_000, help="of the test split, for hidden words")
    parser.add_argument("--most-seconds", type=float, default=float("inf"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    if arguments.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "1"
    precision = "no" if arguments.device == "cpu" else "bf16"
    began = time.perf_counter()
    corpus = DatasetDict.load_from_disk(str(arguments.corpus)) if arguments.corpus else pydocs.load_pydocs()
    teacher, tokenizer = zoo.load("pydoc-bert", device=arguments.device)
    length = teacher.encoder.config.context_size
    windows = MarkedWindows(tokenizer, corpus["train"]["text"], length, random_start=True)
    masked = DynamicMasking(MaskingRule.of(tokenizer), tokenizer.pad_token_id)
    loader = DataLoader(windows, batch_size=arguments.batch, shuffle=True, drop_last=True, collate_fn=masked)
    held_out = held_out_rows(tokenizer, corpus, "test", length)
    origins = docstring_origins(corpus)
    task = {}
    for split, most in (("train", arguments.labelled), ("test", arguments.tested)):
        rows = origins[split].shuffle(seed=0)
        task[split] = labelled_rows(rows.select(range(min(most, len(rows)))), tokenizer, longest=arguments.longest)

    file = RESULTS / f"{NAME}.json"
    result: dict[str, Any] = header(" ".join(["python -m benchmarks.distillation_ablation", *sys.argv[1:]]))
    result["settings"] = {name: value for name, value in vars(arguments).items() if name not in ("corpus", "threads")}
    result["settings"]["data"] = pydocs.version(corpus).partition(" ")[0]
    result["settings"]["gpu"] = torch.cuda.get_device_name() if arguments.device != "cpu" else None
    if arguments.most_seconds == float("inf"):
        del result["settings"]["most_seconds"]  # JSON has no infinity
    result["runs"] = []
    for seed in arguments.seeds:
        for name in ["teacher", *arguments.rows]:
            if time.perf_counter() - began > arguments.most_seconds:
                print(f"{name}, seed {seed}: left out, the time is used up")
                continue
            start = time.perf_counter()
            model = teacher
            if name != "teacher":
                model = taught_student(
                    ABLATIONS[name],
                    teacher,
                    loader,
                    blocks=arguments.blocks,
                    steps=arguments.steps,
                    seed=seed,
                    objective=Objective(restrict_ce_to_mask=True),
                    learning_rate=arguments.learning_rate,
                    mixed_precision=precision,
                )
            asked = {"windows": arguments.asked_windows, "steps": arguments.task_steps}
            records = judge(model, held_out, task, **asked, seed=seed, precision=precision)
            result["runs"].append(
                {
                    "name": "06_distillation, one part left out",
                    "seconds": round(time.perf_counter() - start, 2),
                    "peak_ram_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                    "parameters": {"row": name, "seed": seed, "steps": arguments.steps},
                    "records": records,
                }
            )
            print(name, seed, {key: round(value, 4) for key, value in records.items()}, flush=True)
            file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
