"""How does pydoc-chat learn to do as it is told? pydoc-gpt, tuned on checkable instructions (notebook 12)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here
from transformers import PreTrainedTokenizerFast

from course_lib.data.alpaca_format import Conversation
from course_lib.data.instruction_tokens import prompt_tokens
from course_lib.data.instructions import mixture
from course_lib.evaluation.instructions import all_together, exact_by_task
from course_lib.generation.answering import greedy_answers
from course_lib.models.gpt import GPT
from course_lib.models.gpt_files import save_gpt
from course_lib.training.instruction import instruction_loader, instruction_loss
from course_lib.training.instruction_rows import InstructionRows
from course_lib.zoo.recipe import Preparation, Recipe

ROWS = 200_000
LOOKED_AT = 300  # conversations of the validation split, while the model learns
MEASURED_ON = 2_000  # conversations of the test split
MOST_TOKENS = 64  # of an answer


def prepare(recipe: Recipe, corpus: DatasetDict, tokenizer: PreTrainedTokenizerFast, model: GPT) -> Preparation:
    """The trained model that tuning begins at, and `ROWS` instructions, or fewer for a trial."""
    few = len(corpus["train"]) < 5_000  # a part of the documentation: a trial
    rows = InstructionRows(
        tokenizer, mixture("train", ROWS // 50 if few else ROWS, corpus["train"]), model.config.context_size
    )
    held_out = mixture("validation", LOOKED_AT, corpus["validation"])

    def evaluate(model: GPT) -> Mapping[str, float]:
        found = answered(model, tokenizer, held_out)
        return {"exact": found["exact_answers"], "stops": found["stops_by_itself"]}

    loader = instruction_loader(rows, recipe.batch_size, int(tokenizer.pad_token_id))
    return Preparation(model, loader, instruction_loss, evaluate)


def answered(
    model: GPT, tokenizer: PreTrainedTokenizerFast, conversations: Sequence[Conversation], batch_size: int = 256
) -> dict[str, float]:
    """Shares of exact greedy answers (by task, and in conversations by turn), and of answers that stop by themselves.

    Each turn is asked with the right answers of earlier turns before it. What is not checkable counts for the stops.
    """
    asked = [(number, each, e) for each in conversations for number, e in enumerate(each.exchanges)]
    prompts = [prompt_tokens(tokenizer, each.exchanges[:n], e.instruction, e.input) for n, each, e in asked]
    answers = greedy_answers(model, tokenizer, prompts, most_tokens=MOST_TOKENS, batch_size=batch_size)
    judged = [
        (answer.text, e.output, e.task if len(each.exchanges) == 1 else f"turn {number + 1}")
        for answer, (number, each, e) in zip(answers, asked, strict=True)
        if e.checkable
    ]
    scores = exact_by_task(*([list(column) for column in zip(*judged, strict=True)] or [[], [], []]))
    return {
        "exact_answers": all_together(scores).share,
        "stops_by_itself": sum(answer.stopped for answer in answers) / len(answers),
        **{f"exact: {task}": score.share for task, score in scores.items()},
    }


def measure(model: GPT, tokenizer: PreTrainedTokenizerFast, corpus: DatasetDict, split: str) -> dict[str, float]:
    """How well instructions are followed whose contents were never trained on."""
    return answered(model, tokenizer, mixture(split, MEASURED_ON, corpus[split]))


def baselines(base: GPT, tokenizer: PreTrainedTokenizerFast, corpus: DatasetDict, split: str) -> dict[str, float]:
    """The same instructions given to the model that tuning began at."""
    found = answered(base, tokenizer, mixture(split, MEASURED_ON, corpus[split]))
    return {f"before_tuning_{name}": found[name] for name in ("exact_answers", "stops_by_itself")}


def save(model: GPT, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the weights in float16, and the token that ends an answer."""
    save_gpt(model, folder, torch.float16, end_token=int(tokenizer.eos_token_id))
