import os

import pyarrow
import pytest

from course_lib.data.table_cache import cache_folder, cached_table


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Makes a table and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> pyarrow.Table:
        self.calls += 1
        return pyarrow.table({"text": ["one", "zwei\n", "", "🐍"], "number": [1, 2, 3, self.calls]})


def cached_file(folder):
    (file,) = folder.rglob("*.table")
    return file


def test_a_table_is_made_once_for_a_key(folder):
    make = Maker()
    first = cached_table("things", ["key", 1], make)
    second = cached_table("things", ["key", 1], make)
    assert make.calls == 1
    assert first.equals(second)
    assert first.schema.equals(second.schema, check_metadata=True)
    cached_table("things", ["key", 2], make)
    assert make.calls == 2
    assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text"])
def test_a_damaged_file_is_made_anew(folder, damage):
    make = Maker()
    cached_table("things", "key", make)
    file = cached_file(folder)
    content = bytearray(file.read_bytes())
    if damage == "empty":
        content = bytearray()
    elif damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0x01
    elif damage == "text":
        content = bytearray(b"something else")
    file.write_bytes(content)
    table = cached_table("things", "key", make)
    assert make.calls == 2
    assert table["number"].to_pylist() == [1, 2, 3, 2]
    assert cached_table("things", "key", make).equals(table)
    assert make.calls == 2, "the file was written anew"


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "file"))
    make = Maker()
    assert cached_table("things", "key", make).num_rows == 4
    assert cached_table("things", "key", make).num_rows == 4
    assert make.calls == 2


def test_what_stops_the_making_leaves_nothing(folder):
    def make():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_table("things", "key", make)
    assert not list(folder.rglob("*.*"))


def test_the_folder_is_the_users_unless_another_is_named(monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", os.path.join("~", "elsewhere"))
    assert str(cache_folder()).endswith("elsewhere")
    assert "~" not in str(cache_folder())
    monkeypatch.delenv("COURSE_CACHE_DIR")
    assert cache_folder().name == "course"
