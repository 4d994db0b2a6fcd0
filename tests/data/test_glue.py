"""SST-2 and CoLA from the mirror, and what is refused."""

import os
import shutil

import pytest

from course_lib.data import glue, mirror

needs_mirror = pytest.mark.skipif(
    not os.environ.get(mirror.VARIABLE), reason=f"{mirror.VARIABLE} does not name a data mirror"
)


@pytest.fixture
def own_mirror(tmp_path, monkeypatch):
    """A mirror made by hand, whose files are taken without the published sums."""
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path))
    monkeypatch.setattr(glue, "SST2_FILES", {"train": ("train.tsv", None), "validation": ("dev.tsv", None)})
    names = {"train": "in_domain_train.tsv", "in_domain": "in_domain_dev.tsv", "out_of_domain": "out_of_domain_dev.tsv"}
    monkeypatch.setattr(glue, "COLA_FILES", {split: (name, None) for split, name in names.items()})
    (tmp_path / "glue_sst2").mkdir()
    (tmp_path / "glue_cola").mkdir()
    (tmp_path / "glue_sst2" / "train.tsv").write_text("sentence\tlabel\na joy \t1\ndull \t0\n")
    (tmp_path / "glue_sst2" / "dev.tsv").write_text("sentence\tlabel\nfine \t1\n")
    for split, name in names.items():
        (tmp_path / "glue_cola" / name).write_text(f"gj04\t1\t\tIt is {split}.\ngj04\t0\t*\tIs it {split} it.\n")
    return tmp_path


@pytest.mark.usefixtures("own_mirror")
def test_sst2_rows_have_text_and_label():
    data = glue.load_sst2()
    assert data["train"]["text"][:] == ["a joy", "dull"]
    assert data["train"]["label"][:] == [1, 0]
    assert data["train"].features["label"].names == ["negative", "positive"]
    assert len(data["validation"]) == 1


@pytest.mark.usefixtures("own_mirror")
def test_colas_validation_is_both_domains_together():
    data = glue.load_cola()
    assert data["validation"]["text"][:] == [
        "It is in_domain.", "Is it in_domain it.", "It is out_of_domain.", "Is it out_of_domain it."
    ]  # fmt: skip
    assert data["validation"]["label"][:] == [1, 0, 1, 0]
    assert set(data) == {"train", "in_domain", "out_of_domain", "validation"}


@pytest.mark.parametrize("line", ["no label", "text\t2", "\t1", "a\tb\t1"])
def test_a_bad_line_is_named(own_mirror, line):
    (own_mirror / "glue_sst2" / "train.tsv").write_text(f"sentence\tlabel\nfine\t1\n{line}\n")
    with pytest.raises(ValueError, match=r"train\.tsv, line 3: expected 2 columns, a label 0 or 1 and a text"):
        glue.load_sst2()


def test_another_header_is_refused(own_mirror):
    (own_mirror / "glue_sst2" / "train.tsv").write_text("fine\t1\n")
    with pytest.raises(ValueError, match="expected the header"):
        glue.load_sst2()


@pytest.mark.parametrize("load", [glue.load_sst2, glue.load_cola])
def test_without_a_mirror_it_says_what_to_set(load, monkeypatch):
    monkeypatch.delenv(mirror.VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=f"{mirror.VARIABLE} is not set; .*mirror's folder glue_"):
        load()


@pytest.mark.mirror
@needs_mirror
def test_sst2_from_the_mirror_is_complete():
    data = glue.load_sst2()
    assert {split: rows.num_rows for split, rows in data.items()} == {"train": 60_614, "validation": 6_735}
    assert sum(data["train"]["label"]) / 60_614 == pytest.approx(0.558, abs=0.001)


@pytest.mark.mirror
@needs_mirror
def test_cola_from_the_mirror_is_complete():
    data = glue.load_cola()
    counts = {split: rows.num_rows for split, rows in data.items()}
    assert counts == {"train": 8_551, "in_domain": 527, "out_of_domain": 516, "validation": 1_043}
    assert sum(data["train"]["label"]) / 8_551 == pytest.approx(0.704, abs=0.001)


@pytest.mark.mirror
@needs_mirror
def test_a_damaged_mirror_is_refused(tmp_path, monkeypatch):
    shutil.copytree(mirror.mirror_folder() / "glue_cola", tmp_path / "glue_cola")
    path = tmp_path / "glue_cola" / "in_domain_dev.tsv"
    path.chmod(0o644)
    path.write_text(path.read_text() + "gj04\t1\t\tOne more.\n")
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=r"in_domain_dev\.tsv is damaged or another version"):
        glue.load_cola()
