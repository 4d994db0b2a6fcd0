"""How many samples a second does one GPU tune a LLaMA-7B on, and where does the time go?

The fourth source document tuned LLaMA-7B on 8 A800s, 64.07 samples a second, 8.0 a GPU: batch 128, at most 512 tokens.
Here a model of the same shape with random weights makes the same steps on one GPU, all in bfloat16 (weights, gradients,
AdamW's moments: 8 bytes a parameter), on rows as long as Alpaca's; once with each way of making micro-batches: rows
padded in random order as in the source, padded by similar length, and packed. Then with LoRA.

    python -m benchmarks.llama_step                 # a GPU with 80 GB or more: about a minute and a half
    python -m benchmarks.llama_step --shape tiny    # the same code on a CPU, in seconds

MFU is what the model's matrices must multiply for real tokens, by what the GPU can: recomputing, padding and attention
beyond the diagonal earn nothing. For LoRA the frozen weights' gradients are not owed: 4 instead of 6 a parameter.
"""

import argparse
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional as F

from benchmarks.alpaca_lengths import read_lengths
from benchmarks.timing import peak_of, seconds_of
from benchmarks.writing import write_result
from course_lib.data.masking import NOT_ASKED
from course_lib.training.instruction import InstructionBatch, logits_of, packed_batch, packs_of, padded_batch
from course_lib.training.instruction_rows import Row
from course_lib.training.lora import add_lora, lora_parameters, trained_share

LONGEST = 512
BATCH = 128  # the source's: rows in one update
SOURCE_SAMPLES_PER_SECOND = 64.074 / 8  # of one A800
SHAPES = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "1b": {"hidden_size": 2048, "intermediate_size": 5_504, "num_hidden_layers": 22, "num_attention_heads": 16},
    "tiny": {"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2, "num_attention_heads": 4},
}

MicroBatches = list[InstructionBatch]


def llama(shape: str, device: torch.device) -> nn.Module:
    """A LLaMA of this shape, made on the device in bfloat16, with random weights."""
    sizes = SHAPES[shape]
    config = transformers.LlamaConfig(
        vocab_size=32_000 if shape != "tiny" else 320,
        num_key_value_heads=sizes["num_attention_heads"],
        max_position_embeddings=2_048,
        use_cache=False,
        tie_word_embeddings=False,
        **sizes,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    finally:
        torch.set_default_dtype(before)


def rows_of_lengths(lengths: Sequence[tuple[int, int]], vocabulary: int, seed: int) -> list[Row]:
    """Random tokens of these lengths, cut at LONGEST; the response's are to be guessed."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for prompt, response in lengths:
        length = min(prompt + response, LONGEST)
        tokens = torch.randint(3, vocabulary, (length,), generator=generator)
        labels = tokens.clone()
        labels[: min(prompt, length - 1)] = NOT_ASKED
        rows.append((tokens, labels))
    return rows


def drawn_batches(count: int, vocabulary: int, seed: int = 0) -> list[list[Row]]:
    """`count` batches of the source's 128 rows, their lengths drawn from Alpaca's."""
    drawing = random.Random(seed)
    known = read_lengths()
    return [rows_of_lengths(drawing.choices(known, k=BATCH), vocabulary, seed + number) for number in range(count)]


def in_random_order(rows: list[Row], most_tokens: int) -> MicroBatches:
    """The source's way: so many rows at a time that even the longest would fit, padded."""
    size = max(1, most_tokens // LONGEST)
    return [padded_batch(rows[first : first + size], 0) for first in range(0, len(rows), size)]


def by_length(rows: list[Row], most_tokens: int) -> MicroBatches:
    """Rows of similar length, padded, as many as fit."""
    groups: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: -len(row[0])):
        if groups[-1] and len(groups[-1][0][0]) * (len(groups[-1]) + 1) > most_tokens:
            groups.append([])
        groups[-1].append(row)
    return [padded_batch(group, 0) for group in groups]


def packed(rows: list[Row], most_tokens: int) -> MicroBatches:
    """Several rows to a row of 512 tokens, none seeing another; the micro-batches equally many of these."""
    packs = packs_of([len(tokens) for tokens, _ in rows], LONGEST)
    count = -(-len(packs) // max(1, most_tokens // LONGEST))
    return [packed_batch([[rows[row] for row in pack] for pack in packs[i::count]], 0, LONGEST) for i in range(count)]


WAYS: dict[str, Callable[[list[Row], int], MicroBatches]] = {
    "padded": in_random_order,
    "grouped": by_length,
    "packed": packed,
}


def update(
    model: nn.Module, optimizer: torch.optim.Optimizer, micro_batches: MicroBatches, device: torch.device
) -> None:
    """One step on 128 rows: each asked token of the batch counts the same, in whatever micro-batch it stands."""
    asked = sum(int((batch.labels[:, 1:] != NOT_ASKED).sum()) for batch in micro_batches)
    for batch in micro_batches:
        moved = batch.to(device, non_blocking=True)
        logits = logits_of(model, moved)[:, :-1].flatten(0, 1)
        loss = F.cross_entropy(logits.float(), moved.labels[:, 1:].flatten(), ignore_index=NOT_ASKED, reduction="sum")
        (loss / asked).backward()
        del logits, loss
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def make_states(optimizer: torch.optim.Optimizer) -> None:
    """A step on gradients of zero, which changes nothing: the moments then have their place before the first batch.

    Otherwise the first step would fit into memory and the second might not.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def operations(model: nn.Module, batches: list[list[Row]], frozen: bool) -> float:
    """What the model must multiply and add for the rows' own tokens, forward and back."""
    config: Any = model.config
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embed_tokens" not in name)
    total = 0.0
    for row in (row for batch in batches for row in batch):
        length = len(row[0])
        # Scores and contexts: each place looks at half of the row on average; three passes, none has weights.
        attention = 6 * config.num_hidden_layers * config.hidden_size * length * length
        total += (4 if frozen else 6) * matrices * length + attention
    return total


def measure(
    model: nn.Module,
    make: Callable[[list[Row], int], MicroBatches],
    *,
    parameters: Sequence[nn.Parameter],
    device: torch.device,
    steps: int,
    most_tokens: int,
    frozen: bool = False,
) -> dict[str, Any]:
    """Samples a second and what they cost. Halves the micro-batches until they fit into memory."""
    vocabulary = model.config.vocab_size  # type: ignore[union-attr]
    batches = drawn_batches(steps + 1, vocabulary)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(parameters, lr=2e-5, weight_decay=0.0, fused=True)
    make_states(optimizer)
    model.train()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    while True:
        try:
            update(model, optimizer, make(batches[0], most_tokens), device)
            break
        except torch.OutOfMemoryError:
            too_many, most_tokens = most_tokens, most_tokens // 2
        # Outside of the handler, which keeps all tensors of the failed step alive.
        if most_tokens < LONGEST:
            raise SystemExit(f"not even {too_many} tokens at a time fit into memory; try --shape 1b")
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
    ready = [make(batch, most_tokens) for batch in batches[1:]]
    spent = []
    for micro_batches in ready:
        spent.append(seconds_of(partial(update, model, optimizer, micro_batches, device), device))
    real = sum(len(tokens) for batch in batches[1:] for tokens, _ in batch)
    reckoned = sum(batch.tokens.numel() for micro_batches in ready for batch in micro_batches)
    peak = peak_of(device)
    total = sum(spent)
    samples = BATCH * len(spent) / total
    return {
        "samples_per_second": round(samples, 2),
        "to_the_source_per_gpu": round(samples / SOURCE_SAMPLES_PER_SECOND, 2),
        "real_tokens_per_second": round(real / total),
        "padding_share": round(1 - real / reckoned, 3),
        "mfu": None if peak is None else round(operations(model, batches[1:], frozen) / total / peak, 3),
        "seconds_a_step": [round(each, 3) for each in spent],
        "micro_batches_a_step": round(sum(map(len, ready)) / len(ready), 1),
        "micro_batch_tokens": most_tokens,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if device.type == "cuda" else None,
    }


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def all_measured(shape: str, device: torch.device, steps: int, most_tokens: int, tell: Callable[[str], None]) -> dict:
    """Every way of tuning, one after the other on the same model."""
    began = time.perf_counter()
    model = llama(shape, device)
    measured: dict[str, Any] = {
        "device": device_name(device),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds_to_build": round(time.perf_counter() - began, 1),
        "mean_tokens_of_a_row": round(
            sum(len(tokens) for batch in drawn_batches(steps, 320) for tokens, _ in batch) / steps / BATCH, 1
        ),
    }

    def run(name: str, make: Callable[[list[Row], int], MicroBatches], parameters: Any, frozen: bool = False) -> None:
        measured[name] = measure(
            model,
            make,
            parameters=parameters,
            device=device,
            steps=steps,
            most_tokens=most_tokens,
            frozen=frozen,
        )
        tell(f"{name}: {measured[name]}")
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()

    for way, make in WAYS.items():
        run(f"full_{way}", make, list(model.parameters()))
    checkpointing: Any = model
    checkpointing.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    run("full_packed_checkpointing", packed, list(model.parameters()))
    checkpointing.gradient_checkpointing_disable()
    add_lora(model, ("q_proj", "v_proj"), rank=8, alpha=16, dropout=0.05)  # Alpaca-LoRA's settings
    measured["lora_trained_share"] = trained_share(model)
    for way in ("padded", "packed"):
        run(f"lora_{way}", WAYS[way], lora_parameters(model), frozen=True)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    gpu = torch.cuda.is_available()
    parser.add_argument("--shape", choices=list(SHAPES), default="7b" if gpu else "tiny")
    parser.add_argument("--steps", type=int, default=2, help="timed updates of 128 rows each, after one that warms up")
    parser.add_argument("--micro-batch-tokens", type=int, default=8_192, help="halved until it fits into memory")
    parser.add_argument("--name", help="of the result file; default: llama_step, and the shape and device if others")
    arguments = parser.parse_args()
    device = torch.device("cuda" if gpu else "cpu")
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")  # little memory lies in gaps then
    torch.manual_seed(0)
    measured = all_measured(
        arguments.shape, device, arguments.steps, arguments.micro_batch_tokens, lambda line: print(line, flush=True)
    )
    usual = "llama_step" if (arguments.shape, device.type) == ("7b", "cuda") else f"llama_step_{arguments.shape}"
    write_result(
        arguments.name or usual,
        command=f"python -m benchmarks.llama_step --shape {arguments.shape}",
        settings={**vars(arguments), "batch": BATCH, "longest": LONGEST, "source_per_gpu": SOURCE_SAMPLES_PER_SECOND},
        measured=measured,
    )


if __name__ == "__main__":
    main()
