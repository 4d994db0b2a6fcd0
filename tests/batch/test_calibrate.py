import dataclasses
import json

import pytest
import torch

from course_lib.batch import calibrate as module
from course_lib.batch.calibrate import (
    CPU_PIECES,
    Calibration,
    cached_calibration,
    calibrate,
    machine_factor,
    machine_fingerprint,
    predict_minutes,
    save_calibration,
    start_kernel,
)


def calibration(scale=1.0, **seconds):
    times = {name: scale * (position + 1) for position, name in enumerate(CPU_PIECES)} | seconds
    return Calibration(times, machine_fingerprint(), "some machine", "2026-11-21T07:00:00+00:00", 1)


def test_a_machine_is_as_fast_as_itself():
    assert machine_factor(calibration(), calibration()) == pytest.approx(1.0)


def test_a_machine_that_takes_twice_as_long_for_everything_has_factor_two():
    assert machine_factor(calibration(2.0), calibration()) == pytest.approx(2.0)


def test_one_slow_piece_counts_for_its_share():
    slower = calibration(kernel_start=16 * calibration().seconds["kernel_start"])
    assert machine_factor(slower, calibration()) == pytest.approx(2.0)


def test_the_gpu_profile_is_not_predicted_from_a_cpu():
    assert machine_factor(calibration(), calibration(), "gpu") is None
    fast = calibration(gru_training_step_gpu=1.0, small_operations_gpu=1.0)
    slow = calibration(gru_training_step_gpu=4.0, small_operations_gpu=2.0)
    assert machine_factor(slow, fast, "gpu") == pytest.approx(2.0)


def test_a_prediction_is_the_reference_time_times_the_factor():
    assert predict_minutes(90.0, 2.0) == 3.0


@pytest.mark.parametrize(("seconds", "factor"), [(0.0, 1.0), (60.0, 0.0), (60.0, -1.0)])
def test_a_time_or_factor_that_is_not_positive_is_refused(seconds, factor):
    with pytest.raises(ValueError, match="must be > 0"):
        predict_minutes(seconds, factor)


def test_a_kept_calibration_comes_back(tmp_path):
    kept = calibration()
    save_calibration(kept, tmp_path / "new")
    assert cached_calibration(tmp_path / "new") == kept


def test_a_calibration_of_another_machine_does_not_count(tmp_path):
    save_calibration(dataclasses.replace(calibration(), machine="another"), tmp_path)
    assert cached_calibration(tmp_path) is None


def test_a_calibration_with_more_threads_than_a_lesson_does_not_count(tmp_path):
    save_calibration(dataclasses.replace(calibration(), threads=2), tmp_path)
    assert cached_calibration(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"seconds": {}}',
        '{"seconds": {"x": -1.0}, "machine": "", "description": "", "date": ""}',
    ],
)
def test_a_damaged_calibration_counts_as_none(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    assert cached_calibration(tmp_path) is None


def test_no_calibration_is_none(tmp_path):
    assert cached_calibration(tmp_path / "nowhere") is None


def test_the_fingerprint_ignores_a_little_memory_and_notices_another_processor():
    hardware = {"cpu": "A", "cores": 2, "ram_bytes": 8 * 2**30, "gpus": []}
    assert machine_fingerprint(hardware) == machine_fingerprint(hardware | {"ram_bytes": 8 * 2**30 - 4096})
    assert machine_fingerprint(hardware) != machine_fingerprint(hardware | {"cpu": "B"})
    assert machine_fingerprint(hardware) != machine_fingerprint(hardware | {"gpus": [{"name": "H200"}]})


def test_a_kernel_that_cannot_start_is_told_with_its_last_words(monkeypatch, tmp_path):
    not_python = tmp_path / "python"
    not_python.write_text("#!/bin/sh\necho no ipykernel here >&2\nexit 1\n")
    not_python.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(not_python))
    with pytest.raises(RuntimeError, match="no ipykernel here"):
        start_kernel()


@pytest.mark.slow
def test_a_calibration_times_every_piece_and_keeps_its_limit():
    told = []
    torch.set_num_threads(2)
    measured = calibrate(limit_seconds=1.0, tell=told.append)
    assert set(CPU_PIECES) <= set(told) == set(measured.seconds)
    assert all(seconds > 0 for seconds in measured.seconds.values())
    assert measured.machine == machine_fingerprint()
    assert (measured.threads, torch.get_num_threads()) == (1, 2)
    assert json.loads(json.dumps(dataclasses.asdict(measured)))["seconds"] == measured.seconds
