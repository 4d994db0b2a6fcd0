"""How does a text-to-text model learn to answer from a document, on small means? (notebook 09)

The question and what is known of the conversation stand behind the document, and the model writes the answer
(`data.question_format`). The means by which a small machine trains a long reader are those of Tryolabs' blog post
(2023): gradients accumulated over small batches, checkpointing, Adafactor, workers, pinned memory, lower precision.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerFast

from course_lib.data.batching import LengthSortedBatchSampler
from course_lib.data.question_format import encode_question
from course_lib.data.reading_lessons import ReadingBatch, collate
from course_lib.models.long_t5 import LongT5, answer_loss, shifted
from course_lib.training.best import BestWeights
from course_lib.training.loop import TrainingResult, train
from course_lib.training.schedule import warmup_then_linear

OPTIMIZERS = ("adamw", "adafactor")
NO_ANSWER = "unknown"  # what is learned where the document does not tell


class QuestionRows(Dataset):
    """Rows of a set (`context`, `question`, `history`, `answers`) as tokens of the input and of the first answer.

    Too long documents are cut at their end, `shortened` counts them; the question is never cut. Rows whose question
    leaves no room for a document, or whose answer is longer than `longest_answer`, are dropped, and `dropped` counts.
    Raises ValueError if no row is left, and, naming the row, for an empty document or question.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        tokenizer: PreTrainedTokenizerFast,
        *,
        last: int = 2,
        longest: int = 2_048,
        longest_answer: int = 64,
    ) -> None:
        self.shortened = self.dropped = 0
        self.pairs: list[tuple[list[int], list[int]]] = []
        for number, row in enumerate(rows):
            try:
                whole = encode_question(tokenizer, row["context"], row["question"], row["history"], last)
            except ValueError as error:
                raise ValueError(f"row {number} ({row.get('id', 'without id')}): {error}") from error
            answer = tokenizer.encode(row["answers"][0] if row["answers"] else NO_ANSWER)
            cut = whole
            if len(whole) > longest:
                try:
                    cut = encode_question(tokenizer, row["context"], row["question"], row["history"], last, longest)
                except ValueError:
                    cut = []
            if not cut or len(answer) > longest_answer:
                self.dropped += 1
                continue
            self.shortened += len(cut) < len(whole)
            self.pairs.append((cut, answer))
        if not self.pairs:
            raise ValueError(f"none of {len(rows)} rows fits into {longest} tokens; allow more, or fewer pairs")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[list[int], list[int]]:
        return self.pairs[number]


@dataclass(frozen=True)
class Means:
    """By which means the training fits into a machine. A step reads batch_size × accumulation × processes rows.

    optimizer: AdamW keeps two numbers for each weight, Adafactor hardly any (a row and a column for each matrix;
    Shazeer & Stern 2018). precision: "no", "bf16", "fp16". checkpointing: the states inside the blocks are computed
    again instead of kept (Chen et al. 2016). workers: processes that make batches; pinned: their memory can be copied
    to a GPU while it works. Raises ValueError for what is not possible.
    """

    batch_size: int = 8
    accumulation: int = 1
    optimizer: str = "adamw"
    precision: str = "no"
    checkpointing: bool = False
    workers: int = 0
    pinned: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        if self.batch_size < 1 or self.accumulation < 1 or self.workers < 0:
            raise ValueError(
                "batch_size and accumulation must be at least 1 and workers 0 or more, got "
                f"{self.batch_size}, {self.accumulation} and {self.workers}"
            )


def question_loader(rows: QuestionRows, means: Means, pad_token: int, seed: int = 0) -> DataLoader:
    """Batches of questions about documents of similar length. Raises ValueError if the rows do not fill one."""
    lengths = [(len(tokens), len(answer)) for tokens, answer in rows.pairs]
    sampler = LengthSortedBatchSampler(lengths, means.batch_size, seed, drop_last=True)
    if not len(sampler):
        raise ValueError(f"{len(rows)} rows do not fill one batch of {means.batch_size}; take a smaller batch_size")
    return DataLoader(
        rows,
        batch_sampler=sampler,
        collate_fn=_Collate(pad_token),
        num_workers=means.workers,
        pin_memory=means.pinned and torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(seed),
    )


@dataclass(frozen=True)
class _Collate:
    """A function that workers can be sent, as a lambda cannot."""

    pad_token: int

    def __call__(self, rows: Sequence[tuple[list[int], list[int]]]) -> ReadingBatch:
        return collate(rows, self.pad_token)


def reading_loss(model: nn.Module, batch: ReadingBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, of the answers' tokens."""
    return answer_loss(model(batch.tokens, shifted(batch.labels), batch.is_word), batch.labels)


def optimizer_of(model: nn.Module, name: str, learning_rate: float, weight_decay: float = 0.0) -> Optimizer:
    """AdamW or Adafactor over all weights of the model, both torch's own."""
    kinds: dict[str, Any] = {"adamw": torch.optim.AdamW, "adafactor": torch.optim.Adafactor}
    return kinds[name](model.parameters(), lr=learning_rate, weight_decay=weight_decay)


def fine_tune_reader(
    model: LongT5,
    rows: QuestionRows,
    pad_token: int,
    *,
    steps: int,
    means: Means | None = None,
    learning_rate: float = 1e-3,
    warmup_steps: int = 0,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    evaluate_every: int | None = None,
    best_by: str = "f1",
    seed: int = 0,
    folder: str | Path | None = None,
    **options: Any,
) -> TrainingResult:
    """Fine-tune a LongT5 on questions. With `evaluate`, the model ends with the weights that were best by `best_by`.

    folder: for checkpoints, from which the same call goes on, and for the best weights; a run that was complete is not
    run again. `options` go to `train`. Raises ValueError as `train` and `question_loader` do, and if what `evaluate`
    returns lacks `best_by`.
    """
    means = means or Means()
    loader = question_loader(rows, means, pad_token, seed)
    optimizer = optimizer_of(model, means.optimizer, learning_rate)
    best_folder = None if folder is None else Path(folder) / "best"
    best = BestWeights(best_folder, start_over=not options.get("resume", True))
    writes = best_folder is None or int(os.environ.get("RANK", "0")) == 0  # several processes have one folder
    steps_seen = [0]

    def judged(network: nn.Module) -> Mapping[str, float]:
        assert evaluate is not None
        measured = evaluate(network)
        if best_by not in measured:
            names = ", ".join(measured)
            raise ValueError(f"evaluate must return {best_by!r}, by which the best weights are chosen; it has {names}")
        if writes:
            best.see(network, measured[best_by], steps_seen[-1])
        return measured

    checkpointing = model.encoder.checkpointing
    model.use_checkpointing(means.checkpointing)
    try:
        result = train(
            model,
            loader,
            reading_loss,
            steps=steps,
            optimizer=optimizer,
            schedule=warmup_then_linear(optimizer, warmup_steps=warmup_steps, steps=steps),
            accumulation_steps=means.accumulation,
            mixed_precision=means.precision,
            evaluate=judged if evaluate else None,
            evaluate_every=evaluate_every,
            checkpoints=folder and Path(folder) / "checkpoints",
            seed=seed,
            on_step=lambda step, _: steps_seen.append(step),
            **options,
        )
    finally:
        model.use_checkpointing(checkpointing)
    if evaluate and result.stopped_because == "steps":
        # With a folder, read what the first process wrote; it had done so before the last checkpoint, which all await.
        (best if best_folder is None else BestWeights(best_folder)).put_into(model)
    return result
