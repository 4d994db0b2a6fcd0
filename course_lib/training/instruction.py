"""How does a language model learn to follow instructions? By guessing responses alone (notebook 12).

The network, the loss and the loop are those of pre-training; what differs is which tokens count. Source: Taori et al.
2023 (Stanford Alpaca), train.py; Wei et al. 2022 (FLAN), section 2.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from course_lib.data.batching import LengthSortedBatchSampler
from course_lib.data.masking import NOT_ASKED
from course_lib.models.gpt import GPT
from course_lib.models.packing import places_in_documents, within_documents
from course_lib.training.instruction_rows import InstructionRows, Row


@dataclass
class InstructionBatch:
    """Rows of one length. Labels are tokens where a token is to be guessed, NOT_ASKED elsewhere.

    is_word: given for rows padded on the left, None for those padded on the right, where the padding comes after all
    that reads. documents: given for packed rows: the number of each token's text, -1 for padding.
    """

    tokens: Int[Tensor, "batch length"]
    labels: Int[Tensor, "batch length"]
    is_word: Bool[Tensor, "batch length"] | None = None
    documents: Int[Tensor, "batch length"] | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "InstructionBatch":
        """The same batch on another device."""

        def moved(part: Tensor | None) -> Any:
            return part if part is None else part.to(device, non_blocking=non_blocking)

        return InstructionBatch(moved(self.tokens), moved(self.labels), moved(self.is_word), moved(self.documents))


def padded_batch(rows: Sequence[Row], pad_token: int, side: str = "right") -> InstructionBatch:
    """Rows padded to the longest. The mask comes from the rows' lengths, never from looking for the padding token.

    (Where that is the end token, as in GPT-2, looking for it would take the end of each response for padding.)
    Raises ValueError for no rows, or another side.
    """
    if not rows:
        raise ValueError("a batch needs at least one row")
    if side not in ("right", "left"):
        raise ValueError(f"side must be 'right' or 'left', got {side!r}")
    pad = nn.utils.rnn.pad_sequence
    tokens = pad([tokens for tokens, _ in rows], True, pad_token, side)
    labels = pad([labels for _, labels in rows], True, NOT_ASKED, side)
    if side == "right":
        return InstructionBatch(tokens, labels)
    lengths = torch.tensor([len(tokens) for tokens, _ in rows])
    is_word = torch.arange(tokens.shape[1]) >= tokens.shape[1] - lengths[:, None]
    return InstructionBatch(tokens, labels, is_word=is_word)


def packed_batch(packs: Sequence[Sequence[Row]], pad_token: int, length: int | None = None) -> InstructionBatch:
    """Each pack's rows one behind the other in one row, padded to the longest pack or to `length`.

    Raises ValueError for no packs, an empty one, or one that is longer than `length`.
    """
    if not packs or not all(packs):
        raise ValueError("a packed batch needs at least one row in each pack")
    joined = [(torch.cat([row[0] for row in pack]), torch.cat([row[1] for row in pack])) for pack in packs]
    documents = [torch.cat([torch.full((len(row[0]),), number) for number, row in enumerate(pack)]) for pack in packs]
    longest = max(len(tokens) for tokens, _ in joined)
    if length is not None:
        if longest > length:
            raise ValueError(f"a pack has {longest} tokens, more than the length of {length}; see packs_of")
        padding = torch.zeros(length, dtype=torch.long)
        joined.append((padding, padding))
        documents.append(padding)
    pad = nn.utils.rnn.pad_sequence
    count = len(packs)
    return InstructionBatch(
        pad([tokens for tokens, _ in joined], True, pad_token)[:count],
        pad([labels for _, labels in joined], True, NOT_ASKED)[:count],
        documents=pad(documents, True, -1)[:count],
    )


def packs_of(lengths: Sequence[int], longest: int) -> list[list[int]]:
    """Row numbers in packs of at most `longest` tokens, first-fit decreasing: long rows first, each into the first gap.

    Source: Johnson 1974; the number of packs is at most 11/9 of the best possible, and 2/3 more.
    Raises ValueError for a row that is longer than a pack.
    """
    if lengths and max(lengths) > longest:
        raise ValueError(f"a row of {max(lengths)} tokens does not fit into packs of {longest}")
    # Gaps by their size, so that finding one costs `longest` looks at most, whatever the number of packs.
    gaps: list[list[int]] = [[] for _ in range(longest + 1)]
    packs: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        gap = next((size for size in range(lengths[row], longest + 1) if gaps[size]), None)
        if gap is None:
            packs.append([])
            gap, pack = longest, len(packs) - 1
        else:
            pack = gaps[gap].pop()
        packs[pack].append(row)
        gaps[gap - lengths[row]].append(pack)
    return packs


class PackedRows(torch.utils.data.Dataset):
    """Rows in packs of at most `longest` tokens; an item is a pack, and `packed_batch` collates them."""

    def __init__(self, rows: InstructionRows, longest: int) -> None:
        self.rows, self.longest, self.packs = rows, longest, packs_of(rows.lengths, longest)

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, number: int) -> list[Row]:
        return [self.rows[row] for row in self.packs[number]]


def instruction_loader(
    rows: InstructionRows, batch_size: int, pad_token: int, seed: int = 0, shuffle: bool = True
) -> DataLoader:
    """Batches of rows of similar length, padded on the right; without `shuffle` in the rows' own order.

    Raises ValueError if the rows do not fill one batch.
    """
    sampler = LengthSortedBatchSampler([(length, 0) for length in rows.lengths], batch_size, seed, shuffle, shuffle)
    if not len(sampler):
        raise ValueError(f"{len(rows)} rows do not fill one batch of {batch_size}; take a smaller batch_size")
    return DataLoader(
        rows,
        batch_sampler=sampler,
        collate_fn=lambda batch: padded_batch(batch, pad_token),
        generator=torch.Generator().manual_seed(seed),
    )


def packed_loader(rows: InstructionRows, batch_size: int, longest: int, pad_token: int, seed: int = 0) -> DataLoader:
    """Batches of packed rows, in an order that is drawn anew in each epoch."""
    return DataLoader(
        PackedRows(rows, longest),
        batch_size=batch_size,
        shuffle=True,
        collate_fn=lambda packs: packed_batch(packs, pad_token, longest),
        generator=torch.Generator().manual_seed(seed),
    )


def instruction_loss(model: nn.Module, batch: InstructionBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, of the tokens that are asked, each given all before it in its own text.

    `model` is the course's GPT or a causal model of transformers.
    """
    logits = logits_of(model, batch)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch.labels[:, 1:].flatten(), ignore_index=NOT_ASKED)


def logits_of(model: nn.Module, batch: InstructionBatch) -> Float[Tensor, "batch length vocabulary"]:
    """The model's scores, each text read by itself however the batch was made."""
    inner = getattr(model, "module", model)  # wrapped for several processes
    if isinstance(inner, GPT):
        return model(batch.tokens, is_word=batch.is_word, documents=batch.documents).logits
    options: dict[str, Any] = {}
    if batch.documents is not None:
        # True: may look. transformers takes a mask of four dimensions as it is, in all its attention kernels but flash.
        options = {
            "attention_mask": within_documents(batch.documents),
            "position_ids": places_in_documents(batch.documents),
        }
    elif batch.is_word is not None:
        places = (batch.is_word.long().cumsum(dim=1) - 1).clamp(min=0)
        options = {"attention_mask": batch.is_word.long(), "position_ids": places}
    return model(input_ids=batch.tokens, use_cache=False, **options).logits
