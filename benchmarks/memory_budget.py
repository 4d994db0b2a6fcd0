"""Does the formula say what a training step's memory is? Bytes predicted and measured, over batches and lengths.

Measures each part of a step of notebook 05's BERT, in training with dropout, on this machine's GPU if it has one and
on its CPU otherwise, and writes the ratios to `results/memory_budget.json` (`memory_budget_cuda.json`); beside them the
largest batches that the formula predicts for BERT on 12 GB, and those its authors published.

    python -m benchmarks.memory_budget
"""

import argparse
import itertools

import torch
from torch.nn import functional as F

from benchmarks.writing import write_result
from course_lib.models.bert import BERT, BERTConfig, Classifier
from course_lib.training import memory

LABELS = 10


def ratio(config: BERTConfig, batch: int, length: int, device: torch.device) -> dict[str, float]:
    """What was measured over what was predicted, in total and for the activations alone."""
    torch.manual_seed(0)
    model = Classifier(BERT(config), LABELS).to(device).train()
    tokens = torch.randint(5, config.vocabulary_size, (batch, length), device=device)
    labels = torch.arange(batch, device=device) % LABELS
    optimizer = torch.optim.AdamW(model.parameters())
    measured = memory.measured_budget(model, optimizer, lambda: F.cross_entropy(model(tokens), labels))
    storage = memory.Storage.usual(device.type, config.dropout)
    activations = memory.classifier_activations(batch, length, config, storage, labels=LABELS)
    predicted = memory.predicted_budget(memory.classifier_parameters(config, LABELS), activations)
    return {
        "measured_mebibytes": round(measured.total / 2**20, 1),
        "predicted_mebibytes": round(predicted.total / 2**20, 1),
        "total_ratio": round(measured.total / predicted.total, 4),
        "activation_ratio": round(measured.activations / predicted.activations, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--embedding", type=int, default=128)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    measured: dict[str, object] = {"device": device.type}
    for dropout in (0.0, 0.1):
        config = BERTConfig(
            4_096, 512, arguments.blocks, arguments.embedding // 32, arguments.embedding, 4 * arguments.embedding,
            dropout=dropout,
        )  # fmt: skip
        for batch, length in itertools.product(arguments.batches, arguments.lengths):
            key = f"dropout {dropout}, {batch} x {length} tokens"
            measured[key] = ratio(config, batch, length, device)
    # The original multiplies by a mask of floats, and has no fused attention.
    storage = memory.Storage(fused_attention=False, mask_bytes=4)
    for name, config in (("base", memory.BERT_BASE), ("large", memory.BERT_LARGE)):
        published = memory.PUBLISHED_LARGEST_BATCHES[name]
        for label, states in (("AdamW in place", 2), ("the original's copies", memory.PUBLISHED_STATES_PER_PARAMETER)):
            predicted = memory.largest_batches(
                config, published, 12 * memory.GIBIBYTE, storage, states_per_parameter=states
            )
            measured[f"BERT-{name}, 12 GB, predicted, {label}"] = {str(k): v for k, v in predicted.items()}
        measured[f"BERT-{name}, 12 GB, published"] = {str(k): v for k, v in published.items()}
    write_result(
        "memory_budget" if device.type == "cpu" else f"memory_budget_{device.type}",
        command="python -m benchmarks.memory_budget",
        settings=vars(arguments) | {"labels": LABELS},
        measured=measured,
    )


if __name__ == "__main__":
    main()
