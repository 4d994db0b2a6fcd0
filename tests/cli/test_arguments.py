import pytest

from course_lib.batch.errors import UsageError
from course_lib.cli.arguments import (
    assignments,
    memory_limit,
    notebook_folder,
    run_place,
    seed_numbers,
    sweeps,
    time_limit,
    with_resume_value,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("600", 600), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("0.5 h", 1800), (None, None)]
)
def test_a_time_limit_is_read_in_seconds_minutes_and_hours(text, seconds):
    assert time_limit(text) == seconds


@pytest.mark.parametrize("text", ["", "abc", "10x", "-5", "0", "10 m or so", "1e3"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match="--timeout"):
        time_limit(text)


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 * 2**30), ("512M", 2**29), ("1.5GiB", 3 * 2**29), ("2048kb", 2**21), (None, None)]
)
def test_a_memory_limit_is_read_in_binary_units(text, size):
    assert memory_limit(text) == size


@pytest.mark.parametrize("text", ["", "four", "4GG", "-1G", "4"])
def test_what_is_no_size_or_too_little_is_refused(text):
    with pytest.raises(UsageError, match="--memory"):
        memory_limit(text)


def test_seeds_are_whole_numbers_each_named_once():
    assert seed_numbers("0,1, 2") == [0, 1, 2]
    assert seed_numbers(None) is None
    for text in ("", "0,", "a", "1.5", "-1", "0,0"):
        with pytest.raises(UsageError, match="--seeds"):
            seed_numbers(text)


def test_a_value_may_hold_an_equals_sign():
    assert assignments("--param", ["a=b=c", " x =1"]) == {"a": "b=c", "x": "1"}


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a=1", "a=2"]])
def test_an_assignment_without_a_name_or_twice_is_refused(given):
    with pytest.raises(UsageError, match="--param"):
        assignments("--param", given)


def test_a_sweep_is_a_name_and_its_values():
    assert sweeps(["width=32, 64", "kind=a"]) == {"width": ["32", "64"], "kind": ["a"]}


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["--resume"], ["--resume", "latest"]),
        (["--resume", "--jobs", "2"], ["--resume", "latest", "--jobs", "2"]),
        (["--resume", "02"], ["--resume", "latest", "02"]),
        (["--resume", "latest", "02"], ["--resume", "latest", "02"]),
        (["--resume", "runs/x"], ["--resume", "runs/x"]),
        (["--resume", "here"], ["--resume", "here"]),
        (["01", "--jobs", "2"], ["01", "--jobs", "2"]),
        (["--", "--resume"], ["--", "--resume"]),
    ],
)
def test_resume_may_stand_without_a_directory(monkeypatch, tmp_path, typed, understood):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert with_resume_value(typed) == understood


def test_latest_is_the_newest_run():
    assert run_place("latest").parts == ("runs", "latest")
    assert run_place("elsewhere/run.json").parts == ("elsewhere", "run.json")


def test_the_series_is_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (notebook_folder(None).parent / "course_lib").is_dir()
    (tmp_path / "notebooks").mkdir()
    assert notebook_folder(None).resolve() == (tmp_path / "notebooks").resolve()
    assert notebook_folder(tmp_path) == tmp_path
