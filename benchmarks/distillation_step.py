"""How fast does a student of half its teacher's depth learn, and how much faster does it answer?

With random weights: a step of the triple loss (teacher's pass, student's pass, backward, AdamW) in float32 and bf16,
and what teacher and student take for a batch of 1 and of 32 texts. Medians go to `results/distillation_step.json`, or
`distillation_step_DEVICE.json`:

    python -m benchmarks.distillation_step
    python -m benchmarks.distillation_step --device cuda --size base

Sizes: "tiny" is pydoc-bert's with 6 and 3 blocks, "base" BERT-base's with 12 and 6, as DistilBERT's authors had it.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.timing import seconds_of
from benchmarks.writing import write_result
from course_lib.data.masking import MaskedBatch, MaskingRule, mask_words
from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
from course_lib.models.student import student_of
from course_lib.training.distillation import Distillation, Objective
from course_lib.training.reading import Reader

SIZES = {
    "tiny": (BERTConfig(4_096, 128, 6, 6, 192, 768, dropout=0.0), 3),
    "base": (BERTConfig(dropout=0.0), 6),
}
SPECIAL_TOKENS, MASK_TOKEN = (0, 1, 2, 3, 4), 4
WARM_UP = 3


def median_seconds(call: Callable[[], object], device: str, repeats: int, most_seconds: float) -> float:
    """The median of several calls, each timed until the device has finished; fewer where they take too long."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < repeats + WARM_UP and (len(times) <= WARM_UP or time.perf_counter() - began < most_seconds):
        times.append(seconds_of(call, device))
    return statistics.median(times[WARM_UP:])


def precision(device: str, bf16: bool) -> contextlib.AbstractContextManager:
    return torch.autocast(device, torch.bfloat16) if bf16 else contextlib.nullcontext()


def training_step(
    student: MaskedLanguageModel, teacher: MaskedLanguageModel, batch: MaskedBatch, device: str, bf16: bool
) -> Callable[[], None]:
    """One update by the triple loss, as `course_lib.training.loop.train` makes it."""
    loss_function, reader = Distillation(teacher, Objective()), Reader(student.train())
    optimizer = torch.optim.AdamW(student.parameters(), lr=5e-4, betas=(0.9, 0.98), eps=1e-6, fused=True)

    def step() -> None:
        with precision(device, bf16):
            loss, _ = loss_function(reader, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def answering(model: MaskedLanguageModel, tokens: torch.Tensor, device: str, bf16: bool) -> Callable[[], None]:
    """One pass of the encoder, which is what a fine-tuned task uses."""
    model.eval()

    def answer() -> None:
        with torch.inference_mode(), precision(device, bf16):
            model.encoder(tokens)

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=list(SIZES), default="tiny")
    parser.add_argument("--batch", type=int, default=0, help="texts of a training step; 0: 8, on a GPU 64")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--most-seconds", type=float, default=4.0, help="for each of ten measurements")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    device, on_cpu = arguments.device, arguments.device == "cpu"
    arguments.batch = arguments.batch or (8 if on_cpu else 64)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config, blocks = SIZES[arguments.size]
    with torch.device(device):
        teacher = MaskedLanguageModel(BERT(config))
    student = student_of(teacher, blocks)
    rule = MaskingRule(MASK_TOKEN, config.vocabulary_size, SPECIAL_TOKENS)
    tokens = torch.randint(5, config.vocabulary_size, (max(arguments.batch, 32), arguments.length)).to(device)
    batch = mask_words(tokens[: arguments.batch], rule)

    measured: dict[str, float] = {
        "teacher_parameters": sum(parameter.numel() for parameter in teacher.parameters()),
        "student_parameters": sum(parameter.numel() for parameter in student.parameters()),
    }
    for bf16 in (False, True):
        kind = "bf16" if bf16 else "float32"
        step = training_step(student, teacher, batch, device, bf16)
        took = median_seconds(step, device, arguments.repeats, arguments.most_seconds)
        measured[f"training_{kind}_ms"] = round(1_000 * took, 2)
        measured[f"training_{kind}_samples_per_second"] = round(arguments.batch / took, 1)
        if not on_cpu:
            measured[f"training_{kind}_peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            torch.cuda.reset_peak_memory_stats()
    for bf16 in (False, True):
        kind = "bf16" if bf16 else "float32"
        for rows in (1, 32):
            times = {}
            for name, model in (("teacher", teacher), ("student", student)):
                call = answering(model, tokens[:rows], device, bf16)
                times[name] = median_seconds(call, device, arguments.repeats, arguments.most_seconds)
                measured[f"{name}_{kind}_batch_{rows}_ms"] = round(1_000 * times[name], 3)
                measured[f"{name}_{kind}_batch_{rows}_samples_per_second"] = round(rows / times[name], 1)
            measured[f"student_{kind}_batch_{rows}_times_faster"] = round(times["teacher"] / times["student"], 3)
    options = "" if on_cpu and arguments.size == "tiny" else f" --device {device} --size {arguments.size}"
    suffix = ("" if arguments.size == "tiny" else f"_{arguments.size}") + ("" if on_cpu else f"_{device}")
    write_result(
        f"distillation_step{suffix}",
        command=f"python -m benchmarks.distillation_step{options}",
        settings=vars(arguments),
        measured=measured,
    )


if __name__ == "__main__":
    main()
