"""A LongT5 learns to answer questions about long documents, alone and in conversations (notebook 09, at any size).

Tryolabs' two schemes (2023): *sequential*, single questions, then conversations, then the own small set; *combined*,
single questions and conversations mixed, then the own set. After each stage the weights with the best F1 go on.

    python -m course_lib.recipes.longt5_cqa --out runs/cqa                         # the atlas, with atlas-longt5
    accelerate launch --num_processes 2 -m course_lib.recipes.longt5_cqa --out runs/cqa \
        --model google/long-t5-tglobal-base --online --data files --squad SQUAD.json --coqa COQA.json \
        --longest 7000 --optimizer adafactor --precision bf16 --checkpointing --batch-size 1 --accumulation 16

The same command goes on where it was killed. A step reads batch size × accumulation × processes rows. In OUT: a folder
for each stage (checkpoints, best weights), `results.json`, and at the end `model`, which `zoo.load` reads.
"""

import argparse
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset, concatenate_datasets
from torch import nn
from transformers import PreTrainedTokenizerFast

from course_lib import zoo
from course_lib.data import atlas, qa_files
from course_lib.data.question_format import LONGEST_HISTORY, MARKS
from course_lib.evaluation.qa import score_coqa, score_squad
from course_lib.generation.reading_answers import answers_to_rows
from course_lib.models.long_t5 import LongT5
from course_lib.models.long_t5_files import save_long_t5
from course_lib.training.answering import NO_ANSWER, OPTIMIZERS, Means, QuestionRows, fine_tune_reader

SCHEMES = ("sequential", "combined")
COLUMNS = ["id", "context", "question", "answers", "history"]


@dataclass(frozen=True)
class Stage:
    """Questions to learn from, and those by which the best weights are chosen."""

    name: str
    train: Dataset
    validation: Dataset


def stages_of(scheme: str, single: Any, talk: Any, own: Any) -> list[Stage]:
    """The stages of a scheme over three sets, each with the splits train and validation. Raises ValueError."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
    sets = {"single": single, "talk": talk, "own": own}
    parts = {
        name: {split: each[split].select_columns(COLUMNS) for split in ("train", "validation")}
        for name, each in sets.items()
    }
    if scheme == "combined":
        mixed = {split: concatenate_datasets([parts["single"][split], parts["talk"][split]]) for split in parts["own"]}
        parts = {"mixed": mixed, "own": parts["own"]}
    return [Stage(name, each["train"], each["validation"]) for name, each in parts.items()]


def judged(said: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """F1 and exact match in percent: SQuAD 2.0's where a question without an answer has no reference, else CoQA's."""
    if all(references):
        overall = score_coqa(said, references)["overall"]
        return {"f1": overall["f1"], "exact": overall["em"]}
    figures = score_squad(["" if text == NO_ANSWER else text for text in said], references)
    return {"f1": figures["f1"], "exact": figures["exact"]}


class Judge:
    """F1 on held-out rows. Several processes share out the rows, and all get the whole figures."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, rows: Dataset, last: int, longest: int, longest_answer: int
    ) -> None:
        self.tokenizer, self.rows = tokenizer, rows.to_list()
        self.last, self.longest, self.longest_answer = last, longest, longest_answer

    def __call__(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, LongT5)
        rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        mine = self.rows[rank::size]
        said = []
        if mine:
            lengths = {"longest": self.longest, "max_new_tokens": self.longest_answer}
            said = answers_to_rows(model, self.tokenizer, mine, last=self.last, **lengths)
        pairs = [*zip(said, [row["answers"] for row in mine], strict=True)]
        pairs = gather_object(pairs) if size > 1 else pairs
        return judged([text for text, _ in pairs], [golds for _, golds in pairs])


def teach_marks(model: LongT5, tokenizer: PreTrainedTokenizerFast) -> int:
    """Give a tokenizer of the hub the marks of the question's form; their rows begin at the mean of all others.

    Returns how many were new. A T5 of the hub has rows to spare. Raises ValueError for a model that has not.
    """
    known = tokenizer.get_vocab()
    missing = [mark for mark in MARKS if mark not in known]
    if not missing:
        return 0
    tokenizer.add_tokens(missing)
    size = model.embedding.num_embeddings
    if len(tokenizer) > size:
        raise ValueError(
            f"the model has {size} rows of embeddings, its tokenizer with the marks {len(tokenizer)} tokens; take a "
            "model with rows to spare, as Google's T5 have them, or one that knows the marks, such as atlas-longt5"
        )
    numbers = tokenizer.convert_tokens_to_ids(missing)
    others = torch.ones(size, dtype=torch.bool)
    others[numbers] = False
    matrices = [model.embedding.weight] if model.config.tied else [model.embedding.weight, model.output.weight]
    with torch.no_grad():
        for matrix in matrices:
            matrix[numbers] = matrix[others].mean(dim=0)
    return len(missing)


def steps_of(rows: int, epochs: float, means: Means) -> int:
    """Steps for so many epochs, the last one rounded up."""
    batch = means.batch_size * means.accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    return max(1, math.ceil(epochs * rows / batch))


def run(
    model: LongT5,
    tokenizer: PreTrainedTokenizerFast,
    stages: Sequence[Stage],
    out: Path,
    *,
    means: Means,
    epochs: Sequence[float],
    evaluations: int = 4,
    last: int = 2,
    longest: int = 2_048,
    longest_answer: int = 32,
    resume: bool = True,
    tell: Any = print,
    **options: Any,
) -> dict[str, Any]:
    """Train stage after stage, and write the model and `results.json`. Returns what is in the latter.

    epochs: of each stage. evaluations: how often each stage is judged. `options` go to `fine_tune_reader`.
    A run that is stopped (Ctrl-C) returns what it has, without a model; the same call goes on.
    """
    first = int(os.environ.get("RANK", "0")) == 0
    tell = tell if first else _silent
    results: dict[str, Any] = {"means": asdict(means), "last": last, "longest": longest, "stages": {}}
    for number, (stage, passes) in enumerate(zip(stages, epochs, strict=True), 1):
        rows = QuestionRows(stage.train.to_list(), tokenizer, last=last, longest=longest, longest_answer=longest_answer)
        steps = steps_of(len(rows), passes, means)
        tell(
            f"stage {number} of {len(stages)}, {stage.name}: {len(rows):,} questions ({rows.shortened} documents cut, "
            f"{rows.dropped} questions dropped), {steps} steps"
        )
        result = fine_tune_reader(
            model,
            rows,
            tokenizer.pad_token_id,
            steps=steps,
            means=means,
            evaluate=Judge(tokenizer, stage.validation, last, longest, longest_answer),
            evaluate_every=max(1, steps // evaluations),
            folder=out / f"{number:02}-{stage.name}",
            description=stage.name,
            resume=resume,
            **options,
        )
        results["stages"][stage.name] = {
            "questions": len(rows),
            "shortened": rows.shortened,
            "dropped": rows.dropped,
            "steps": result.steps_done,
            "losses": result.losses,
            "evaluations": result.evaluations,
        }
        if result.stopped_because != "steps":
            return results
        best = max(result.evaluations, key=lambda each: each["f1"])
        tell(f"  best F1 {best['f1']:.2f} (exact {best['exact']:.2f}) after step {best['step']:.0f}")
    if first:
        save_long_t5(model, out / "model")
        tokenizer.save_pretrained(out / "model")
        (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")
        tell(f"the model is in {out / 'model'}")
    return results


def _silent(*_: Any) -> None:
    pass


def _atlas(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    size = {"train": options.train, "validation": options.validation, "test": 1, "seed": options.seed}
    own = atlas.own_conversations(seed=options.seed)
    return atlas.single_questions(**size), atlas.conversations(**size), own


def _files(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    single = qa_files.divided(qa_files.load_squad2(options.squad), seed=options.seed, together="domain")
    talk = qa_files.load_coqa(options.coqa) if options.coqa else qa_files.load_tryocoqa(options.tryocoqa)
    own = qa_files.load_tryocoqa(options.tryocoqa)
    return single, qa_files.divided(talk, seed=options.seed), qa_files.divided(own, seed=options.seed)


def parser() -> argparse.ArgumentParser:
    """The options, each with its default."""
    made = argparse.ArgumentParser(
        prog="python -m course_lib.recipes.longt5_cqa",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--out", type=Path, required=True, help="folder of this run alone")
    add("--model", default="atlas-longt5", help="of the zoo, a folder, or a LongT5 of the hub")
    add("--weights", choices=("bundled", "random"), default="bundled", help="random: to measure time and memory")
    add("--revision", help="commit of a model of the hub")
    add("--online", action="store_true", help="fetch the model from the hub")
    add("--data", choices=("atlas", "files"), default="atlas", help="files: SQuAD 2.0, CoQA, TryoCoQA")
    add("--squad", type=Path, help="a SQuAD 2.0 file; else the mirror's (COURSE_DATA_DIR)")
    add("--coqa", type=Path, help="a CoQA file; without one, TryoCoQA's conversations take its place")
    add("--tryocoqa", type=Path, help="a TryoCoQA file; else the mirror's")
    add("--train", type=int, default=4_000, help="questions of each atlas set to learn from")
    add("--validation", type=int, default=200, help="and to choose by")
    add("--scheme", choices=SCHEMES, default="sequential")
    add("--last", type=int, default=2, choices=range(LONGEST_HISTORY + 1), help="pairs of the history that are read")
    add("--longest", type=int, default=2_048, help="tokens of document, history and question")
    add("--longest-answer", type=int, default=32, help="tokens")
    add("--epochs", type=float, default=3.0, help="over each set; Tryolabs: 3")
    add("--own-epochs", type=float, default=20.0, help="over the own set; Tryolabs: 166")
    add("--evaluations", type=int, default=4, help="of each stage")
    add("--batch-size", type=int, default=16)
    add("--accumulation", type=int, default=1)
    add("--optimizer", choices=OPTIMIZERS, default="adamw")
    add("--precision", choices=("no", "bf16", "fp16"), default="no")
    add("--checkpointing", action="store_true")
    add("--workers", type=int, default=0)
    add("--pinned", action="store_true")
    add("--learning-rate", type=float, default=5e-4)
    add("--warmup-steps", type=int, default=0)
    add("--seed", type=int, default=0)
    add("--start-over", action="store_true", help="do not go on from an earlier run's checkpoints")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        means = Means(
            options.batch_size,
            options.accumulation,
            options.optimizer,
            options.precision,
            options.checkpointing,
            options.workers,
            options.pinned,
        )
        model, tokenizer = zoo.load(
            options.model, weights=options.weights, revision=options.revision, online=options.online
        )
        if not isinstance(model, LongT5):
            raise ValueError(f"{options.model} is a {type(model).__name__}; this recipe trains a LongT5")
        teach_marks(model, tokenizer)
        stages = stages_of(options.scheme, *(_atlas if options.data == "atlas" else _files)(options))
        run(
            model,
            tokenizer,
            stages,
            options.out,
            means=means,
            epochs=[options.epochs] * (len(stages) - 1) + [options.own_epochs],
            evaluations=options.evaluations,
            last=options.last,
            longest=options.longest,
            longest_answer=options.longest_answer,
            learning_rate=options.learning_rate,
            warmup_steps=options.warmup_steps,
            seed=options.seed,
            resume=not options.start_over,
        )
    except (ValueError, OSError, zoo.ZooError) as error:
        raise SystemExit(f"longt5_cqa: {error}") from error


if __name__ == "__main__":
    main()
