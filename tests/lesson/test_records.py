import json
import math

import numpy as np
import pytest
import torch


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]


def test_a_float_is_shown_as_measured_and_kept_exactly(course, tmp_path, capsys):
    course.record("bleu_4_items", 26.74951)
    assert capsys.readouterr().out == "recorded bleu_4_items = ≈26.7\n"
    assert lines(tmp_path) == [{"kind": "record", "name": "bleu_4_items", "value": 26.74951}]


@pytest.mark.parametrize(
    ("value", "kept", "text"),
    [
        (12, 12, "12"),
        (True, True, "True"),
        (None, None, "None"),
        ("greedy", "greedy", "greedy"),
        (np.int64(3), 3, "3"),
        (np.float32(0.5), 0.5, "≈0.5"),
        (torch.tensor(0.5), 0.5, "≈0.5"),
        (torch.tensor([0.5, 0.25]), [0.5, 0.25], "[≈0.5, ≈0.25]"),
        ((1, 2), [1, 2], "[1, 2]"),
        ({1: 0.5, "b": [True]}, {"1": 0.5, "b": [True]}, "{1: ≈0.5, b: [True]}"),
        (math.nan, None, "≈nan (kept as null)"),
        (np.float64("inf"), None, "≈inf (kept as null)"),
        ([1.0, math.nan], [1.0, None], "[≈1, ≈nan (kept as null)]"),
    ],
)
def test_values_are_made_safe_for_json(course, tmp_path, capsys, value, kept, text):
    course.record("result", value)
    assert capsys.readouterr().out == f"recorded result = {text}\n"
    assert lines(tmp_path)[0]["value"] == kept


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, torch.zeros(2000)])
def test_a_value_that_json_cannot_hold_is_refused_and_nothing_is_written(course, tmp_path, value):
    with pytest.raises(TypeError, match="record 'result'"):
        course.record("result", value)
    assert not (tmp_path / "record.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "advice"), [("BLEU score", "bleu_score"), ("4_items", "4_items"), ("", "exact_match")]
)
def test_a_name_that_is_not_snake_case_is_refused(course, name, advice):
    with pytest.raises(ValueError, match="snake_case"):
        course.record(name, 1)


def test_the_same_name_with_another_value_is_refused(course):
    course.record("loss", 0.5)
    course.record("loss", 0.5)
    with pytest.raises(ValueError, match=r"'loss' was already recorded as 0\.5, now 0\.75"):
        course.record("loss", 0.75)


def test_a_learner_who_runs_a_cell_again_replaces_the_record(course, capsys):
    course.live = True
    course.record("loss", 0.5)
    course.record("loss", 0.75)
    assert "≈0.75" in capsys.readouterr().out


def test_without_a_record_file_nothing_is_written(course, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_RECORD_FILE")
    course.record("loss", 0.5)
    assert not (tmp_path / "record.jsonl").exists()


def test_a_record_file_that_cannot_be_written_is_an_error(course, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RECORD_FILE", str(tmp_path / "missing" / "record.jsonl"))
    with pytest.raises(OSError, match="could not be appended to COURSE_RECORD_FILE"):
        course.record("loss", 0.5)


def test_the_display_data_is_valid_and_holds_the_exact_value_as_text(run_cells):
    _, cell = run_cells(
        "from course_lib import lesson; course = lesson.start('07_trial')", "course.record('bleu', 26.74951)"
    )
    data = cell.outputs[0].data
    assert data["text/plain"] == "recorded bleu = ≈26.7"
    assert data["application/vnd.course.record.v1+json"] == '{"course_record": "bleu", "value": 26.74951}'


def test_several_results_are_recorded_under_their_own_names_in_one_line(course, tmp_path, capsys):
    course.record_all({"bleu_1": 99.5, "bleu_2": 80.25})
    assert [(line["name"], line["value"]) for line in lines(tmp_path)] == [("bleu_1", 99.5), ("bleu_2", 80.25)]
    assert capsys.readouterr().out.strip() == "recorded 2 results, bleu_1 to bleu_2"
