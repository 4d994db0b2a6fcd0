"""Shipped results: found by name, summed up by parameters."""

import json

import pytest

from course_lib.lesson import shipped


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.lesson.shipped_results.RESULTS", tmp_path)
    runs = [
        {"parameters": {"seed": seed, "score": score}, "records": {"bleu_4": value}}
        for seed, score, value in [(0, "dot", 90.0), (1, "dot", 94.0), (0, "additive", 99.0)]
    ]
    content = {
        "command": "course run 02",
        "date": "2026-01-02",
        "hardware": {"cpu": "a CPU", "cores": 2, "ram_bytes": 2**34},
        "runs": runs,
    }
    (tmp_path / "seeds.json").write_text(json.dumps(content))


@pytest.mark.usefixtures("results")
def test_records_are_summed_up_over_the_runs_with_the_parameters():
    assert shipped("seeds").mean_and_spread("bleu_4", score="dot") == (92.0, 90.0, 94.0)
    assert shipped("seeds").values("bleu_4", score="additive") == [99.0]


@pytest.mark.usefixtures("results")
def test_the_origin_names_command_machine_and_date():
    assert shipped("seeds").origin == "course run 02 · a CPU, 2 cores, 16 GiB · 2026-01-02"


@pytest.mark.usefixtures("results")
def test_an_unknown_record_or_parameter_is_refused_with_what_there_is():
    with pytest.raises(KeyError, match="bleu_4"):
        shipped("seeds").values("bleu_5", score="dot")
    with pytest.raises(KeyError, match="score"):
        shipped("seeds").values("bleu_4", score="cosine")


@pytest.mark.usefixtures("results")
def test_an_unknown_result_is_refused_with_the_known_names():
    with pytest.raises(FileNotFoundError, match="seeds"):
        shipped("nothing")
