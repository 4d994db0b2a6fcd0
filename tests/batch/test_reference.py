import json

import pytest

from course_lib.batch.calibrate import CPU_PIECES, Calibration
from course_lib.batch.errors import UsageError
from course_lib.batch.record import Claim
from course_lib.batch.reference import REFERENCE_FILE, Reference, load_reference, update_reference


def calibration(machine="reference", scale=1.0):
    return Calibration(dict.fromkeys(CPU_PIECES, scale), machine, f"machine {machine}", "2026-11-21T07:00:00+00:00", 1)


def test_the_stored_reference_can_be_read():
    reference = load_reference(REFERENCE_FILE)
    assert all(time.seconds > 0 for profiles in reference.times.values() for time in profiles.values())


def test_times_are_taken_from_a_run_and_predicted_for_another_machine(run_record, notebook_record, tmp_path):
    file = tmp_path / "reference.json"
    update_reference(run_record(notebook_record("01_a", seconds=60.0)), calibration(), file)
    reference = load_reference(file)
    time = reference.time_of("01_a", "cpu")
    assert time is not None
    assert (time.seconds, time.peak_ram_bytes, time.date, time.machine) == (
        60.0,
        800 * 2**20,
        "2026-11-21",
        "reference",
    )
    assert reference.minutes_here("01_a", "cpu", calibration("here", 3.0)) == pytest.approx(3.0)


def test_nothing_is_predicted_without_a_time_or_without_a_calibration(run_record, notebook_record, tmp_path):
    reference = update_reference(run_record(notebook_record("01_a")), calibration(), tmp_path / "reference.json")
    assert reference.minutes_here("02_b", "cpu", calibration()) is None
    assert reference.minutes_here("01_a", "smoke", calibration()) is None
    assert reference.minutes_here("01_a", "cpu", None) is None


def test_other_notebooks_and_profiles_keep_their_times(run_record, notebook_record, tmp_path):
    file = tmp_path / "reference.json"
    update_reference(run_record(notebook_record("01_a"), notebook_record("02_b")), calibration("old"), file)
    update_reference(run_record(notebook_record("01_a", seconds=9.0), profile="smoke"), calibration("old"), file)
    update_reference(run_record(notebook_record("01_a", seconds=30.0)), calibration("new"), file)
    reference = load_reference(file)
    assert {name: set(profiles) for name, profiles in reference.times.items()} == {
        "01_a": {"cpu", "smoke"},
        "02_b": {"cpu"},
    }
    assert set(reference.machines) == {"old", "new"}
    update_reference(run_record(notebook_record("02_b")), calibration("new"), file)
    update_reference(run_record(notebook_record("01_a"), profile="smoke"), calibration("new"), file)
    assert set(load_reference(file).machines) == {"new"}


def test_seeds_count_by_their_median_time_and_largest_memory(run_record, notebook_record, tmp_path):
    runs = [
        notebook_record(seed=seed, seconds=seconds, peak_ram_bytes=seed + 1)
        for seed, seconds in enumerate((60.0, 90.0, 61.0))
    ]
    time = update_reference(run_record(*runs), calibration(), tmp_path / "r.json").time_of("02_attention", "cpu")
    assert time is not None
    assert (time.seconds, time.peak_ram_bytes) == (61.0, 3)


def test_a_run_with_a_failure_is_no_reference(run_record, notebook_record, tmp_path):
    failed_claim = [Claim("a", 0.0, "≥ 1", None, False)]
    for run in (
        run_record(notebook_record(status="failed")),
        run_record(notebook_record(claims=failed_claim)),
        run_record(),
    ):
        with pytest.raises(UsageError, match="all notebooks ran"):
            update_reference(run, calibration(), tmp_path / "r.json")
    assert not (tmp_path / "r.json").exists()


def test_notebooks_that_shared_the_machine_are_no_reference(run_record, notebook_record, tmp_path):
    with pytest.raises(UsageError, match="--jobs 1"):
        update_reference(run_record(notebook_record(), jobs=2), calibration(), tmp_path / "r.json")


def test_swept_settings_are_no_reference(run_record, notebook_record, tmp_path):
    runs = [notebook_record(parameters={"seed": 0, "width": width}) for width in (1, 2)]
    with pytest.raises(UsageError, match="default settings"):
        update_reference(run_record(*runs), calibration(), tmp_path / "r.json")


def test_a_missing_reference_is_empty(tmp_path):
    assert load_reference(tmp_path / "none.json") == Reference()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"schema": 2}',
        json.dumps(
            {
                "schema": 1,
                "machines": {},
                "times": {
                    "01_a": {
                        "cpu": {
                            "seconds": 1.0,
                            "peak_ram_bytes": 1,
                            "peak_vram_bytes": None,
                            "machine": "gone",
                            "date": "2026-11-21",
                        }
                    }
                },
            }
        ),
    ],
)
def test_a_damaged_reference_is_refused(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(UsageError, match="cannot be read"):
        load_reference(tmp_path / "r.json")
