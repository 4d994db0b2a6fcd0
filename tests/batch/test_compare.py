import pytest

from course_lib.batch.compare import compare, judge_difference, render_comparison, write_comparison
from course_lib.batch.record import Claim
from course_lib.batch.summary import Spread


def rows_of(comparison, notebook=0):
    return {row.name: row for row in comparison.notebooks[notebook].rows}


def test_a_run_compared_with_itself_differs_in_nothing(run_record, notebook_record):
    run = run_record(notebook_record(records={"bleu": 26.75}, claims=[Claim("a", 1.0, "≥ 0", None, True)]))
    comparison = compare(run, run)
    assert not comparison.warnings
    assert {row.note for row in comparison.circumstances} == {"same"}
    assert {row.note for row in comparison.notebooks[0].rows} == {"", "same", "× 1.00"}


def test_different_profiles_are_not_comparable_and_no_metric_is_judged(run_record, notebook_record):
    before = run_record(notebook_record(records={"bleu": 10.0}), profile="smoke")
    after = run_record(notebook_record(records={"bleu": 26.0}))
    comparison = compare(before, after)
    assert "not comparable: the profiles differ (smoke and cpu)" in comparison.warnings[0]
    assert rows_of(comparison)["record bleu"].note == "not comparable"


def test_another_machine_makes_times_incomparable(run_record, notebook_record):
    other = {"cpu": "Other CPU", "cores": 64, "ram_bytes": 2**38, "gpus": [{"name": "H200"}]}
    comparison = compare(run_record(notebook_record()), run_record(notebook_record(), hardware=other))
    assert any("machines differ" in warning for warning in comparison.warnings)
    assert any(row.name == "machine" and "1 × H200" in row.after for row in comparison.circumstances)


def test_changed_and_missing_versions_are_listed_and_equal_ones_are_not(run_record, notebook_record):
    before = run_record(notebook_record(), versions={"python": "3.12.1", "torch": "2.13.0", "old": "1"})
    after = run_record(notebook_record(), versions={"python": "3.12.1", "torch": "2.14.0"})
    listed = {
        row.name: (row.before, row.after) for row in compare(before, after).circumstances if "version" in row.name
    }
    assert listed == {"version of torch": ("2.13.0", "2.14.0"), "version of old": ("1", "absent")}


def test_time_is_given_as_a_ratio(run_record, notebook_record):
    comparison = compare(run_record(notebook_record(seconds=40.0)), run_record(notebook_record(seconds=60.0)))
    assert rows_of(comparison)["time"].note == "× 1.50"


def test_the_time_of_a_notebook_that_was_cut_off_is_no_speed_up(run_record, notebook_record):
    cut_off = notebook_record(status="timeout", seconds=5.0)
    row = rows_of(compare(run_record(notebook_record()), run_record(cut_off)))["time"]
    assert row.note == "not comparable: not all ran to the end"


def test_a_claim_that_turned_is_named(run_record, notebook_record):
    before = run_record(notebook_record(claims=[Claim("good", 0.96, "≥ 0.95", None, True)]))
    after = run_record(notebook_record(claims=[Claim("good", 0.90, "≥ 0.95", None, False)]))
    row = rows_of(compare(before, after))["claim: good"]
    assert (row.before, row.after, row.note) == ("0.96, holds", "0.9, fails", "now fails")
    assert rows_of(compare(after, before))["claim: good"].note == "now holds"


def test_a_softened_bound_is_named(run_record, notebook_record):
    before = run_record(notebook_record(claims=[Claim("good", 0.96, "≥ 0.95", None, True)]))
    after = run_record(notebook_record(claims=[Claim("good", 0.96, "≥ 0.50", None, True)]))
    assert rows_of(compare(before, after))["claim: good"].note == "the bound was ≥ 0.95, is ≥ 0.50"


def test_a_setting_that_changed_is_named_and_the_notebook_still_compared(run_record, notebook_record):
    before = run_record(notebook_record(parameters={"seed": 0, "width": 32}, records={"bleu": 1.0}))
    after = run_record(notebook_record(parameters={"seed": 0, "width": 64}, records={"bleu": 2.0}))
    rows = rows_of(compare(before, after))
    assert (rows["setting width"].before, rows["setting width"].after) == ("32", "64")
    assert "record bleu" in rows


def test_runs_of_a_sweep_are_matched_by_their_settings(run_record, notebook_record):
    def sweep(*widths):
        return [
            notebook_record(key=str(width), parameters={"seed": 0, "width": width}, records={"width": width})
            for width in widths
        ]

    comparison = compare(run_record(*sweep(1, 2, 3)), run_record(*sweep(3, 2, 4)))
    assert [item.settings for item in comparison.notebooks] == ["width = 2", "width = 3"]
    assert [rows_of(comparison, number)["record width"].note for number in (0, 1)] == ["same", "same"]
    assert comparison.only_before == ["02_attention (width = 1)"]
    assert comparison.only_after == ["02_attention (width = 4)"]


def test_a_notebook_that_only_one_run_has_is_listed(run_record, notebook_record):
    comparison = compare(
        run_record(notebook_record("01_a"), notebook_record("02_b")),
        run_record(notebook_record("02_b"), notebook_record("03_c")),
    )
    assert [name.split()[0] for name in comparison.only_before] == ["01_a"]
    assert [name.split()[0] for name in comparison.only_after] == ["03_c"]


def test_runs_with_nothing_in_common_are_not_comparable(run_record, notebook_record):
    comparison = compare(run_record(notebook_record("01_a")), run_record(notebook_record("02_b")))
    assert any(warning.startswith("not comparable: the runs have no notebook") for warning in comparison.warnings)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((0.90, 0.95, 1.00), (0.92, 0.97, 1.02), "+0.02; within the spread over seeds"),
        ((0.90, 0.91, 0.92), (0.96, 0.97, 0.98), "+0.06; beyond the spread over seeds"),
        ((0.5, 0.5, 0.5), (0.6, 0.6, 0.6), "+0.1; beyond the spread over seeds"),
        ((0.90,), (0.97,), "+0.07; one run only, so the spread is unknown"),
        ((0.90, 0.95), (0.90, 0.95), "same"),
    ],
)
def test_a_difference_counts_only_when_it_is_larger_than_the_spread_over_seeds(before, after, verdict):
    assert judge_difference(Spread(before), Spread(after)).startswith(verdict)


def test_two_seeds_need_a_larger_difference_than_ten():
    def judged(repeats):
        return judge_difference(Spread((0.90, 0.92) * repeats), Spread((0.93, 0.95) * repeats))

    assert "within" in judged(1)
    assert "beyond" in judged(5)


def test_the_interval_is_welchs():
    scipy_stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    before, after = (0.90, 0.95, 1.00), (0.93, 0.94, 0.98)
    interval = scipy_stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    half = (interval.high - interval.low) / 2
    told = float(judge_difference(Spread(before), Spread(after)).split("±")[1].rstrip(")"))
    # Degrees of freedom are rounded down to look them up, which can only widen it; it is shown to two digits.
    assert half * 0.95 <= told <= half * 1.35


def test_records_that_are_no_numbers_are_the_same_or_differ(run_record, notebook_record):
    before = run_record(notebook_record(records={"language": "de", "losses": [1, 2], "gone": 1}))
    after = run_record(notebook_record(records={"language": "fr", "losses": [1, 2], "new": 1}))
    rows = rows_of(compare(before, after))
    assert rows["record language"].note == "differs"
    assert rows["record losses"].note == "same"
    assert (rows["record gone"].after, rows["record new"].before) == ("absent", "absent")


def test_hostile_text_does_not_become_markup_on_the_page(run_record, notebook_record):
    hostile = "<script>alert(1)</script>"
    run = run_record(
        notebook_record(hostile, records={hostile: hostile}, claims=[Claim(hostile, 1, hostile, None, True)])
    )
    text = render_comparison(compare(run, run))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_page_is_written_where_it_is_asked_for(run_record, notebook_record, tmp_path):
    run = run_record(notebook_record())
    write_comparison(compare(run, run), tmp_path / "both.html")
    assert "compared</h1>" in (tmp_path / "both.html").read_text(encoding="utf-8")
