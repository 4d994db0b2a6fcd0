import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from course_lib.batch.errors import UsageError
from course_lib.batch.files import lock_directory, new_run_directory, point_latest, resolve_latest

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def test_two_runs_of_the_same_second_get_two_folders(tmp_path):
    first, second = (new_run_directory(tmp_path / "runs", "cpu", NOON) for _ in range(2))
    assert first.name == "20260102T120000Z-cpu"
    assert second.name == "20260102T120000Z-cpu-2"
    assert first.is_dir()
    assert second.is_dir()


def test_latest_follows_the_newest_run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        point_latest(tmp_path / "latest", tmp_path / name)
    assert (tmp_path / "latest").resolve() == tmp_path / "b"
    assert os.readlink(tmp_path / "latest") == "b"


def test_where_links_are_impossible_latest_is_a_text_file(tmp_path, monkeypatch):
    def impossible(self, target):
        raise OSError("links are not supported here")

    monkeypatch.setattr(Path, "symlink_to", impossible)
    (tmp_path / "a").mkdir()
    point_latest(tmp_path / "latest", tmp_path / "a")
    assert (tmp_path / "latest").read_text() == "a\n"
    assert resolve_latest(tmp_path / "latest") == tmp_path / "a"


def test_a_directory_serves_one_runner_at_a_time(tmp_path):
    with (
        lock_directory(tmp_path),
        pytest.raises(UsageError, match=f"in use by another runner .process {os.getpid()}"),
        lock_directory(tmp_path),
    ):
        pass
    with lock_directory(tmp_path):
        pass


HOLD = """
import signal, sys
from pathlib import Path
from course_lib.batch.files import lock_directory
with lock_directory(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_the_lock_of_a_killed_runner_is_free(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=f"process {holder.pid}"), lock_directory(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with lock_directory(tmp_path):
        pass
