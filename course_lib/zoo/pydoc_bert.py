"""How does pydoc-bert learn to read Python documentation? By guessing hidden words from both sides (notebook 05)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from transformers import PreTrainedTokenizerFast

from course_lib.data.byte_pairs import BERT_TOKENS, CLASSIFY, SEPARATE, bert_tokenizer
from course_lib.data.masking import NOT_ASKED, DynamicMasking, MaskedBatch, MaskingRule, StaticMasking
from course_lib.data.token_windows import TokenWindows, token_stream
from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel, masked_language_loss
from course_lib.models.bert_files import save_bert
from course_lib.zoo.recipe import Preparation, Recipe

LOOKED_AT = 400  # windows of the validation split, while the model learns


class MarkedWindows(TorchDataset):
    """Windows over a stream of tokens between [CLS] and [SEP]: `window` tokens in all."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], window: int, random_start: bool
    ) -> None:
        marks = torch.tensor(tokenizer.convert_tokens_to_ids([CLASSIFY, SEPARATE]))
        self.first, self.last = marks[:1], marks[1:]
        stream = token_stream(tokenizer, texts, int(self.last))
        self.windows = TokenWindows(stream, window - 2, random_start)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, number: int) -> Int[Tensor, " window"]:
        return torch.cat([self.first, self.windows[number], self.last])


def prepare(recipe: Recipe, corpus: DatasetDict, tokenizer: PreTrainedTokenizerFast) -> Preparation:
    """A fresh model and windows of the train split; other words are hidden at each reading (RoBERTa's way)."""
    assert isinstance(recipe.config, BERTConfig)
    rule = MaskingRule.of(tokenizer)
    rows = MarkedWindows(tokenizer, corpus["train"]["text"], recipe.window, random_start=True)
    masked = DynamicMasking(rule, tokenizer.pad_token_id)
    loader = DataLoader(rows, batch_size=recipe.batch_size, shuffle=True, drop_last=True, collate_fn=masked)
    held_out = held_out_rows(tokenizer, corpus, "validation", recipe.window)

    def evaluate(model: MaskedLanguageModel) -> Mapping[str, float]:
        nats, right, asked = guesses(model, held_out, LOOKED_AT)
        return {"nats": nats / asked, "accuracy": right / asked}

    return Preparation(MaskedLanguageModel(BERT(recipe.config)), loader, loss, evaluate)


def loss(model: nn.Module, batch: MaskedBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy at the hidden places alone; the others are not even scored."""
    assert isinstance(model, MaskedLanguageModel)
    return masked_language_loss(model, batch.tokens, batch.labels, batch.is_word)


def held_out_rows(tokenizer: PreTrainedTokenizerFast, corpus: DatasetDict, split: str, window: int) -> StaticMasking:
    """The windows of a split, the same words hidden at each reading, so that all models are asked the same."""
    rows = MarkedWindows(tokenizer, corpus[split]["text"], window, random_start=False)
    return StaticMasking(rows, MaskingRule.of(tokenizer))


@torch.no_grad()
def guesses(model: MaskedLanguageModel, rows: StaticMasking, most: int | None = None) -> tuple[float, int, int]:
    """The summed -log p of the hidden words in nats, how many were guessed first, and how many there are."""
    device = model.bias.device
    nats, right, asked = 0.0, 0, 0
    chosen = range(min(len(rows), most or len(rows)))
    for batch in DataLoader(rows, sampler=chosen, batch_size=64, collate_fn=rows.collate):
        tokens, labels = batch.tokens.to(device), batch.labels.to(device)
        hidden = labels != NOT_ASKED
        scores = model.scores(model.encoder(tokens).states[hidden]).float()
        nats += float(F.cross_entropy(scores, labels[hidden], reduction="sum"))
        right += int((scores.argmax(-1) == labels[hidden]).sum())
        asked += int(hidden.sum())
    return nats, right, asked


def measure(
    model: MaskedLanguageModel, tokenizer: PreTrainedTokenizerFast, corpus: DatasetDict, split: str
) -> dict[str, float]:
    """How well hidden words of the split are guessed, beside guesses that see no neighbours.

    Always saying the most frequent word of the train split, and each word's frequency there (with one added).
    """
    rows = held_out_rows(tokenizer, corpus, split, model.encoder.config.context_size)
    nats, right, asked = guesses(model, rows)
    counts = MarkedWindows(tokenizer, corpus["train"]["text"], 3, random_start=False).windows.stream.bincount(
        minlength=len(tokenizer)
    )
    counts[list(MaskingRule.of(tokenizer).special_tokens)] = 0
    hidden = torch.cat([labels[labels != NOT_ASKED] for _, labels in (rows[number] for number in range(len(rows)))])
    frequency = (counts + 1.0) / (counts + 1.0).sum()
    # A byte-level token has one character for each of its bytes.
    hidden_bytes = sum(map(len, tokenizer.convert_ids_to_tokens(hidden.tolist())))
    return {
        "masked_bits_per_byte": nats / math.log(2) / hidden_bytes,
        "hidden_words_guessed": right / asked,
        "most_frequent_word_guesses": float((hidden == counts.argmax()).float().mean()),
        "nats_per_hidden_word": nats / asked,
        "nats_by_frequency_alone": float(-frequency[hidden].log().mean()),
    }


def save(model: MaskedLanguageModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the weights in float16. Padding is token 0 in our tokenizer, as transformers takes for granted."""
    assert tokenizer.pad_token_id == 0
    save_bert(model, folder, torch.float16)


RECIPE = Recipe(
    name="pydoc-bert",
    summary="A small BERT that has read the documentation of Python and of the packages that the course stands on. It "
    "guesses words behind [MASK] from both sides, and is the start for fine-tuned classifiers.",
    cannot=(
        "It writes no text: it fills gaps. Its guesses are what docstrings usually say, not what is true.",
        "Untuned, its [CLS] state says little about a text: it has guessed hidden words, and nothing else.",
        "It reads 128 tokens at a time and knows nothing but the English of manuals.",
    ),
    config=BERTConfig(4096, context_size=128, blocks=6, heads=6, embedding_size=192, inner_size=768, dropout=0.0),
    special_tokens=BERT_TOKENS,
    wrap=bert_tokenizer,
    prepare=prepare,
    measure=measure,
    save=save,
    steps=4_200,
    batch_size=128,
    window=128,
    learning_rate=1e-3,
    warmup_steps=420,
    betas=(0.9, 0.98),
    evaluate_every=525,
)
