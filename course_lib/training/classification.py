"""How does a pre-trained model learn a task of its own? Fine-tuning a classifier of texts (notebooks 05, 06)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from course_lib.data.batching import LengthSortedBatchSampler, of_similar_length
from course_lib.models.bert import BERT, BERTConfig, Classifier, MaskedLanguageModel, start_small
from course_lib.models.modes import evaluating
from course_lib.training.loop import LossFunction, TrainingResult, train
from course_lib.training.schedule import warmup_then_linear

LabelledRow = tuple[Int[Tensor, " _"], int]


@dataclass
class LabelledBatch:
    """Texts padded to one length, where there are words, and each text's label."""

    tokens: Int[Tensor, "batch length"]
    is_word: Bool[Tensor, "batch length"]
    labels: Int[Tensor, "batch"]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "LabelledBatch":
        """The same batch on another device."""
        moved = (part.to(device, non_blocking=non_blocking) for part in (self.tokens, self.is_word, self.labels))
        return LabelledBatch(*moved)


def labelled_rows(dataset: Dataset, tokenizer: PreTrainedTokenizerFast, longest: int) -> list[LabelledRow]:
    """Each text as `[CLS] text [SEP]`, cut to `longest` tokens, with its label: columns `text` and `label`.

    Raises ValueError for a limit that leaves no room for a word, or a dataset without rows.
    """
    if longest < 3:
        raise ValueError(f"longest must be at least 3, [CLS], a word and [SEP], got {longest}")
    if not len(dataset):
        raise ValueError("the dataset has no rows to learn from or to judge")
    encoded = tokenizer(
        list(dataset["text"]), truncation=True, max_length=longest, return_attention_mask=False, verbose=False
    )["input_ids"]
    return [(torch.tensor(ids), int(label)) for ids, label in zip(encoded, dataset["label"], strict=True)]


def labelled_batch(rows: Sequence[LabelledRow], pad_token: int = 0) -> LabelledBatch:
    """Pads rows at the end into one batch. Raises ValueError if there is none."""
    if not rows:
        raise ValueError("a batch needs at least one text")
    tokens = nn.utils.rnn.pad_sequence([row for row, _ in rows], batch_first=True, padding_value=pad_token)
    lengths = torch.tensor([len(row) for row, _ in rows])
    return LabelledBatch(
        tokens, torch.arange(tokens.shape[1]) < lengths[:, None], torch.tensor([label for _, label in rows])
    )


def labelled_loader(
    rows: Sequence[LabelledRow], batch_size: int, seed: int = 0, shuffle: bool = True, pad_token: int = 0
) -> DataLoader:
    """Batches of texts of similar length; without `shuffle` in the rows' own order."""
    sampler = LengthSortedBatchSampler([(len(row), 0) for row, _ in rows], batch_size, seed, shuffle, shuffle)
    if not len(sampler):
        raise ValueError(f"{len(rows)} texts do not fill one batch of {batch_size}; take a smaller batch_size")
    return DataLoader(
        rows,  # type: ignore[arg-type]  # a list is a map-style dataset
        batch_sampler=sampler,
        collate_fn=lambda batch: labelled_batch(batch, pad_token),
        generator=torch.Generator().manual_seed(seed),
    )


def pretrained_classifier(model: MaskedLanguageModel, labels: int) -> Classifier:
    """A new head on a copy of a pre-trained encoder, which itself stays as it is."""
    return Classifier(copy.deepcopy(model.encoder), labels)


def untrained_classifier(config: BERTConfig, labels: int) -> Classifier:
    """The same architecture with BERT's random initial weights: what pre-training has to beat."""
    encoder = BERT(config)
    encoder.apply(start_small)
    return Classifier(encoder, labels)


def label_loss(
    model: nn.Module, batch: LabelledBatch
) -> tuple[Float[Tensor, ""], Mapping[str, float | Float[Tensor, ""]]]:
    """Mean cross-entropy of the right label, in nats, and the share of the batch that is right.

    The model is a `Classifier`, bare or wrapped for several processes.
    """
    logits = model(batch.tokens, batch.is_word)
    right = (logits.argmax(-1) == batch.labels).float().mean()
    return F.cross_entropy(logits, batch.labels), {"accuracy": right}


def fine_tune(
    model: Classifier,
    rows: Sequence[LabelledRow],
    *,
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.01,
    seed: int = 0,
    loss: LossFunction = label_loss,
    **options: Any,
) -> TrainingResult:
    """Train all weights, encoder and head, on labelled rows; `options` go to `course_lib.training.loop.train`.

    AdamW, a tenth of the steps to warm up, then linear decay to 0. Source: Devlin et al. 2019, appendix A.3, where
    the learning rate is 2e-5 to 5e-5 for models a hundred times as large.
    """
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]  # biases and norms
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}], lr=learning_rate
    )
    schedule = warmup_then_linear(optimizer, warmup_steps=steps // 10, steps=steps)
    loader = labelled_loader(rows, batch_size, seed)
    return train(model, loader, loss, steps=steps, optimizer=optimizer, schedule=schedule, seed=seed, **options)


@torch.no_grad()
def predicted_labels(model: Classifier, rows: Sequence[LabelledRow], batch_size: int = 64) -> list[int]:
    """The most probable label of each row, in their order, in evaluation mode."""
    device = next(model.parameters()).device
    said = [0] * len(rows)
    with evaluating(model):
        for group in of_similar_length([len(tokens) for tokens, _ in rows], batch_size):
            batch = labelled_batch([rows[number] for number in group]).to(device)
            for number, label in zip(group, model(batch.tokens, batch.is_word).argmax(-1).tolist(), strict=True):
                said[number] = label
    return said


def judged(
    model: Classifier, rows: Sequence[LabelledRow], measure: Callable[[Sequence[int], Sequence[int]], float]
) -> float:
    """A measure, such as `accuracy`, of what the model says of the rows."""
    return measure(predicted_labels(model, rows), [label for _, label in rows])
