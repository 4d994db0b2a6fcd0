import pytest

from course_lib.batch.record import Claim
from course_lib.batch.summary import Spread, busy_seconds, group_runs, spread_of, together, verdict, went_well


def test_runs_that_differ_only_in_the_seed_belong_together(notebook_record):
    runs = [
        notebook_record(seed=seed, parameters={"profile": "cpu", "seed": seed, "width": width})
        for width in (1, 2)
        for seed in (0, 1, 2)
    ]
    groups = group_runs(runs)
    assert [group.parameters for group in groups] == [{"width": 1}, {"width": 2}]
    assert [len(group.runs) for group in groups] == [3, 3]


def test_a_record_that_is_a_dictionary_becomes_one_metric_for_each_entry(notebook_record):
    [group] = group_runs([notebook_record(seed=seed, records={"match": {"1": 1.0, "4": seed}}) for seed in (0, 1)])
    assert group.records == {"match.1": [1.0, 1.0], "match.4": [0, 1]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.95, 0.97, 0.99), "0.970 ± 0.020"),
        ((26.7, 27.1), "26.90 ± 0.28"),
        ((5.0, 5.0), "5"),
        ((100, 300), "200 ± 140"),
        ((7.5,), "7.5"),
    ],
)
def test_a_mean_has_as_many_digits_as_its_spread_allows(values, words):
    assert str(Spread(values)) == words


@pytest.mark.parametrize("values", [[], [1.0, None], [True, False], [1.0, float("nan")], ["a"]])
def test_only_finite_numbers_have_a_spread(values):
    assert spread_of(values) is None


def test_values_that_are_no_numbers_are_listed_once_each():
    assert together(["de", "de", "fr"]) == "de, fr"
    assert together([True, True]) == "yes"


def test_a_claim_that_fails_for_one_seed_fails(notebook_record):
    runs = [notebook_record(seed=seed, claims=[Claim("a", seed, "≥ 1", None, seed >= 1)]) for seed in (0, 1)]
    [claim] = group_runs(runs)[0].claims
    assert claim.holds is False


def test_a_claim_that_was_nowhere_judged_neither_holds_nor_fails(run_record, notebook_record):
    run = run_record(notebook_record(claims=[Claim("a", 1.0, "≥ 1", None, None)]))
    assert group_runs(run.notebooks)[0].claims[0].holds is None
    assert "1 claim only recorded" in verdict(run)
    assert went_well(run)


def test_time_between_two_sittings_and_time_side_by_side_count_once(run_record, notebook_record):
    spans = [("07:00:00", "07:01:00"), ("07:00:30", "07:02:00"), ("09:00:00", "09:00:10")]
    runs = [
        notebook_record(str(number), started=f"2026-11-21T{began}+00:00", finished=f"2026-11-21T{ended}+00:00")
        for number, (began, ended) in enumerate(spans)
    ]
    assert busy_seconds(run_record(*runs)) == 130.0


def test_without_clock_times_the_seconds_are_added(run_record, notebook_record):
    assert busy_seconds(run_record(notebook_record("a", seconds=5.0), notebook_record("b", seconds=None))) == 5.0


def test_a_run_of_nothing_did_not_go_well(run_record):
    assert not went_well(run_record())
