"""How does atlas-longt5 learn to answer from a document? In lessons, from copying to conversations (notebook 09)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from course_lib.data import atlas, pydocs
from course_lib.data.atlas_facts import countries
from course_lib.data.atlas_sheets import draw_sheet
from course_lib.data.atlas_talk import UNKNOWN, Manner, draw_conversation
from course_lib.data.byte_pairs import train_byte_pairs
from course_lib.data.question_format import T5_TOKENS, t5_tokenizer
from course_lib.data.reading_lessons import Lesson, ReadingBatch, ReadingLessons
from course_lib.data.token_windows import token_stream
from course_lib.evaluation.qa import score_coqa, score_squad
from course_lib.generation.reading_answers import answers_to_rows
from course_lib.models.long_t5 import LongT5, LongT5Config, answer_loss, shifted, start_with_neighbours
from course_lib.models.long_t5_files import save_long_t5
from course_lib.zoo.recipe import Preparation, Recipe

LOOKED_AT = 100  # questions of each set, while the model learns
SHEETS_FOR_THE_TOKENIZER = 3_000
QUESTIONS = 500  # of each set, for the card
LONGEST_ANSWER = 24  # tokens
LAST = 2  # pairs of the history, as Tryolabs' model reads

TEXT_BYTES = 600_000  # of each origin: there is enough to copy from, and it is soon tokenised

# What a tiny model learns in this order within an hour or two on two cores. Sheets of more countries, or all of this at
# once, and it learns nothing for thousands of steps.
LESSONS = (
    Lesson("repeating", 0.05, text=1.0, tasks=("repeat",)),
    Lesson("copying", 0.05, text=1.0, tasks=("repeat", "copy")),
    Lesson("a few facts", 0.12, text=0.05, facts=(1, 4), manner=Manner(unknown=0.0, reverse=0.0)),
    Lesson("one country", 0.13, facts=(4, 8), manner=Manner(unknown=0.1, reverse=0.0)),
    Lesson("a few facts of several", 0.15, places=(2, 4), facts=(1, 3), manner=Manner(unknown=0.05, reverse=0.0)),
    Lesson("several countries", 0.15, places=(1, 3), facts=(4, 8), talk=0.3, manner=Manner(unknown=0.15)),
    Lesson(
        "conversations",
        0.35,
        places=(1, 4),
        facts=(4, 8),
        talk=0.7,
        last=(2, 2, 2, 1, 4),
        manner=Manner(unknown=0.15, check=0.05),
    ),
)


def documentation(bytes_per_origin: int | None) -> DatasetDict:
    """The text to copy from: that of Python's own library, which is on every machine."""
    return pydocs.load_pydocs(("topics", "stdlib"), bytes_per_origin or TEXT_BYTES)


def version(corpus: DatasetDict) -> str:
    """Names the sheets and the text."""
    return f"{atlas.version()}; {pydocs.version(corpus)}"


def texts_to_tokenize(corpus: DatasetDict) -> Iterator[str]:
    """What the byte pairs are learned from: sheets and questions about the countries of the train split, then docs."""
    random, domain = Random("texts for byte pairs"), countries()
    for _ in range(SHEETS_FOR_THE_TOKENIZER):
        sheet = draw_sheet(domain, random.sample(domain.subjects["train"], 1), random, (5, len(domain.attributes)))
        yield f" {sheet.text}"
        for turn in draw_conversation(sheet, 4, random, Manner()):
            yield f" {turn.question}"
    yield from corpus["train"]["text"]


def pairs(recipe: Recipe, corpus: DatasetDict) -> Tokenizer:
    """Byte pairs of the sheets and the text, so that an atlas's frequent words are one token each."""
    return train_byte_pairs(texts_to_tokenize(corpus), recipe.config.vocabulary_size, recipe.special_tokens)


def prepare(recipe: Recipe, corpus: DatasetDict, tokenizer: PreTrainedTokenizerFast) -> Preparation:
    """A fresh model and its lessons, batch after batch in their order."""
    assert isinstance(recipe.config, LongT5Config)
    loader = lessons_loader(tokenizer, corpus, recipe.steps, recipe.batch_size * recipe.window)
    single = atlas.single_questions(1, LOOKED_AT, 1)["validation"]
    talk = atlas.conversations(1, LOOKED_AT, 1)["validation"]

    def evaluate(model: LongT5) -> Mapping[str, float]:
        return {
            "single_f1": squad_figures(model, tokenizer, single)["f1"],
            "talk_f1": coqa_figures(model, tokenizer, talk)["f1"],
        }

    model = LongT5(recipe.config)
    start_with_neighbours(model)
    return Preparation(model, loader, loss, evaluate)


def lessons_loader(
    tokenizer: PreTrainedTokenizerFast,
    corpus: DatasetDict,
    steps: int,
    tokens: int,
    lessons: Sequence[Lesson] = LESSONS,
) -> DataLoader:
    """The batches of `steps` steps. Where there are many cores, workers make them: a batch takes some 60 ms."""
    stream = token_stream(tokenizer, corpus["train"]["text"], int(tokenizer.eos_token_id))
    batches = ReadingLessons(tokenizer, countries(), stream, lessons, steps, tokens)
    cores = os.cpu_count() or 1
    workers = min(12, cores - 2) if cores >= 8 else 0
    return DataLoader(batches, batch_size=None, shuffle=False, num_workers=workers)


def loss(model: nn.Module, batch: ReadingBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, of the answers' tokens."""
    return answer_loss(model(batch.tokens, shifted(batch.labels), batch.is_word), batch.labels)


def answers(
    model: LongT5, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Mapping[str, Any]], last: int = LAST
) -> list[str]:
    """The model's answers to rows of an Atlas set, with the `last` pairs of their history."""
    return answers_to_rows(model, tokenizer, rows, last=last, max_new_tokens=LONGEST_ANSWER)


def squad_figures(model: LongT5, tokenizer: PreTrainedTokenizerFast, questions: Dataset) -> dict[str, float]:
    """SQuAD 2.0's figures on single questions; "unknown" is what this model says where there is no answer."""
    rows = questions.to_list()
    said = ["" if answer == UNKNOWN else answer for answer in answers(model, tokenizer, rows)]
    return score_squad(said, [row["answers"] for row in rows])


def coqa_figures(
    model: LongT5, tokenizer: PreTrainedTokenizerFast, questions: Dataset, last: int = LAST
) -> dict[str, float]:
    """CoQA's figures on conversations, each question with the `last` pairs before it."""
    rows = questions.to_list()
    return score_coqa(answers(model, tokenizer, rows, last), [row["answers"] for row in rows])["overall"]


def measure(model: LongT5, tokenizer: PreTrainedTokenizerFast, corpus: DatasetDict, split: str) -> dict[str, float]:
    """F1 and exact match, in percent, about countries of which the model has read nothing.

    On sheets of 1, 2-3, 4-6 and 10 countries, in conversations, and on follow-ups with and without history.
    """
    measured: dict[str, float] = {}
    for name, places in (("1", (1,)), ("2_to_3", (2, 3)), ("4_to_6", (4, 5, 6)), ("10", (10,))):
        rows = _of_split(atlas.single_questions, split, QUESTIONS, places=places)
        figures = squad_figures(model, tokenizer, rows)
        measured[f"f1_of_{name}_countries"] = figures["f1"]
        measured[f"exact_of_{name}_countries"] = figures["exact"]
        measured[f"unanswerable_found_of_{name}_countries"] = figures["NoAns_exact"]
    talk = _of_split(atlas.conversations, split, QUESTIONS)
    follow_ups = talk.filter(lambda row: row["needs"] > 0)
    measured["f1_of_conversations"] = coqa_figures(model, tokenizer, talk)["f1"]
    for last in (2, 1, 0):
        measured[f"f1_of_follow_ups_with_history_{last}"] = coqa_figures(model, tokenizer, follow_ups, last)["f1"]
    return measured


def beside(corpus: DatasetDict, split: str) -> dict[str, float]:
    """F1 in conversations of two answers that need no model: the question itself, the document's first sentence."""
    talk = _of_split(atlas.conversations, split, QUESTIONS)
    golds = talk["answers"][:]
    firsts = [f"{context.split('. ')[0]}." for context in talk["context"]]
    return {
        "f1_of_the_question_itself": score_coqa(talk["question"][:], golds)["overall"]["f1"],
        "f1_of_the_first_sentence": score_coqa(firsts, golds)["overall"]["f1"],
    }


def _of_split(make: Any, split: str, questions: int, **options: Any) -> Dataset:
    sizes = {"train": 1, "validation": 1, "test": 1, split: questions}
    return make(**sizes, seed=1, **options)[split]


def save(model: LongT5, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the weights in float16. Padding, token 0, also starts an answer; `</s>`, token 1, ends it."""
    assert tokenizer.pad_token_id == 0
    assert tokenizer.eos_token_id == 1
    save_long_t5(model, folder, torch.float16)


RECIPE = Recipe(
    name="atlas-longt5",
    summary="A small LongT5 (transient-global attention) that answers questions from fact sheets about countries, "
    "alone and in conversations. All facts in the sheets that it has learned from were made up, so it reads, and knows "
    "nothing by heart; it is the start for fine-tuning on other documents.",
    cannot=(
        "It answers from sheets of short statements alone; other prose, and questions put in other words, it has not "
        "seen.",
        "It copies or says 'unknown', 'yes' and 'no': it does not reckon, compare, summarise or explain.",
        "It has read up to four countries' facts at a time (some 500 tokens), and mostly two pairs of a history.",
    ),
    config=LongT5Config(
        vocabulary_size=2_048,
        embedding_size=128,
        encoder_blocks=3,
        decoder_blocks=2,
        heads=4,
        head_size=32,
        inner_size=256,
        block=64,  # half of LongT5's: statements are short, and most sheets fit into a few blocks
        tied=True,
        scaled_output=True,
        context_size=2_048,
    ),
    special_tokens=T5_TOKENS,
    wrap=t5_tokenizer,
    prepare=prepare,
    measure=measure,
    save=save,
    steps=4_500,
    batch_size=32,  # of 256 tokens; sheets are longer or shorter, and then there are fewer or more in a batch
    window=256,
    learning_rate=1e-3,
    warmup_steps=200,
    betas=(0.9, 0.98),
    weight_decay=0.01,
    evaluate_every=500,
    checkpoint_every=250,
    corpus=documentation,
    version=version,
    pairs=pairs,
    beside=beside,
)
