"""How does pydoc-chat learn to do as it is told? pydoc-gpt, tuned on checkable instructions (notebook 12)."""

from collections.abc import Mapping, Sequence

import torch
from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here
from transformers import PreTrainedTokenizerFast

from course_lib.data import pydocs
from course_lib.data.alpaca_format import Conversation
from course_lib.data.byte_pairs import END_OF_TEXT, gpt_tokenizer
from course_lib.data.instruction_tokens import prompt_tokens
from course_lib.data.instructions import INSTRUCTIONS_VERSION, mixture
from course_lib.evaluation.instructions import all_together, exact_by_task
from course_lib.generation.answering import greedy_answers
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.training.instruction import instruction_loader, instruction_loss
from course_lib.training.instruction_rows import InstructionRows
from course_lib.zoo import pydoc_gpt
from course_lib.zoo.loading import load
from course_lib.zoo.recipe import Preparation, Recipe, pairs_of_the_parent

BASE = "pydoc-gpt"
TRIAL = 5_000  # fewer documents than this are a part of the documentation, taken for a trial
ROWS = 200_000
LOOKED_AT = 300  # conversations of the validation split, while the model learns
MEASURED_ON = 2_000  # conversations of the test split
MOST_TOKENS = 64  # of an answer


def prepare(recipe: Recipe, corpus: DatasetDict, tokenizer: PreTrainedTokenizerFast) -> Preparation:
    """The trained model that tuning begins at, and `ROWS` instructions, or few for a trial."""
    base, _ = load(BASE)
    count = ROWS if len(corpus["train"]) > TRIAL else ROWS // 100
    rows = InstructionRows(tokenizer, mixture("train", count, corpus["train"]), recipe.window)
    held_out = mixture("validation", LOOKED_AT, corpus["validation"])

    def evaluate(model: GPT) -> Mapping[str, float]:
        found = answered(model, tokenizer, held_out)
        return {"exact_answers": found["exact_answers"], "stops_by_itself": found["stops_by_itself"]}

    loader = instruction_loader(rows, recipe.batch_size, int(tokenizer.pad_token_id))
    return Preparation(base, loader, instruction_loss, evaluate)


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


def before_tuning(corpus: DatasetDict, split: str) -> dict[str, float]:
    """The same instructions given to the model that tuning began at."""
    base, tokenizer = load(BASE, device="cuda" if torch.cuda.is_available() else "cpu")
    found = measure(base, tokenizer, corpus, split)
    return {f"before_tuning_{name}": found[name] for name in ("exact_answers", "stops_by_itself")}


def version(corpus: DatasetDict) -> str:
    """Names the instructions: what draws them, and the documentation that some of them are about."""
    return f"instructions {INSTRUCTIONS_VERSION} ({ROWS:,} drawn), with {pydocs.version(corpus)}"


RECIPE = Recipe(
    name="pydoc-chat",
    summary="pydoc-gpt, tuned to follow instructions in Alpaca's format: it reverses, sorts, counts and edits lists of "
    "words, answers about docstrings, and keeps a short conversation about a list. Each answer ends by itself.",
    cannot=(
        "It does not reckon, and seldom finds a value in a table: it was taught to add, subtract and look up, and "
        "mostly gets these wrong.",
        "It knows the tasks of course_lib.data.checkable_tasks in about the wordings given there, over the words "
        "listed there; other requests get an answer of one of these kinds.",
        "Asked what a function does, it makes up a plausible sentence: its answers there are not checked.",
        "It reads 256 tokens at a time, some five turns of a conversation, and does not know what it is or who asks.",
    ),
    config=GPTConfig(vocabulary_size=4096, context_size=256, blocks=6, heads=6, embedding_size=192),
    special_tokens=(END_OF_TEXT,),
    wrap=gpt_tokenizer,
    prepare=prepare,
    measure=measure,
    save=pydoc_gpt.save,
    steps=3_300,
    batch_size=128,
    window=256,
    learning_rate=1.5e-3,
    warmup_steps=200,
    betas=(0.9, 0.95),
    full_windows=False,
    evaluate_every=825,
    version=version,
    pairs=pairs_of_the_parent,
    parents=(BASE,),
    beside=before_tuning,
)
