import json
import os
from pathlib import Path

import huggingface_hub
import pytest

from course_lib.data import mirror, multi30k
from course_lib.data.batching import translation_loader
from course_lib.data.translation import load_translation
from course_lib.data.vocabulary import Vocabulary

ROWS = {"train": 3, "validation": 2, "test": 1}
COMMIT = "a" * 40
OTHER_COMMIT = "b" * 40

needs_mirror = pytest.mark.skipif(
    not os.environ.get(mirror.VARIABLE), reason=f"{mirror.VARIABLE} does not name a data mirror"
)


def write_hub_files(folder: Path, mark: str = "") -> None:
    folder.mkdir(parents=True)
    for split, name in multi30k.HUB_FILES.items():
        rows = [
            {"en": f"A man{mark}, number {row}.", "de": f"Ein Mann{mark}, Nummer {row}."} for row in range(ROWS[split])
        ]
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No mirror and an empty cache; returns the cache's folder for Multi30k's commits."""
    monkeypatch.delenv(mirror.VARIABLE, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(multi30k, "ROWS", ROWS)
    return tmp_path / "hub" / "datasets--bentrevett--multi30k" / "snapshots"


def test_cldr_comes_with_its_options():
    corpus = load_translation("cldr", source_language="fr", train=30, validation=5, test=5, seed=2)
    assert {split: len(rows) for split, rows in corpus.items()} == {"train": 30, "validation": 5, "test": 5}
    assert corpus["train"].column_names == ["source", "target", "alignment", "item_count"]
    assert corpus["train"].info.description.startswith("French (fr) to English (en)")


def test_an_unknown_set_is_refused_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"no translation set 'multi3k'; expected one of cldr, multi30k\. Did you mean 'multi30k'"
    ):
        load_translation("multi3k")


@pytest.mark.mirror
@needs_mirror
@pytest.mark.parametrize(("source_language", "target_language"), [("de", "en"), ("en", "de")])
def test_multi30k_from_the_mirror_is_complete(source_language, target_language):
    corpus = load_translation("multi30k", source_language=source_language, target_language=target_language)
    assert {split: len(rows) for split, rows in corpus.items()} == {"train": 29_000, "validation": 1_014, "test": 1_000}
    first = corpus["train"][0]
    sides = {source_language: first["source"], target_language: first["target"]}
    assert sides == {
        "de": "zwei junge weiße männer sind im freien in der nähe vieler büsche .",
        "en": "two young , white males are outside near many bushes .",
    }
    assert first["alignment"] == []
    assert all(sentence.strip() for rows in corpus.values() for sentence in rows["source"][:])


@pytest.mark.mirror
@needs_mirror
def test_multi30k_can_be_batched():
    validation = load_translation("multi30k")["validation"]
    source, target = Vocabulary.build(validation["source"]), Vocabulary.build(validation["target"])
    batches = list(translation_loader(validation, source, target, batch_size=100))
    assert sum(map(len, batches)) == 1_014


def test_a_damaged_mirror_is_refused_and_not_passed_over(nowhere, tmp_path, monkeypatch):
    write_hub_files(nowhere / COMMIT)
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path))
    (tmp_path / "multi30k").mkdir()
    (tmp_path / "multi30k" / "train.lc.norm.tok.de").write_text("nicht das korpus\n")
    with pytest.raises(ValueError, match="damaged or another version"):
        load_translation("multi30k")


def test_without_a_mirror_the_cache_serves(nowhere):
    write_hub_files(nowhere / COMMIT)
    corpus = load_translation("multi30k")
    assert corpus["train"][1] == {"source": "ein mann , nummer 1 .", "target": "a man , number 1 .", "alignment": []}
    assert corpus["test"].info.description == f"Multi30k, de to en, from bentrevett/multi30k at {COMMIT}"
    assert {split: len(rows) for split, rows in corpus.items()} == ROWS


def test_a_revision_chooses_among_cached_commits(nowhere):
    write_hub_files(nowhere / COMMIT)
    write_hub_files(nowhere / OTHER_COMMIT, mark=" und mehr")
    assert "und mehr" in load_translation("multi30k", revision="bbbb")["train"][0]["source"]
    assert "und mehr" not in load_translation("multi30k", revision="aaaa")["train"][0]["source"]
    with pytest.raises(FileNotFoundError, match="bentrevett/multi30k cccc is not in it"):
        load_translation("multi30k", revision="cccc")


def test_a_half_filled_cache_does_not_serve(nowhere):
    write_hub_files(nowhere / COMMIT)
    (nowhere / COMMIT / "test.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="is not in it"):
        load_translation("multi30k")


def test_the_hub_is_asked_only_on_request(nowhere, tmp_path, monkeypatch):
    asked = []

    def download(repository, name, *, repo_type, revision):
        asked.append((repository, name, repo_type, revision))
        folder = tmp_path / "downloaded" / COMMIT
        if not folder.is_dir():
            write_hub_files(folder)
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match="not asked, since online=False"):
        load_translation("multi30k")
    assert not asked
    assert load_translation("multi30k", online=True, revision="abc")["validation"][0]["target"] == "a man , number 0 ."
    assert asked == [("bentrevett/multi30k", f"{name}.jsonl", "dataset", "abc") for name in ("train", "val", "test")]


def test_a_hub_out_of_reach_is_reported_beside_the_remedies(nowhere, monkeypatch):
    def download(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match=r"(?s)hub: OSError: no route to host.*online=True"):
        load_translation("multi30k", online=True)


@pytest.mark.usefixtures("nowhere")
def test_when_nothing_serves_one_error_names_all_remedies():
    with pytest.raises(FileNotFoundError) as caught:
        load_translation("multi30k")
    message = str(caught.value)
    for remedy in (
        "set COURSE_DATA_DIR",
        "hf download --repo-type dataset bentrevett/multi30k",
        "online=True",
        "data='cldr'",
    ):
        assert remedy in message


def test_missing_rows_are_noticed(nowhere, monkeypatch):
    write_hub_files(nowhere / COMMIT)
    monkeypatch.setattr(multi30k, "ROWS", {**ROWS, "train": 29_000})
    with pytest.raises(ValueError, match="train has 3 source and 3 target rows, expected 29,000"):
        load_translation("multi30k")


@pytest.mark.parametrize(("source_language", "target_language"), [("fr", "en"), ("de", "de"), ("de", "fr")])
def test_other_languages_are_refused(source_language, target_language):
    with pytest.raises(ValueError, match="available are 'de' to 'en' and 'en' to 'de'"):
        load_translation("multi30k", source_language=source_language, target_language=target_language)
