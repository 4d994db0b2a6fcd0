import json
import math

import numpy as np
import pytest
import torch

from course_lib import lesson
from course_lib.lesson import ClaimFailed


def line(tmp_path):
    return json.loads((tmp_path / "record.jsonl").read_text())


def test_a_claim_that_holds_is_drawn_and_recorded(course, tmp_path, capsys):
    course.claim("attention beats the fixed context", 0.987, at_least=0.95, paper="26.75 vs 17.82 BLEU")
    text = capsys.readouterr().out
    assert [word in text for word in ("≈0.987", "≥ 0.95", "26.75 vs 17.82 BLEU", "holds ✓")] == [True] * 4
    assert line(tmp_path) == {
        "kind": "claim",
        "text": "attention beats the fixed context",
        "measured": 0.987,
        "bound": "≥ 0.95",
        "paper": "26.75 vs 17.82 BLEU",
        "holds": True,
    }


@pytest.mark.parametrize(
    ("measured", "bound", "holds"),
    [
        (0.95, {"at_least": 0.95}, True),
        (0.9499, {"at_least": 0.95}, False),
        (0.30, {"at_most": 0.30}, True),
        (0.31, {"at_most": 0.30}, False),
        (12, {"equals": 12}, True),
        (13, {"equals": 12}, False),
        (True, {"equals": True}, True),
        (False, {"equals": True}, False),
        (False, {"equals": False}, True),
        (0, {"equals": 0}, True),
        (math.nan, {"at_least": 0.0}, False),
        (math.nan, {"at_most": 0.0}, False),
        (math.nan, {"equals": math.nan}, False),
        (math.inf, {"at_most": 1.0}, False),
        (np.float32(0.5), {"at_most": 0.5}, True),
        (np.bool_(True), {"equals": True}, True),
        (torch.tensor(0.5), {"at_least": 0.6}, False),
    ],
)
def test_a_claim_is_judged_by_its_bound(course, tmp_path, measured, bound, holds):
    course.claim("a statement", measured, **bound)
    assert line(tmp_path)["holds"] is holds


def test_a_measured_nan_is_null_in_the_record(course, tmp_path):
    course.claim("the loss is finite", math.nan, at_most=5)
    assert line(tmp_path)["measured"] is None


@pytest.mark.parametrize("bounds", [{}, {"at_least": 1, "at_most": 2}, {"equals": 1, "at_most": 2}])
def test_exactly_one_bound_is_needed(course, bounds):
    with pytest.raises(ValueError, match="needs exactly one of at_least, at_most, equals"):
        course.claim("a statement", 1, **bounds)


def test_true_and_false_are_compared_with_equals_only(course):
    with pytest.raises(ValueError, match="use equals=True or equals=False"):
        course.claim("tokens agree", True, at_least=1)


@pytest.mark.parametrize("measured", ["0.9", None, [0.9], torch.zeros(2)])
def test_a_measurement_that_is_not_one_number_is_refused(course, measured):
    with pytest.raises(TypeError, match="needs one measured number or True/False"):
        course.claim("a statement", measured, at_least=0)


def test_a_claim_without_words_is_refused(course):
    with pytest.raises(ValueError, match="needs a text"):
        course.claim(" ", 1, at_least=0)


def test_the_same_claim_twice_is_refused_in_a_batch_and_replaced_live(course):
    course.claim("a statement", 1.0, at_least=0)
    with pytest.raises(ValueError, match="was made before"):
        course.claim("a statement", 2.0, at_least=0)
    course.live = True
    course.claim("a statement", 2.0, at_least=0)


def test_floats_are_shown_as_measured_and_exact_results_exactly(course, capsys):
    course.claim("time falls", 0.25, at_most=1)
    assert "≈0.25" in capsys.readouterr().out
    course.claim("all tokens agree", 40, equals=40)
    assert "≈" not in capsys.readouterr().out
    course.claim("few mistakes", 3, at_most=5)
    assert "≈3" in capsys.readouterr().out


def test_finish_shows_all_claims_and_fails_a_batch_for_one_that_does_not_hold(course, capsys):
    course.claim("holds", 1.0, at_least=0.5)
    course.claim("does not", 0.25, at_least=0.5)
    capsys.readouterr()
    with pytest.raises(ClaimFailed, match=r"1 of 2 claims failed: 'does not': measured ≈0\.25, bound ≥ 0\.5"):
        course.finish()
    text = capsys.readouterr().out
    assert "holds ✓" in text
    assert "fails ✗" in text
    assert "1 of 2 fails." in text


def test_finish_is_content_when_all_claims_hold(course, capsys):
    course.claim("holds", 1.0, at_least=0.5)
    course.finish()
    assert "Claims of 07_trial, profile cpu, seed 0: 1 of 1 holds." in capsys.readouterr().out


def test_finish_without_claims_says_so(course, capsys):
    course.finish()
    assert "makes no claims" in capsys.readouterr().out


def test_a_learner_sees_the_failure_and_no_traceback(course, capsys):
    course.live = True
    course.claim("does not", 0.25, at_least=0.5)
    course.finish()
    assert capsys.readouterr().out.count("fails ✗") == 2


def test_the_smoke_profile_records_and_judges_nothing(course, tmp_path, capsys):
    small = lesson.start("07_trial", profile="smoke", seed=0)
    small.claim("does not hold here", 0.25, at_least=0.5)
    small.finish()
    assert "recorded (smoke)" in capsys.readouterr().out
    assert line(tmp_path)["holds"] is None


def test_hostile_text_is_shown_as_text(run_cells):
    _, cell = run_cells(
        "from course_lib import lesson; course = lesson.start('07_trial')",
        "course.claim('<script>alert(1)</script>', 1.0, at_least=0.5, paper='<b>')",
    )
    html = cell.outputs[0].data["text/html"]
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;" in html
