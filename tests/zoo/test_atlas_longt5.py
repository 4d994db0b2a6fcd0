"""The recipe of atlas-longt5: its lessons, its measures, and a tiny run from the texts to the card."""

from dataclasses import replace

import pytest
import torch
import transformers

from course_lib import zoo
from course_lib.data.atlas_facts import countries
from course_lib.data.byte_pairs import train_byte_pairs
from course_lib.data.question_format import T5_TOKENS, t5_tokenizer
from course_lib.models.long_t5 import LongT5, LongT5Config
from course_lib.zoo import atlas_longt5
from course_lib.zoo.atlas_longt5 import LESSONS, RECIPE, answers, beside, coqa_figures, squad_figures
from course_lib.zoo.cards import read_card
from course_lib.zoo.recipes import RECIPES
from course_lib.zoo.training import train_recipe

SIZES = LongT5Config(
    1_200, 16, 1, 1, heads=2, head_size=8, inner_size=16, block=32, tied=True, scaled_output=True, context_size=256
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(atlas_longt5, "SHEETS_FOR_THE_TOKENIZER", 200)
    monkeypatch.setattr(atlas_longt5, "LOOKED_AT", 20)
    monkeypatch.setattr(atlas_longt5, "QUESTIONS", 40)
    monkeypatch.setattr(atlas_longt5, "LONGEST_ANSWER", 4)
    few = {"steps": 6, "batch_size": 4, "window": 64, "evaluate_every": 3, "checkpoint_every": 3}
    return replace(RECIPE, config=SIZES, **few)


def test_a_run_writes_a_card_and_a_model_that_both_libraries_load(tiny, tmp_path, corpus):
    card = train_recipe(tiny, tmp_path / "out", corpus, tell=lambda text: None)
    assert card == read_card(tmp_path / "out")
    assert "Atlas QA" in card.data["version"]
    expected = {"f1_of_1_countries", "f1_of_follow_ups_with_history_0", "f1_of_the_question_itself"}
    assert expected <= card.measured.keys()
    model, tokenizer = zoo.load(tmp_path / "out")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out").float().eval()
    tokens = torch.tensor([tokenizer.encode("The currency of Chad is the Euro. || <Q> What? <A>")])
    before = torch.tensor([[0, 5]])
    torch.testing.assert_close(
        model(tokens, before), theirs(tokens, decoder_input_ids=before).logits, atol=1e-4, rtol=0
    )


def test_with_fewer_steps_all_lessons_are_still_read(tiny, corpus, tmp_path):
    seen = []

    def prepare(recipe, *rest):
        prepared = tiny.prepare(recipe, *rest)
        lessons = prepared.loader.dataset
        seen.extend(lessons.lesson_of(number).name for number in range(len(lessons)))
        return prepared

    train_recipe(replace(tiny, prepare=prepare), tmp_path / "out", corpus, steps=20, tell=lambda text: None)
    assert list(dict.fromkeys(seen)) == [lesson.name for lesson in LESSONS]


def test_the_model_fits_into_eight_megabytes():
    with torch.device("meta"):
        model = LongT5(RECIPE.config)
    assert 2 * sum(parameter.numel() for parameter in model.parameters()) <= 8_000_000
    assert RECIPES["atlas-longt5"] is RECIPE


def test_no_text_for_the_tokenizer_names_a_held_out_country(corpus):
    texts = list(atlas_longt5.texts_to_tokenize(corpus))[:500]
    for name in countries().subjects["test"]:
        assert not any(f" of {name} " in text or f" in {name} " in text for text in texts)


def test_unknown_is_no_answer_to_a_single_question_and_an_answer_in_a_conversation(monkeypatch, corpus):
    single = atlas_longt5.atlas.single_questions(1, 1, 60)["test"]
    talk = atlas_longt5.atlas.conversations(1, 1, 60)["test"]
    monkeypatch.setattr(atlas_longt5, "answers", lambda model, tokenizer, rows, last=2: ["unknown"] * len(rows))
    model, tokenizer = LongT5(SIZES), t5_tokenizer(train_byte_pairs(corpus["train"]["text"], 400, T5_TOKENS))
    figures = squad_figures(model, tokenizer, single)
    assert figures["NoAns_exact"] == 100
    assert figures["HasAns_exact"] == 0
    share = sum(each == ["unknown"] for each in talk["answers"]) / 60
    assert coqa_figures(model, tokenizer, talk)["em"] == pytest.approx(100 * share)


def test_the_answers_come_in_the_order_of_the_questions(tiny, corpus, tmp_path):
    train_recipe(tiny, tmp_path / "out", corpus, tell=lambda text: None)
    model, tokenizer = zoo.load(tmp_path / "out")
    rows = atlas_longt5.atlas.conversations(1, 1, 70)["test"].to_list()
    together = answers(model, tokenizer, rows)
    assert together[5:8] == [answers(model, tokenizer, [row])[0] for row in rows[5:8]]


def test_what_stands_beside_needs_no_model(corpus, monkeypatch):
    monkeypatch.setattr(atlas_longt5, "QUESTIONS", 60)
    measured = beside(corpus, "test")
    assert all(0 <= value < 50 for value in measured.values())
