"""What does it matter how pydoc-gpt is tuned on instructions? All weights or LoRA, with conversations or without.

Each way makes the same number of steps from the same start, and is asked the same held-out instructions (exact answers,
in conversations by turn); before them, the model as it was.

    python -m benchmarks.instruction_tuning --steps 4000        # on a GPU about a minute a way
    python -m benchmarks.instruction_tuning --steps 4000 --ways lora --lora-rate 0.005

- full: all weights, on `pydoc-chat`'s mixture
- lora: rank 3 beside all matrices of the blocks, on the same rows
- single_turns: all weights, on instructions of one turn alone: what happens at the third turn?
- on_inputs: all weights, the prompts' tokens are learned too
"""

import argparse
import time
from typing import Any

import torch
from torch import nn

from benchmarks.writing import write_result
from course_lib import zoo
from course_lib.data import pydocs
from course_lib.data.instructions import mixture
from course_lib.training.instruction import instruction_loader, instruction_loss
from course_lib.training.instruction_rows import InstructionRows
from course_lib.training.loop import train
from course_lib.training.lora import add_lora, lora_parameters, merge_lora, trained_share
from course_lib.training.schedule import warmup_then_cosine
from course_lib.zoo.pydoc_chat import RECIPE, answered

TARGETS = ("query_key_value", "output_projection", "expand", "contract")
RANK, ALPHA = 3, 6
WAYS = ("full", "lora", "single_turns", "on_inputs")


def tuned(way: str, rows: InstructionRows, arguments: argparse.Namespace, precision: str) -> tuple[nn.Module, dict]:
    """The model after tuning in one of the WAYS, and what that took."""
    torch.manual_seed(arguments.seed)
    model, tokenizer = zoo.load("pydoc-gpt")
    if way == "lora":
        add_lora(model, TARGETS, rank=RANK, alpha=ALPHA)
        optimizer = torch.optim.AdamW(lora_parameters(model), lr=arguments.lora_rate, weight_decay=0.0)
    else:
        optimizer = RECIPE.optimizer(model)
    share = trained_share(model)
    states = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    steps = arguments.steps
    began = time.perf_counter()
    result = train(
        model,
        instruction_loader(rows, arguments.batch_size, int(tokenizer.pad_token_id), arguments.seed),
        instruction_loss,
        steps=steps,
        optimizer=optimizer,
        schedule=warmup_then_cosine(optimizer, warmup_steps=RECIPE.warmup(steps), steps=steps),
        mixed_precision=precision,
        seed=arguments.seed,
        description=way,
    )
    seconds = time.perf_counter() - began
    if way == "lora":
        merge_lora(model)
    last = result.losses[-100:]
    return model, {
        "trained_share": round(share, 4),
        "optimizer_numbers": 2 * states,
        "seconds": round(seconds, 1),
        "steps_per_second": round(steps / seconds, 1),
        "last_loss": round(sum(last) / len(last), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--batch-size", type=int, default=RECIPE.batch_size)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=1_000, help="conversations of the test split")
    parser.add_argument("--lora-rate", type=float, default=1e-2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS[:3]))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    gpu = torch.cuda.is_available()
    corpus = pydocs.load_pydocs()
    base, tokenizer = zoo.load("pydoc-gpt", device="cuda" if gpu else "cpu")
    mixed = mixture("train", arguments.rows, corpus["train"], arguments.seed)
    single = [each for each in mixed if len(each.exchanges) == 1]
    test = mixture("test", arguments.asked, corpus["test"])
    context = base.config.context_size
    measured: dict[str, Any] = {"before": answered(base, tokenizer, test)}
    for way in arguments.ways:
        rows = InstructionRows(
            tokenizer, single if way == "single_turns" else mixed, context, train_on_inputs=way == "on_inputs"
        )
        model, took = tuned(way, rows, arguments, "bf16" if gpu else "no")
        measured[way] = {**took, **answered(model, tokenizer, test)}  # type: ignore[arg-type]
        print(way, measured[way], flush=True)
    if {"full", "lora"} <= measured.keys():
        measured["lora_to_full"] = measured["lora"]["exact_answers"] / max(measured["full"]["exact_answers"], 1e-9)
    write_result(
        "instruction_tuning" if gpu else "instruction_tuning_cpu",
        command="python -m benchmarks.instruction_tuning",
        settings={**vars(arguments), "lora": {"targets": TARGETS, "rank": RANK, "alpha": ALPHA}},
        measured=measured,
    )


if __name__ == "__main__":
    main()
