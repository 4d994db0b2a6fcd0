"""What does a long document cost? A training step of LongT5-base's shape: seconds and peak memory, by attention.

Random weights, one document in a batch, at each length with full and with transient-global attention; with and without
checkpointing; with AdamW (two numbers for each weight) and Adafactor (hardly any), whose memory differs alone. Writes
`results/long_attention.json`:

    python -m benchmarks.long_attention --device cuda

On a GPU in bfloat16 (autocast), and the peak is what was allocated at once. On a CPU the shape is tiny and the numbers
float32, and in the peak's place stands what `training.memory` counts: weights, gradients, optimizer, activations.
"""

import argparse
import contextlib
import gc
import itertools
import statistics
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from transformers import Adafactor

from benchmarks.timing import seconds_of
from benchmarks.writing import write_result
from course_lib.models.long_attention import scores_per_head
from course_lib.models.long_t5 import LongT5, LongT5Config, answer_loss, shifted
from course_lib.training import memory

BASE = LongT5Config()
TINY = replace(BASE, vocabulary_size=512, embedding_size=64, encoder_blocks=2, decoder_blocks=1, heads=4, head_size=16)
ANSWER = 128  # tokens, as many as Tryolabs' model may write


def optimizer_of(name: str, model: nn.Module) -> Optimizer:
    """AdamW, or Adafactor with a fixed rate."""
    if name == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    return Adafactor(model.parameters(), lr=1e-4, relative_step=False, scale_parameter=False)


def measure(
    config: LongT5Config, length: int, checkpointing: bool, optimizer_name: str, device: torch.device, repeats: int
) -> dict[str, Any]:
    """The median step of a fresh model, its peak memory, and the share of the scores of full attention."""
    torch.manual_seed(0)
    with device:
        model = LongT5(config).train()
        tokens = torch.randint(2, config.vocabulary_size, (1, length))
        labels = torch.randint(2, config.vocabulary_size, (1, ANSWER))
    model.use_checkpointing(checkpointing)
    optimizer = optimizer_of(optimizer_name, model)
    on_gpu = device.type == "cuda"

    def loss() -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16) if on_gpu else contextlib.nullcontext():
            return answer_loss(model(tokens, shifted(labels)), labels)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    measured: dict[str, Any] = {
        "attention": config.attention,
        "length": length,
        "checkpointing": checkpointing,
        "optimizer": optimizer_name,
    }
    try:
        seconds_of(step, device)  # warms up
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        measured["milliseconds"] = round(1000 * statistics.median(seconds_of(step, device) for _ in range(repeats)), 1)
        peak = torch.cuda.max_memory_allocated() if on_gpu else memory.measured_budget(model, optimizer, loss).total
        measured["peak_mebibytes"] = round(peak / 2**20, 1)
    except torch.OutOfMemoryError:
        measured["out_of_memory"] = True
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--lengths", type=int, nargs="+", help="default: 4096 7168 on a GPU, else 512 1024 2048")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    shape = BASE if device.type == "cuda" else TINY
    lengths = arguments.lengths or ([4_096, 7_168] if device.type == "cuda" else [512, 1_024, 2_048])

    steps = []
    kinds = ("full", "transient-global")
    for kind, length, checkpointing in itertools.product(kinds, lengths, (False, True)):
        for optimizer_name in ("adamw", "adafactor") if checkpointing else ("adamw",):
            steps.append(
                measure(
                    replace(shape, attention=kind), length, checkpointing, optimizer_name, device, arguments.repeats
                )
            )
            print(steps[-1], flush=True)
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    scores = {kind: {length: scores_per_head(length, kind) for length in lengths} for kind in kinds}
    settings = {"shape": asdict(shape), "batch": 1, "answer_tokens": ANSWER, "repeats": arguments.repeats}
    write_result(
        "long_attention" if device.type == "cuda" else "long_attention_cpu",
        command=f"python -m benchmarks.long_attention --device {arguments.device}",
        settings=settings | {"precision": "bf16 (mixed)" if device.type == "cuda" else "float32"},
        measured={"steps": steps, "scores_per_head": scores},
    )


if __name__ == "__main__":
    main()
