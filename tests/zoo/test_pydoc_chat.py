"""pydoc-chat's recipe on a tiny base model: what is measured, and that it goes from start to card."""

from dataclasses import replace

import pytest
import torch
from datasets import Dataset, DatasetDict

from course_lib.data.alpaca_format import Conversation, Exchange
from course_lib.data.byte_pairs import END_OF_TEXT, gpt_tokenizer, load_byte_pairs, save_byte_pairs, train_byte_pairs
from course_lib.generation.answering import Answer
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.gpt_files import save_gpt
from course_lib.zoo import pydoc_chat
from course_lib.zoo.cards import LOADED_FILES, Card, fingerprint
from course_lib.zoo.recipes import RECIPES
from course_lib.zoo.training import train_recipe

SIZES = GPTConfig(vocabulary_size=320, context_size=400, blocks=1, heads=2, embedding_size=16)
CONVERSATIONS = [
    Conversation((Exchange("Reverse it.", "a, b", "b, a", "reverse", True), Exchange("Again.", "", "a, b", "x", True))),
    Conversation((Exchange("Count them.", "a, b", "two", "count", True),)),
    Conversation((Exchange("What is f for?", "", "It does f.", "meaning", False),)),
]


@pytest.fixture
def base(checkpoints):
    folder = checkpoints / "pydoc-gpt"
    torch.manual_seed(0)
    texts = ["### Instruction:\n### Response: Below is an instruction that describes a task."] * 3
    save_byte_pairs(train_byte_pairs(texts, 320, (END_OF_TEXT,)), folder)
    save_gpt(GPT(SIZES), folder, torch.float16)
    Card(
        name="pydoc-gpt",
        summary="For tests.",
        cannot=["Anything."],
        sizes={},
        data={"version": "none"},
        training={"steps": 0, "seconds": None, "evaluations": []},
        measured={"split": "test"},
        files={name: fingerprint(folder / name) for name in LOADED_FILES},
    ).write(folder)
    return folder


@pytest.fixture
def documents():
    row = {"text": "os.f(a, b)\nDo f with a. And more, at length.", "name": "os.f", "module": "os", "origin": "stdlib"}
    return DatasetDict({split: Dataset.from_list([row] * 3) for split in ("train", "validation", "test")})


def answering(monkeypatch, texts, stopped=True):
    """In the model's place."""
    monkeypatch.setattr(
        pydoc_chat, "greedy_answers", lambda *args, **options: [Answer(text, 2, stopped) for text in texts]
    )


def test_exact_answers_are_counted_by_task_and_by_turn_and_stops_of_all(base, monkeypatch):
    tokenizer = gpt_tokenizer(load_byte_pairs(base))
    answering(monkeypatch, ["b, a", "b, a", "two", "Whatever."])
    found = pydoc_chat.answered(GPT(SIZES), tokenizer, CONVERSATIONS)
    assert found == {
        "exact_answers": pytest.approx(2 / 3),
        "stops_by_itself": 1.0,
        "exact: count": 1.0,
        "exact: turn 1": 1.0,
        "exact: turn 2": 0.0,
    }
    answering(monkeypatch, ["", "", "", ""], stopped=False)
    assert pydoc_chat.answered(GPT(SIZES), tokenizer, CONVERSATIONS)["stops_by_itself"] == 0.0


def test_a_trial_goes_from_the_base_model_to_the_card(base, documents, tmp_path, monkeypatch):
    monkeypatch.setattr(pydoc_chat, "LOOKED_AT", 2)
    monkeypatch.setattr(pydoc_chat, "MEASURED_ON", 3)
    monkeypatch.setattr(pydoc_chat, "MOST_TOKENS", 3)
    monkeypatch.setattr(pydoc_chat, "ROWS", 2_000)
    recipe = replace(RECIPES["pydoc-chat"], config=SIZES, window=400, batch_size=4)
    card = train_recipe(recipe, tmp_path / "run", documents, steps=2, tell=lambda line: None)
    assert {"exact_answers", "stops_by_itself", "before_tuning_exact_answers"} <= card.measured.keys()
    assert "pydoc-gpt" in card.training["starts_or_learns_from"]
    assert card.data["version"].startswith("instructions 1 (")
    assert (tmp_path / "run" / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
