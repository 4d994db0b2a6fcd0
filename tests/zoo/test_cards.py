"""The course's own models: their names, their cards, and that nothing damaged passes."""

import json
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from course_lib import zoo
from course_lib.models import checkpoint_files
from course_lib.zoo import cards
from course_lib.zoo.cards import CARD_FILE, LARGEST_MODEL, LOADED_FILES, DamagedCheckpoint, ZooError

BUNDLED = zoo.names()


def test_names_are_the_folders_there(checkpoints, write_model):
    assert zoo.names() == []
    write_model(checkpoints / "tiny-gpt")
    write_model(checkpoints / "tiny-bert", "bert")
    (checkpoints / "_unfinished").mkdir()
    (checkpoints / "README.md").touch()
    assert zoo.names() == ["tiny-bert", "tiny-gpt"]


def test_no_place_at_all_means_no_names(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "CHECKPOINTS", tmp_path / "missing")
    assert zoo.names() == []
    with pytest.raises(ZooError, match="none yet"):
        zoo.card("tiny-gpt")


def test_a_card_says_what_is_known_in_words_too(checkpoints, write_model):
    write_model(checkpoints / "tiny-gpt")
    card = zoo.card("tiny-gpt")
    assert card.cannot == ["It cannot do anything."]
    text = card.text()
    assert text == (checkpoints / "tiny-gpt" / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# tiny-gpt\n")
    for expected in ("cannot do anything", "| this model | 8.000 |", "seconds: not recorded", "| 0 | 5.75 |"):
        assert expected in text
    for name, file in card.files.items():
        assert f"| {name} | {file['bytes']:,} | `{file['sha256']}` |" in text


def test_an_unknown_name_is_answered_with_those_there_are(checkpoints, write_model):
    write_model(checkpoints / "tiny-gpt")
    with pytest.raises(ZooError, match=r"no model 'tiny-gtp', only: tiny-gpt; did you mean 'tiny-gpt'\?"):
        zoo.card("tiny-gtp")
    for outside in ("..", "../checkpoints/tiny-gpt", "", "."):
        with pytest.raises(ZooError):
            zoo.card(outside)


def test_a_whole_model_is_verified(checkpoints, write_model):
    write_model(checkpoints / "tiny-gpt")
    assert zoo.verify("tiny-gpt") == zoo.verify(checkpoints / "tiny-gpt") == zoo.card("tiny-gpt")
    assert set(zoo.card("tiny-gpt").files) == set(LOADED_FILES)


def remove(file):
    file.unlink()


def cut_off(file):
    file.write_bytes(file.read_bytes()[:-7])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def append(file):
    file.write_bytes(file.read_bytes() + b" ")


@pytest.mark.parametrize("name", LOADED_FILES)
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (remove, "is missing"),
        (cut_off, "is cut off"),
        (flip_a_bit, "is not what its card describes"),
        (append, "is not what"),
    ],
)
def test_every_damage_is_refused_in_one_line_with_the_remedy(checkpoints, write_model, name, damage, told):
    folder = checkpoints / "tiny-gpt"
    write_model(folder)
    damage(folder / name)
    for refused in (zoo.verify, zoo.load):
        with pytest.raises(DamagedCheckpoint, match=re.escape(told)) as caught:
            refused("tiny-gpt")
        text = str(caught.value)
        assert str(folder / name) in text
        assert "course zoo train tiny-gpt" in text
        assert f"git restore {folder}" in text
        assert "\n" not in text


def test_elsewhere_the_remedy_is_another(tmp_path, write_model, checkpoints):
    write_model(tmp_path / "mine")
    cut_off(tmp_path / "mine" / "model.safetensors")
    with pytest.raises(DamagedCheckpoint, match=r"copy the folder anew from its source.*remove card\.json"):
        zoo.load(tmp_path / "mine")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda card: None, "is missing"),
        (lambda card: "{", "cannot be read"),
        (lambda card: "[]", "is no card"),
        (lambda card: json.dumps(card | {"files": []}), "is no card"),
        (lambda card: json.dumps({key: card[key] for key in card if key != "cannot"}), "is no card"),
        (lambda card: json.dumps(card | {"files": {}}), "has no SHA-256 of config.json, model.safetensors"),
        (lambda card: json.dumps(card | {"files": {"../x": {}}}), "names a file outside its folder"),
    ],
)
def test_a_damaged_card_is_refused(checkpoints, write_model, change, told):
    write_model(checkpoints / "tiny-gpt")
    file = checkpoints / "tiny-gpt" / CARD_FILE
    content = change(json.loads(file.read_text(encoding="utf-8")))
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="utf-8")
    for refused in (zoo.card, zoo.verify, zoo.load):
        with pytest.raises(DamagedCheckpoint, match=re.escape(told)) as caught:
            refused("tiny-gpt")
        assert "course zoo train tiny-gpt" in str(caught.value)


def test_the_files_are_those_that_the_models_are_saved_in():
    assert {checkpoint_files.CONFIG_FILE, checkpoint_files.WEIGHTS_FILE, "tokenizer.json"} == set(LOADED_FILES)


def test_cards_are_read_without_torch():
    script = "import sys; from course_lib import zoo; zoo.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    assert {"load", "card", "names"} <= set(dir(zoo))
    with pytest.raises(AttributeError):
        zoo.lode  # noqa: B018


@pytest.mark.parametrize("name", BUNDLED or [pytest.param(None, marks=pytest.mark.skip("no trained model here yet"))])
class TestEachBundledModel:
    def test_is_whole_small_and_described(self, name):
        card = zoo.verify(name)
        folder = cards.bundled_folder(name)
        assert card.files["model.safetensors"]["bytes"] <= LARGEST_MODEL
        assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float16}
        assert (folder / "README.md").read_text(encoding="utf-8") == card.text()
        assert card.cannot

    def test_loads_offline(self, name):
        model, tokenizer = zoo.load(name)
        text = "str.split(self, sep)\nReturn a list"
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
        assert sum(parameter.numel() for parameter in model.parameters()) == zoo.card(name).sizes["parameters"]

    def test_says_on_its_card_that_it_is_better_than_what_is_simple(self, name):
        measured = zoo.card(name).measured
        if "bits_per_byte" in measured:
            others = [measured[f"{other}_bits_per_byte"] for other in ("byte_5_gram", "xz", "gzip")]
            assert measured["bits_per_byte"] < 0.95 * min(others)
        elif "exact_answers" in measured:
            assert measured["exact_answers"] > 0.8
            assert measured["stops_by_itself"] > 0.95
            assert measured["before_tuning_exact_answers"] < 0.05
        else:
            assert measured["nats_per_hidden_word"] < 0.8 * measured["nats_by_frequency_alone"]
            assert measured["hidden_words_guessed"] > 2 * measured["most_frequent_word_guesses"]
