import errno
import json
import math
import os

import pytest

from course_lib.batch.record import Claim, NotebookRecord, RunFileError, RunRecord, load_run, read_record_file, save_run


def a_run(directory):
    claim = Claim("attention helps", 0.97, "≥ 0.95", "26.75", True)
    notebook = NotebookRecord(
        key="01_a__seed=1", name="01_a", status="ok", claims=[claim], records={"loss": 0.5}, seed=1
    )
    return RunRecord(profile="cpu", notebooks=[notebook], directory=directory)


def test_a_run_that_was_saved_is_loaded_the_same_from_its_folder_or_its_file(tmp_path):
    run = a_run(tmp_path)
    save_run(run)
    assert load_run(tmp_path) == run
    assert load_run(tmp_path / "run.json") == run


def test_the_file_keeps_the_names_that_other_tools_read(tmp_path):
    save_run(a_run(tmp_path))
    content = json.loads((tmp_path / "run.json").read_text())
    assert {"schema", "profile", "commit", "hardware", "versions", "notebooks"} <= content.keys()
    assert content["schema"] == 1
    names = "name status seconds peak_ram_bytes peak_vram_bytes parameters records claims output html log"
    assert set(names.split()) <= content["notebooks"][0].keys()
    assert content["notebooks"][0]["claims"][0].keys() == {"text", "measured", "bound", "paper", "holds"}


def test_keys_of_a_later_version_are_ignored(tmp_path):
    save_run(a_run(tmp_path))
    content = json.loads((tmp_path / "run.json").read_text())
    content["weather"] = content["notebooks"][0]["mood"] = "fine"
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert load_run(tmp_path) == a_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ('{"schema": 1, "profile"', "cannot be read"),
        ("[]", "has schema list"),
        ('{"schema": 99}', "has schema 99, this version reads schema 1"),
        ('{"schema": 1, "profile": "cpu"}', "is not a whole run record"),
        ('{"schema": 1, "profile": "cpu", "notebooks": [{"name": "a", "status": "fine"}]}', "status must be one of"),
        ('{"schema": 1, "profile": "cpu", "hardware": [], "notebooks": []}', "hardware is \\[\\]"),
        (
            '{"schema": 1, "profile": "cpu", "notebooks": [{"name": "a", "status": "ok", "records": null}]}',
            "records is None",
        ),
        (
            '{"schema": 1, "profile": "cpu", "notebooks": [{"name": "a", "status": "ok", "seconds": "1"}]}',
            "seconds is '1'",
        ),
        (
            '{"schema": 1, "profile": "cpu", "notebooks": [{"name": "a", "status": "ok", "claims": [1]}]}',
            "expected a Claim",
        ),
        ('{"schema": 1, "profile": "cpu", "notebooks": [1]}', "is not a whole run record"),
    ],
)
def test_a_damaged_record_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFileError, match=message):
        load_run(tmp_path)


def test_a_missing_run_says_what_to_give(tmp_path):
    with pytest.raises(RunFileError, match="give a run directory"):
        load_run(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"all:\n\techo\n", bytes(range(256)), b"x" * 5000, b"{}"])
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path, content):
    (tmp_path / "Makefile").write_bytes(content)
    with pytest.raises(RunFileError, match=r"Makefile (is no run\.json; give a run directory|has schema None)"):
        load_run(tmp_path / "Makefile")


def test_numbers_that_json_cannot_hold_become_null(tmp_path):
    run = a_run(tmp_path)
    run.notebooks[0].records = {"loss": math.nan, "list": [math.inf, 1.0]}
    save_run(run)
    assert load_run(tmp_path).notebooks[0].records == {"loss": None, "list": [None, 1.0]}


def test_a_full_disk_leaves_the_old_record_and_no_rest(tmp_path, monkeypatch):
    save_run(a_run(tmp_path))

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*/run\.json'$"):
        save_run(RunRecord(profile="gpu", directory=tmp_path))
    assert load_run(tmp_path) == a_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_line_cut_off_by_a_kill_is_dropped_and_a_bad_one_is_complained_of(tmp_path):
    file = tmp_path / "records.jsonl"
    claim = {"kind": "claim", "text": "t", "measured": 1, "bound": "≥ 0", "paper": None, "holds": True}
    wrong = claim | {"measured": "much"}
    lines = [{"kind": "record", "name": "x", "value": [1, 2]}, claim, wrong]
    lines = [*map(json.dumps, lines), "{oops}", '{"kind": "rec']
    file.write_text("\n".join(lines))
    records, claims, complaints = read_record_file(file)
    assert records == {"x": [1, 2]}
    assert claims == [Claim("t", 1, "≥ 0", None, True)]
    assert len(complaints) == 2
    assert "line 3" in complaints[0]
    assert "measured is 'much'" in complaints[0]
    assert "line 4" in complaints[1]


def test_a_notebook_that_recorded_nothing_has_empty_records(tmp_path):
    assert read_record_file(tmp_path / "missing.jsonl") == ({}, [], [])
