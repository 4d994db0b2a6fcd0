"""A small corpus, tiny recipes, and an empty place for checkpoints in which tests put what they need."""

from dataclasses import replace

import pytest
import torch
from datasets import Dataset, DatasetDict

from course_lib.data.byte_pairs import BERT_TOKENS, END_OF_TEXT, save_byte_pairs, train_byte_pairs
from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
from course_lib.models.bert_files import save_bert
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.gpt_files import save_gpt
from course_lib.zoo import cards, pydoc_bert, pydoc_gpt
from course_lib.zoo.cards import LOADED_FILES, Card, fingerprint

VOCABULARY, CONTEXT = 320, 16
GPT_SIZES = GPTConfig(vocabulary_size=VOCABULARY, context_size=CONTEXT, blocks=1, heads=2, embedding_size=16)
BERT_SIZES = BERTConfig(VOCABULARY, CONTEXT, blocks=1, heads=2, embedding_size=16, inner_size=32, dropout=0.0)


def documents() -> list[str]:
    kinds = (str, bytes, list, dict, set, int, float)
    return [
        f"{kind.__name__}.{name}\n{getattr(kind, name).__doc__}"
        for kind in kinds
        for name in sorted(vars(kind))
        if getattr(kind, name).__doc__
    ]


@pytest.fixture(scope="session")
def corpus():
    texts = documents()
    parts = {"validation": texts[::10], "test": texts[1::10], "train": [t for i, t in enumerate(texts) if i % 10 > 1]}
    return DatasetDict({split: Dataset.from_dict({"text": part}) for split, part in parts.items()})


@pytest.fixture
def gpt_recipe():
    few = {"steps": 20, "batch_size": 4, "evaluate_every": 10, "checkpoint_every": 5}
    return replace(pydoc_gpt.RECIPE, config=GPT_SIZES, window=CONTEXT + 1, **few)


@pytest.fixture
def bert_recipe():
    few = {"steps": 20, "batch_size": 4, "evaluate_every": 10, "checkpoint_every": 5}
    return replace(pydoc_bert.RECIPE, config=BERT_SIZES, window=CONTEXT, **few)


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Where the course's own models are, in this test."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(cards, "CHECKPOINTS", folder)
    monkeypatch.setattr("course_lib.zoo.loading.CHECKPOINTS", folder)
    return folder


@pytest.fixture
def write_model(corpus):
    """Writes a tiny random model into a folder, with its tokenizer and, unless told otherwise, its card."""

    def write(folder, kind="gpt", with_card=True):
        torch.manual_seed(1)
        specials = (END_OF_TEXT,) if kind == "gpt" else BERT_TOKENS
        save_byte_pairs(train_byte_pairs(corpus["train"]["text"], VOCABULARY, specials), folder)
        model = GPT(GPT_SIZES) if kind == "gpt" else MaskedLanguageModel(BERT(BERT_SIZES))
        (save_gpt if kind == "gpt" else save_bert)(model, folder, torch.float16)
        if with_card:
            Card(
                name=folder.name,
                summary="A model for tests. It knows nothing.",
                cannot=["It cannot do anything."],
                sizes={"parameters": sum(p.numel() for p in model.parameters())},
                data={"version": "none"},
                training={"steps": 0, "seconds": None, "evaluations": [{"step": 0, "nats": 5.75}]},
                measured={"split": "test", "bits_per_byte": 8.0},
                files={name: fingerprint(folder / name) for name in LOADED_FILES},
            ).write(folder)
        return model.eval()

    return write
