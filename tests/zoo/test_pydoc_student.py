"""pydoc-student's recipe, on a tiny teacher: what it prepares, what it measures, and what it writes."""

from dataclasses import replace

import pytest
import torch
import transformers

from course_lib import zoo
from course_lib.data.byte_pairs import BERT_TOKENS, bert_tokenizer, train_byte_pairs
from course_lib.models.distilbert_files import load_distilbert
from course_lib.models.student import student_of
from course_lib.training.loop import train
from course_lib.zoo import pydoc_bert, pydoc_student
from course_lib.zoo.training import train_recipe


@pytest.fixture
def teacher(checkpoints, write_model):
    return write_model(checkpoints / "pydoc-bert", "bert")


@pytest.fixture
def recipe(bert_recipe):
    few = {"window": bert_recipe.window, "batch_size": 4, "steps": 20}
    return replace(pydoc_student.RECIPE, config=replace(bert_recipe.config, segments=0), **few)


def test_the_student_starts_as_a_part_of_its_teacher_and_learns(teacher, recipe, corpus, tmp_path):
    _, tokenizer = zoo.load("pydoc-bert")
    prepared = recipe.prepare(recipe, corpus, tokenizer)
    student = prepared.model.network
    assert student.encoder.config == recipe.config
    assert torch.equal(student.encoder.embedding.weight, zoo.load("pydoc-bert")[0].encoder.embedding.weight)
    before = prepared.evaluate(prepared.model)
    result = train(prepared.model, prepared.loader, prepared.loss, steps=20, optimizer=recipe.optimizer(prepared.model))
    assert {"ce", "mlm", "cosine"} <= set(result.measures)
    assert before["nats"] > 0
    recipe.save(prepared.model, tokenizer, tmp_path)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert type(theirs) is transformers.DistilBertForMaskedLM
    assert {tensor.dtype for tensor in theirs.state_dict().values()} == {torch.float16}
    tokens = torch.arange(5, 15)[None]
    torch.testing.assert_close(load_distilbert(tmp_path)(tokens), student(tokens), atol=0.05, rtol=0.05)


def test_trained_by_its_recipe_it_names_its_teacher_and_loads(teacher, recipe, corpus, tmp_path):
    card = train_recipe(recipe, tmp_path, corpus, tell=lambda text: None)
    assert card.training["starts_or_learns_from"].startswith("pydoc-bert (")
    assert card.measured["kept_of_words_guessed"] > 0
    model, tokenizer = zoo.load(tmp_path)
    assert model.encoder.config == recipe.config
    assert tokenizer.get_vocab() == zoo.load("pydoc-bert")[1].get_vocab()
    measured = pydoc_student.measure(model, tokenizer, corpus, "test")
    assert measured.items() <= card.measured.items()


def test_what_is_kept_is_measured_beside_the_teacher(teacher, recipe, corpus):
    model, tokenizer = zoo.load("pydoc-bert")
    twin = student_of(model, layers=(0,)).eval()
    measured = pydoc_student.measure(twin, tokenizer, corpus, "test")
    of_teacher = pydoc_bert.measure(model, tokenizer, corpus, "test")
    assert measured["kept_of_words_guessed"] == pytest.approx(1.0)
    assert measured["kept_of_nats_saved"] == pytest.approx(1.0, abs=1e-4)
    assert measured["teacher_nats_per_hidden_word"] == of_teacher["nats_per_hidden_word"]
    assert measured["parameters_by_teacher"] < 1  # the segments are gone


def test_a_student_with_another_tokenizer_is_refused(teacher, recipe, corpus):
    other = bert_tokenizer(train_byte_pairs(["something else"], 280, BERT_TOKENS), 16)
    with pytest.raises(ValueError, match="is not that of pydoc-bert"):
        recipe.prepare(recipe, corpus, other)


def test_the_recipe_is_half_as_deep_as_its_teacher():
    assert pydoc_student.RECIPE.config.blocks * 2 == pydoc_bert.RECIPE.config.blocks
    assert pydoc_student.RECIPE.config.segments == 0
