"""An export is there as a whole or not at all, whatever breaks it off, and never takes the place of other files."""

import os
import resource
import shutil
import signal
from collections import namedtuple

import pytest

from course_lib.inference.export_manifest import ExportError
from course_lib.inference.staging import staged

Usage = namedtuple("Usage", "total used free")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_gets_its_name_at_the_end(tmp_path):
    with staged(tmp_path / "deep" / "export", 10) as making:
        (making / "manifest.json").write_text("{}")
        assert not (tmp_path / "deep" / "export").exists()
    assert names(tmp_path / "deep") == ["export"]
    assert names(tmp_path / "deep" / "export") == ["manifest.json"]


def write_and_raise(folder, fault):
    with staged(folder, 10) as making:
        (making / "manifest.json").write_text("new")
        raise fault


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_what_breaks_off_leaves_nothing_and_the_earlier_export_whole(tmp_path, fault):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "manifest.json").write_text("old")
    with pytest.raises(fault):
        write_and_raise(tmp_path / "export", fault)
    assert names(tmp_path) == ["export"]
    assert (tmp_path / "export" / "manifest.json").read_text() == "old"


def test_an_earlier_export_is_replaced(tmp_path):
    for text in ("old", "new"):
        with staged(tmp_path / "export", 10) as making:
            (making / "manifest.json").write_text(text)
    assert names(tmp_path) == ["export"]
    assert (tmp_path / "export" / "manifest.json").read_text() == "new"


def test_other_files_are_not_replaced(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"notes holds other files.*name a new folder"), staged(tmp_path / "notes", 1):
        pass
    with pytest.raises(ExportError, match="file is a file"), staged(tmp_path / "file", 1):
        pass
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "years of work"


def test_no_room_is_said_before_any_time_is_spent(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**30, 2**30, 2**20))
    message = r"takes at least 3.0 MiB, and .* has 1.0 MiB free; make room, or export to another folder"
    with pytest.raises(ExportError, match=message), staged(tmp_path / "export", 3 * 2**20):
        pytest.fail("it was begun")
    assert names(tmp_path) == []


@pytest.fixture
def small_files():
    """No file may grow beyond 4 KiB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_is_full_on_the_way_is_said_and_nothing_is_left(tmp_path):
    message = r"could not be written to .*were free there. Make room, or export to another folder"
    with pytest.raises(ExportError, match=message), staged(tmp_path / "export", 10) as making:
        (making / "encoder.onnx").write_bytes(b"x" * 10_000)
    assert names(tmp_path) == []


def test_a_place_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    message = r"nothing can be written to .*file.*export to another folder"
    with pytest.raises(ExportError, match=message), staged(tmp_path / "file" / "export", 10):
        pass


def test_what_a_killed_export_left_is_removed_by_the_next_and_that_of_a_living_one_is_not(tmp_path):
    dead = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(dead, 0)
    for process in (dead, os.getppid()):
        (tmp_path / f".exporting-{process}-export").mkdir()
    with staged(tmp_path / "export", 10) as making:
        (making / "manifest.json").write_text("{}")
    assert names(tmp_path) == [f".exporting-{os.getppid()}-export", "export"]
