import json
import os
import subprocess
import sys
import warnings

import pytest

from course_lib import progress
from course_lib.progress import exercise_progress, lesson_progress, note


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The learner's file; nothing from other tests is in memory."""
    path = tmp_path / "somewhere" / "progress.jsonl"
    monkeypatch.setenv("COURSE_PROGRESS_FILE", str(path))
    monkeypatch.setattr(progress, "_kept_in_memory", [])
    monkeypatch.setattr(progress, "_warned", set())
    for name in ("COURSE_MODE", "COURSE_RECORD_FILE", "COURSE_ANSWERING"):
        monkeypatch.delenv(name, raising=False)
    return path


def test_an_event_is_one_line_of_json(file):
    note("hint", "02.1", number=1, step="line\nseparator\u2028 and ü")
    (line,) = file.read_bytes().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    payload = {"number": 1, "step": "line\nseparator\u2028 and ü"}
    assert entry == {"schema": 1, "kind": "hint", "subject": "02.1", "payload": payload}


def test_best_attempt_hints_steps_and_first_pass_are_counted(file, monkeypatch):
    note("check", "02.1", check=None, held=1, of=3)
    note("check", "02.1", check="one", held=1, of=1)
    note("hint", "02.1", number=1)
    note("hint", "02.1", number=2)
    note("step", "02.1", step="gaps")
    note("step", "02.1", step="gaps")
    note("check", "02.1", check=None, held=3, of=3)
    first = progress.events()[-1].time
    note("check", "02.1", check=None, held=0, of=3)
    note("check", "02.2", check=None, held=0, of=3)
    found = exercise_progress("02.1")
    assert (found.attempts, found.best, found.of, found.passed) == (3, 3, 3, True)
    assert (found.hints_used, found.steps_used, found.first_passed) == (2, ["gaps"], first)
    assert not exercise_progress("02.2").passed
    assert not exercise_progress("02.3").begun


def test_retrieval_counts_by_the_latest_answer_predictions_by_the_first(file):
    for question, known in [("1", False), ("2", True), ("1", True), ("3", False)]:
        note("recall", "02_x", question=question, known=known)
    for question, right in [("a", False), ("a", True), ("b", True), ("number", None)]:
        note("prediction", "02_x", question=question, right=right)
    found = lesson_progress("02_x")
    assert (found.known, found.asked, found.right, found.judged, found.made) == (2, 3, 1, 2, 3)


def test_a_torn_line_is_passed_over_and_kept(file):
    note("hint", "02.1", number=1)
    torn = b'{"schema": 1, "time": "2026-11-21T10:15:00+00:00", "kind": "hi'
    with file.open("ab") as opened:
        opened.write(torn)
    assert exercise_progress("02.1").hints_used == 1
    note("hint", "02.1", number=2)
    assert exercise_progress("02.1").hints_used == 2
    assert torn in file.read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"schema": 2, "time": "t", "kind": "hint", "subject": "02.1", "payload": {"number": 3}}',
        b'{"schema": 1, "time": "t", "kind": "medal", "subject": "02.1", "payload": {}}',
        b'{"schema": 1, "time": "t", "kind": "hint", "subject": "02.1", "payload": 3}',
        b'{"schema": 1, "time": "t", "kind": ["hint"], "subject": "02.1", "payload": {}}',
        b'{"schema": 1, "time": "t", "kind": "hint", "subject": "02.1", "payload": {"number": "many"}}',
        b'{"schema": 1, "time": "t", "kind": "check", "subject": "02.1", "payload": {"held": null, "of": -1}}',
    ],
)
def test_odd_lines_and_those_of_a_later_version_are_kept_and_not_counted(file, line):
    file.parent.mkdir()
    file.write_bytes(line + b"\n")
    note("hint", "02.1", number=1)
    found = exercise_progress("02.1")
    assert (found.hints_used, found.passed) == (1, False)
    assert file.read_bytes().startswith(line + b"\n")


def test_two_kernels_lose_no_event(file):
    script = (
        "from course_lib import progress\n"
        "for n in range(60): progress.note('recall', 'x', question=f'{%d}.{n}', known=True)"
    )
    started = [subprocess.Popen([sys.executable, "-c", script % number]) for number in range(2)]
    assert [process.wait(timeout=60) for process in started] == [0, 0]
    assert lesson_progress("x").known == 120


def test_a_file_that_cannot_be_written_costs_one_warning(file):
    file.parent.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="progress is not being kept"):
        note("hint", "02.1", number=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        note("hint", "02.1", number=2)
    assert exercise_progress("02.1").hints_used == 2, "within the session it is remembered"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_costs_one_warning(file, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS_FILE", "/dev/full")
    with pytest.warns(UserWarning, match="No space left"):
        note("hint", "02.1", number=1)


def test_a_stuck_lock_stops_nobody_for_long(file, monkeypatch):
    import fcntl

    monkeypatch.setattr(progress, "LONGEST_WAIT_FOR_LOCK", 0.05)
    note("hint", "02.1", number=1)
    with file.open("a") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        note("hint", "02.1", number=2)
    assert exercise_progress("02.1").hints_used == 2


@pytest.mark.parametrize(
    ("variable", "value"), [("COURSE_MODE", "batch"), ("COURSE_RECORD_FILE", "x"), ("COURSE_ANSWERING", "1")]
)
def test_a_batch_and_a_worker_keep_nothing(file, monkeypatch, variable, value):
    note("hint", "02.1", number=2)
    before = file.read_bytes()
    monkeypatch.setenv(variable, value)
    note("hint", "02.1", number=1)
    assert exercise_progress("02.1").hints_used == 1, "only what happened in this batch"
    assert file.read_bytes() == before


def test_tests_keep_nothing_unless_a_file_is_named(file, monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_PROGRESS_FILE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    note("hint", "02.1", number=1)
    assert not (tmp_path / "data").exists()


def test_by_default_the_file_is_in_the_users_data_folder(file, monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_PROGRESS_FILE")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    note("hint", "02.1", number=1)
    assert (tmp_path / "data" / "course" / "progress.jsonl").read_text().count("\n") == 1


def test_an_unknown_kind_is_refused(file):
    with pytest.raises(ValueError, match="unknown kind of event 'medal'; choose from check"):
        note("medal", "02.1")


def test_no_progress_yet_is_no_fault(file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert exercise_progress("02.1").attempts == 0
    assert not file.exists()
