"""What is pydoc-bert's pre-training worth on sentences that are no documentation? SST-2 and CoLA.

Fine-tunes the model, and the same architecture with random weights, on the mirror's SST-2 and CoLA (COURSE_DATA_DIR),
beside the majority's label and a bag of words, and writes `results/glue.json`. pydoc-bert has read manuals and nothing
else: on film reviews and linguists' sentences little of that helps. Without a mirror it says so and measures nothing.

    python -m benchmarks.glue
"""

import argparse
import statistics
from collections.abc import Callable, Sequence

import torch
from datasets import DatasetDict
from transformers import PreTrainedTokenizerFast

from benchmarks.writing import write_result
from course_lib import zoo
from course_lib.data import mirror
from course_lib.data.glue import load_cola, load_sst2
from course_lib.evaluation.classification import accuracy, bag_of_words_predictions, matthews_correlation
from course_lib.models.bert import MaskedLanguageModel
from course_lib.training.classification import (
    fine_tune,
    judged,
    labelled_rows,
    pretrained_classifier,
    untrained_classifier,
)

Measure = Callable[[Sequence[int], Sequence[int]], float]
TASKS: dict[str, tuple[Callable[[], DatasetDict], tuple[tuple[str, Measure], ...]]] = {
    "SST-2": (load_sst2, (("accuracy", accuracy),)),
    "CoLA": (load_cola, (("Matthews", matthews_correlation), ("accuracy", accuracy))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pydoc-bert", help="a bundled model's name, or a folder")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--longest", type=int, default=48, help="tokens of a text that are read")
    parser.add_argument("--rows", type=int, default=0, help="of the training split; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    try:
        mirror.mirror_folder()
    except FileNotFoundError as error:
        raise SystemExit(f"nothing measured: {error}") from None
    torch.set_num_threads(arguments.threads)
    model, tokenizer = zoo.load(arguments.model)
    measured = {}
    for task in arguments.tasks:
        load_task, measures = TASKS[task]
        data = load_task()
        if arguments.rows:
            data["train"] = data["train"].shuffle(seed=0).select(range(min(arguments.rows, len(data["train"]))))
        measured |= scores(task, data, measures, model, tokenizer, arguments)
    settings = vars(arguments) | {"measured_on": "validation; SST-2's is a tenth of its training phrases"}
    write_result("glue", command="python -m benchmarks.glue", settings=settings, measured=measured)


def scores(
    task: str,
    data: DatasetDict,
    measures: Sequence[tuple[str, Measure]],
    model: MaskedLanguageModel,
    tokenizer: PreTrainedTokenizerFast,
    arguments: argparse.Namespace,
) -> dict[str, object]:
    """Each way's scores on the validation split; of those that draw, the mean, lowest and highest over the seeds."""
    expected = list(data["validation"]["label"])
    rows = {split: labelled_rows(data[split], tokenizer, arguments.longest) for split in ("train", "validation")}
    said = {
        "majority": [max({0, 1}, key=list(data["train"]["label"]).count)] * len(expected),
        "bag of words": bag_of_words_predictions(data, "validation"),
    }
    found: dict[str, object] = {"training texts": len(rows["train"]), "validation texts": len(expected)}
    for name, predictions in said.items():
        found |= {f"{name}, {label}": round(measure(predictions, expected), 3) for label, measure in measures}
    for name in ("pre-trained", "from scratch"):
        results: dict[str, list[float]] = {label: [] for label, _ in measures}
        for seed in arguments.seeds:
            torch.manual_seed(seed)
            start = pretrained_classifier(model, 2) if name == "pre-trained" else None
            classifier = start or untrained_classifier(model.encoder.config, 2)
            fine_tune(
                classifier, rows["train"], steps=arguments.steps, batch_size=arguments.batch,
                learning_rate=arguments.learning_rate, seed=seed, description=f"{task}, {name}, seed {seed}",
            )  # fmt: skip
            for label, measure in measures:
                results[label].append(judged(classifier, rows["validation"], measure))
        for label, values in results.items():
            spread = {"mean": statistics.mean(values), "lowest": min(values), "highest": max(values)}
            found[f"{name}, {label}"] = {key: round(value, 3) for key, value in spread.items()}
    return {f"{task}: {name}": value for name, value in found.items()}


if __name__ == "__main__":
    main()
