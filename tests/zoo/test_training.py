"""Recipes: a training that can be killed, a card that says what was measured, and a place among the course's models."""

import json
import math
import os
from dataclasses import replace

import pytest
import torch
import transformers
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file
from torch.nn import functional as F

from course_lib import zoo
from course_lib.data.byte_pairs import CLASSIFY, SEPARATE, load_byte_pairs, train_byte_pairs
from course_lib.data.masking import NOT_ASKED
from course_lib.evaluation.compression import ByteNGrams, gzip_bits_per_byte, xz_bits_per_byte
from course_lib.evaluation.language_model import stream_nats
from course_lib.models import gpt as gpt_model
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.training.arguments import check_learner
from course_lib.zoo import bundling, pydoc_bert, pydoc_gpt, training
from course_lib.zoo.baselines import compression_baselines
from course_lib.zoo.bundling import bundle
from course_lib.zoo.cards import ZooError, read_card
from course_lib.zoo.recipes import RECIPES
from course_lib.zoo.training import TrainingBroke, train_recipe


@pytest.fixture
def said():
    return []


@pytest.fixture
def make(corpus, said):
    """Trains by a recipe into a folder."""

    def make(recipe, folder, **options):
        return train_recipe(recipe, folder, options.pop("corpus", corpus), tell=said.append, **options)

    return make


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


class Killed(Exception):  # noqa: N818
    pass


def killed_at(recipe, step):
    """The recipe with a loss that breaks off, as a killed process does, at the given step."""
    calls = 0

    def prepare(*arguments):
        prepared = recipe.prepare(*arguments)

        def loss(model, batch):
            nonlocal calls
            calls += 1
            if calls == step:
                raise Killed
            return prepared.loss(model, batch)

        return replace(prepared, loss=loss)

    return replace(recipe, prepare=prepare)


def test_a_trained_model_is_written_with_a_card_and_loads(make, gpt_recipe, tmp_path, corpus):
    card = make(gpt_recipe, tmp_path / "out")
    assert card == read_card(tmp_path / "out") == zoo.verify(tmp_path / "out")
    model, tokenizer = zoo.load(tmp_path / "out")
    assert isinstance(model, GPT)
    assert model.config == gpt_recipe.config
    assert {tensor.dtype for tensor in weights(tmp_path / "out").values()} == {torch.float16}
    assert card.name == "pydoc-gpt"
    assert card.sizes["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert card.training["steps"] == 20
    assert card.training["tokens_read"] == 20 * 4 * 17
    assert card.training["seconds"] > 0
    assert [each["step"] for each in card.training["evaluations"]] == [10, 20]
    assert card.training["mean_loss_of_the_last_20_steps"] < math.log(320) + 0.1
    assert card.data["documents_of_train"] == len(corpus["train"])
    assert (tmp_path / "out" / "README.md").read_text(encoding="utf-8") == card.text()
    # The numbers on the card are those of the files, not of the network before it was rounded.
    measured = pydoc_gpt.measure(model, tokenizer, corpus, "test")
    assert measured.items() <= card.measured.items()


def test_transformers_reads_the_model_and_stops_where_a_text_ends(make, gpt_recipe, bert_recipe, tmp_path):
    make(gpt_recipe, tmp_path / "gpt", steps=2)
    make(bert_recipe, tmp_path / "bert", steps=2)
    generator = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "gpt")
    _, tokenizer = zoo.load(tmp_path / "gpt")
    assert generator.generation_config.eos_token_id == tokenizer.eos_token_id
    generator.get_output_embeddings().weight.detach().zero_()  # all scores alike: number 0 wins, the end token
    written = generator.generate(torch.tensor([[7, 8]]), do_sample=False, max_new_tokens=5, pad_token_id=0)
    assert written.tolist() == [[7, 8, tokenizer.eos_token_id]]
    reader = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "bert")
    _, tokenizer = zoo.load(tmp_path / "bert")
    assert reader.config.pad_token_id == tokenizer.pad_token_id


def test_the_precision_is_on_the_card_and_another_one_is_another_training(make, gpt_recipe, tmp_path, monkeypatch):
    card = make(gpt_recipe, tmp_path, steps=2)
    assert card.training["precision"] == "float32"
    monkeypatch.setattr(training, "on_gpu", lambda: True)
    with pytest.raises(ZooError, match=r"precision \(bf16 on a GPU\) was no, is bf16"):
        make(gpt_recipe, tmp_path, steps=2)


def test_the_numbers_on_the_card_are_what_they_are_called(make, gpt_recipe, tmp_path, corpus):
    card = make(gpt_recipe, tmp_path / "out")
    model, tokenizer = zoo.load(tmp_path / "out")
    read, asked = corpus["train"]["text"], corpus["test"]["text"]
    total = sum(len(text.encode()) for text in asked)
    tokens = [token for text in asked for token in [*tokenizer(text)["input_ids"], 0]]
    nats, _ = stream_nats(model, torch.tensor(tokens))
    assert card.measured["bits_per_byte"] == pytest.approx(nats / math.log(2) / total)
    assert card.measured["gzip_bits_per_byte"] == gzip_bits_per_byte(list(asked))
    assert card.measured["xz_bits_per_byte"] == xz_bits_per_byte(list(asked))
    assert card.measured["primed_xz_bits_per_byte"] == xz_bits_per_byte(list(asked), list(read))
    assert card.measured["byte_5_gram_bits_per_byte"] == ByteNGrams(list(read), 5).bits_per_byte(list(asked))


def test_training_makes_the_model_better(make, gpt_recipe, tmp_path):
    short = make(gpt_recipe, tmp_path / "short", steps=2)
    long = make(replace(gpt_recipe, learning_rate=1e-2), tmp_path / "long", steps=100)
    assert long.measured["bits_per_byte"] < 0.8 * short.measured["bits_per_byte"]


@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_a_killed_training_goes_on_as_if_nothing_had_happened(make, gpt_recipe, bert_recipe, kind, tmp_path, said):
    recipe = gpt_recipe if kind == "gpt" else bert_recipe
    whole = make(recipe, tmp_path / "whole")
    with pytest.raises(Killed):
        make(killed_at(recipe, 13), tmp_path / "killed")
    assert not (tmp_path / "killed" / "card.json").exists()
    card = make(recipe, tmp_path / "killed")
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert card.training["evaluations"] == whole.training["evaluations"]
    # The killed call took time that nobody recorded: the card does not pretend to know it.
    assert whole.training["seconds"] > 0
    assert card.training["seconds"] is None
    assert "seconds: not recorded" in card.text()


def test_an_interrupted_training_is_not_a_model_yet(make, gpt_recipe, tmp_path, monkeypatch):
    real = training.train
    monkeypatch.setattr(training, "train", lambda *parts, **options: real(*parts, **options, wall_clock_budget=1e-9))
    assert make(gpt_recipe, tmp_path) is None
    assert not (tmp_path / "card.json").exists()
    monkeypatch.setattr(training, "train", real)
    card = make(gpt_recipe, tmp_path)
    assert card is not None
    calls = json.loads((tmp_path / "training.json").read_text())["calls"]
    assert [(call["first"], call["last"]) for call in calls] == [(0, 1), (1, 20)]
    assert card.training["seconds"] == pytest.approx(sum(call["seconds"] for call in calls))


def test_a_finished_training_is_only_described_again(make, gpt_recipe, tmp_path):
    first = make(gpt_recipe, tmp_path)
    for name in ("model.safetensors", "card.json", "config.json"):
        (tmp_path / name).unlink()
    assert make(killed_at(gpt_recipe, 1), tmp_path) == first


def test_checkpoints_without_their_record_are_taken_over_if_the_tokens_are_the_same(make, gpt_recipe, tmp_path, corpus):
    whole = make(gpt_recipe, tmp_path / "whole")
    with pytest.raises(Killed):
        make(killed_at(gpt_recipe, 13), tmp_path / "other")
    (tmp_path / "other" / "training.json").unlink()
    texts = list(corpus["train"]["text"])
    fewer = DatasetDict({**corpus, "train": Dataset.from_dict({"text": texts[:-30]})})
    with pytest.raises(ZooError, match="has other tokens than the documentation on this machine gives"):
        make(gpt_recipe, tmp_path / "other", corpus=fewer)
    card = make(gpt_recipe, tmp_path / "other")
    assert card.files["model.safetensors"] == whole.files["model.safetensors"]


def test_another_training_in_the_same_folder_is_refused(make, gpt_recipe, tmp_path, corpus):
    with pytest.raises(Killed):
        make(killed_at(gpt_recipe, 13), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = DatasetDict({**corpus, "test": corpus["validation"]})
    for asked, told in (
        ({"steps": 30}, "--steps was 20, is 30"),
        ({"seed": 1}, "the seed was 0, is 1"),
        ({"corpus": other}, "the data on this machine was .* is "),
    ):
        with pytest.raises(ZooError, match=told) as caught:
            make(gpt_recipe, tmp_path, **asked)
        assert "--no-resume" in str(caught.value)
    with pytest.raises(ZooError, match="the model was pydoc-gpt, is another"):
        make(replace(gpt_recipe, name="another"), tmp_path)
    wider = replace(gpt_recipe, config=replace(gpt_recipe.config, embedding_size=32))
    with pytest.raises(ZooError, match="are of another run"):
        make(wider, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(ZooError, match="cannot be read"):
        make(gpt_recipe, tmp_path)
    assert make(gpt_recipe, tmp_path, seed=1, resume=False).training["seed"] == 1


def test_a_model_that_starts_from_another_names_it_and_is_not_mixed_with_another_start(
    make, gpt_recipe, write_model, checkpoints, tmp_path, corpus
):
    write_model(checkpoints / "parent")

    def of_the_parent(recipe, corpus):
        return load_byte_pairs(checkpoints / "parent" / "tokenizer.json")

    def beside(corpus, split):
        return {"of_nothing": 1.0}

    child = replace(gpt_recipe, name="child", parents=("parent",), pairs=of_the_parent, beside=beside)
    with pytest.raises(Killed):
        make(killed_at(child, 13), tmp_path / "out")
    card = make(child, tmp_path / "out")
    digest = zoo.card("parent").files["model.safetensors"]["sha256"]
    assert card.training["starts_or_learns_from"] == f"parent ({digest[:12]}…)"
    assert card.measured["of_nothing"] == 1.0
    assert "gzip_bits_per_byte" not in card.measured
    make(replace(gpt_recipe, name="parent", steps=3), tmp_path / "new")
    bundle("parent", tmp_path / "new")
    with pytest.raises(ZooError, match=r"the model that it starts from was parent .*, is parent"):
        make(child, tmp_path / "out")


def test_a_training_that_breaks_down_says_what_to_do(make, gpt_recipe, tmp_path):
    with pytest.raises(TrainingBroke, match="broke down at step"):
        make(replace(gpt_recipe, learning_rate=1e30, warmup_steps=1), tmp_path)


def test_too_few_texts_and_steps_are_refused(make, gpt_recipe, tmp_path, corpus):
    hungry = replace(gpt_recipe, config=replace(gpt_recipe.config, vocabulary_size=50_000))
    with pytest.raises(ZooError, match=r"the texts give only .* of 50000 tokens"):
        make(hungry, tmp_path)
    with pytest.raises(ZooError, match="steps must be at least 1, got 0"):
        make(gpt_recipe, tmp_path, steps=0)
    with pytest.raises(ZooError, match="cannot be used here"):
        make(gpt_recipe, tmp_path, device="warp drive")
    with pytest.raises(ZooError, match="no recipe for 'pydoc-llama', only for pydoc-gpt, pydoc-bert"):
        training.train_by_name("pydoc-llama", tmp_path)


def test_the_cpu_can_be_asked_for(make, gpt_recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    assert make(gpt_recipe, tmp_path, device="cpu", steps=2) is not None
    assert "ACCELERATE_USE_CPU" not in os.environ


def test_a_trained_bert_guesses_hidden_words_alone(make, bert_recipe, tmp_path, corpus):
    recipe = replace(bert_recipe, learning_rate=1e-2)
    card = make(recipe, tmp_path, steps=60)
    measured = card.measured
    assert measured["nats_per_hidden_word"] < math.log(320)
    assert measured["nats_by_frequency_alone"] < math.log(320)
    assert 0 < measured["most_frequent_word_guesses"] < 0.5
    model, tokenizer = zoo.load(tmp_path)
    rows = pydoc_bert.held_out_rows(tokenizer, corpus, "test", 16)
    nats, right, asked = pydoc_bert.guesses(model, rows)
    by_hand, number, size = 0.0, 0, 0
    with torch.no_grad():
        for tokens, labels in (rows[row] for row in range(len(rows))):
            hidden = labels != NOT_ASKED
            by_hand += float(F.cross_entropy(model(tokens[None])[0][hidden], labels[hidden], reduction="sum"))
            number += int(hidden.sum())
            size += sum(len(token) for token in tokenizer.convert_ids_to_tokens(labels[hidden].tolist()))
    assert asked == number
    assert nats == pytest.approx(by_hand, rel=1e-4)
    assert measured["masked_bits_per_byte"] == pytest.approx(by_hand / math.log(2) / size, rel=1e-4)
    assert measured["hidden_words_guessed"] == right / asked
    assert card.training["evaluations"][-1].keys() == {"step", "nats", "accuracy"}
    assert "it sees both sides of them" in card.text()


def test_berts_rows_stand_between_their_marks(bert_recipe, corpus):
    pairs = train_byte_pairs(corpus["train"]["text"], 320, bert_recipe.special_tokens)
    tokenizer = bert_recipe.wrap(pairs, 16)
    rows = pydoc_bert.MarkedWindows(tokenizer, corpus["train"]["text"], 16, random_start=True)
    first, last = tokenizer.convert_tokens_to_ids([CLASSIFY, SEPARATE])
    for row in (rows[0], rows[len(rows) - 1]):
        assert row.shape == (16,)
        assert (row[0], row[-1]) == (first, last)
        assert first not in row[1:]
    prepared = bert_recipe.prepare(bert_recipe, corpus, tokenizer)
    batch = next(iter(prepared.loader))
    scores = prepared.model(batch.tokens)
    expected = F.cross_entropy(scores.flatten(0, 1), batch.labels.flatten())  # -100 is left out
    torch.testing.assert_close(prepared.loss(prepared.model, batch), expected)


def test_gpts_loss_is_that_of_the_next_token():
    torch.manual_seed(0)
    model = GPT(GPTConfig(61, 16, 1, 2, 16)).eval()
    windows = torch.randint(0, 61, (3, 17))
    longer = GPT(GPTConfig(61, 17, 1, 2, 16)).eval()
    weights = model.state_dict()
    weights["positions.table"] = torch.cat([weights["positions.table"], torch.zeros(1, 16)])
    longer.load_state_dict(weights)
    expected = gpt_model.next_token_loss(longer(windows).logits, windows)
    torch.testing.assert_close(pydoc_gpt.next_token_loss(model, windows), expected)


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_shipped_recipes_fit_what_is_shipped(name, bert_recipe):
    recipe = RECIPES[name]
    assert recipe.name == name
    model = zoo.load(name, weights="random", device="meta")[0]
    assert 2 * sum(parameter.numel() for parameter in model.parameters()) < 8_000_000
    longest = recipe.window - 1 if name == "pydoc-gpt" else recipe.window
    if name == "atlas-longt5":  # whose positions are relative: it may read more than it was taught on
        assert longest <= recipe.config.context_size
    else:
        assert longest == recipe.config.context_size
    optimizer = recipe.optimizer(model)
    check_learner(model, optimizer, None)
    decayed, plain = optimizer.param_groups
    assert decayed["weight_decay"] == recipe.weight_decay
    assert plain["weight_decay"] == 0.0
    assert {parameter.dim() for parameter in decayed["params"]} == {2}
    assert sum(p.numel() for group in (decayed, plain) for p in group["params"]) == sum(
        p.numel() for p in model.parameters()
    )
    assert recipe.warmup(20) == 2
    assert recipe.warmup(recipe.steps) == recipe.warmup_steps


def test_a_finished_model_takes_its_place_and_an_older_one_gives_way(make, gpt_recipe, tmp_path, checkpoints):
    folder = tmp_path / "out"
    make(gpt_recipe, folder, steps=1)
    assert bundle("pydoc-gpt", folder) == checkpoints / "pydoc-gpt"
    older = zoo.card("pydoc-gpt")
    make(gpt_recipe, folder, steps=2, resume=False)
    bundle("pydoc-gpt", folder)
    assert zoo.names() == ["pydoc-gpt"]
    assert zoo.verify("pydoc-gpt") != older
    assert isinstance(zoo.load("pydoc-gpt")[0], GPT)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["pydoc-gpt"]
    assert sorted(path.name for path in (checkpoints / "pydoc-gpt").iterdir()) == [
        "README.md",
        "card.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_what_is_unfinished_another_or_too_large_is_not_bundled(
    make, gpt_recipe, tmp_path, checkpoints, write_model, monkeypatch
):
    make(gpt_recipe, tmp_path / "out")
    with pytest.raises(Killed):
        make(killed_at(gpt_recipe, 13), tmp_path / "out", resume=False)
    with pytest.raises(ZooError, match="holds no finished model; finish it with: course zoo train pydoc-gpt --out"):
        bundle("pydoc-gpt", tmp_path / "out")
    write_model(tmp_path / "tiny-gpt")
    with pytest.raises(ZooError, match="holds tiny-gpt, not pydoc-gpt"):
        bundle("pydoc-gpt", tmp_path / "tiny-gpt")
    monkeypatch.setattr(bundling, "LARGEST_MODEL", 1_000)
    with pytest.raises(ZooError, match="more than the 1,000 that are bundled"):
        bundle("tiny-gpt", tmp_path / "tiny-gpt")
    with (tmp_path / "tiny-gpt" / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ZooError, match="is not what its card describes"):
        bundle("tiny-gpt", tmp_path / "tiny-gpt")
    assert zoo.names() == []


def test_the_5_grams_and_the_primed_xz_have_read_the_training_texts():
    texts = ["Return a copy of the string."] * 40
    corpus = DatasetDict({split: Dataset.from_dict({"text": texts}) for split in ("train", "test")})
    apart = DatasetDict({**corpus, "train": Dataset.from_dict({"text": ["0123456789 zyx"] * 40})})
    known, unknown = compression_baselines(corpus, "test"), compression_baselines(apart, "test")
    for name in ("byte_5_gram_bits_per_byte", "primed_xz_bits_per_byte"):
        assert known[name] < unknown[name]
    for name in ("xz_bits_per_byte", "gzip_bits_per_byte"):
        assert known[name] == unknown[name]
