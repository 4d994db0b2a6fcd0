import hashlib

import pytest

from course_lib.data import mirror


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.txt").write_text("ein haus\n")
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path))
    return tmp_path


SUM = hashlib.sha256(b"ein haus\n").hexdigest()


def test_a_file_is_found_in_the_mirror(folder):
    assert mirror.locate("set/train.txt") == folder / "set" / "train.txt"


@pytest.mark.parametrize("expected", [SUM, SUM.upper()])
def test_a_file_with_the_right_sum_is_taken(folder, expected):
    assert mirror.locate("set/train.txt", sha256=expected).is_file()


@pytest.mark.usefixtures("folder")
def test_a_file_with_another_sum_is_refused():
    with pytest.raises(
        ValueError, match=r"train\.txt is damaged or another version: .* expected 000000000000…\. Copy it"
    ):
        mirror.locate("set/train.txt", sha256="0" * 64)


@pytest.mark.parametrize(
    ("sums", "listed"),
    [("set/SHA256SUMS", "train.txt"), ("SHA256SUMS", "set/train.txt"), ("SHA256SUMS", "./set/train.txt")],
)
def test_the_sum_is_read_from_a_list_beside_the_file_or_on_top(folder, sums, listed):
    (folder / sums).write_text(f"{'1' * 64}  other.txt\n{SUM} *{listed}\n")
    assert mirror.locate("set/train.txt").is_file()
    (folder / sums).write_text(f"{'0' * 64}  {listed}\n")
    with pytest.raises(ValueError, match="damaged or another version"):
        mirror.locate("set/train.txt")


def test_a_missing_file_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"has no file set/test\.txt; copy it there"):
        mirror.locate("set/test.txt")


def test_without_the_variable_the_error_says_to_set_it(monkeypatch):
    monkeypatch.delenv(mirror.VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match="COURSE_DATA_DIR is not set; set it to a mirror folder"):
        mirror.locate("set/train.txt")


def test_a_missing_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(mirror.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere', which is not a folder"):
        mirror.mirror_folder()


@pytest.mark.usefixtures("folder")
def test_a_path_out_of_the_mirror_is_refused():
    with pytest.raises(ValueError, match="leads out of the mirror"):
        mirror.locate("../secret")
