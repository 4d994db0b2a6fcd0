"""The official rules of SQuAD 2.0 and CoQA on cases worked out by hand."""

import pytest

from course_lib.evaluation.qa import (
    coqa_exact_match,
    coqa_f1,
    exact_match,
    f1,
    normalize_answer,
    score_coqa,
    score_squad,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The U.S.-led plan", "usled plan"),
        ("  An  apple\tand a pear ", "apple and pear"),
        ("theatre", "theatre"),  # "the" only as a word
        ("A.B.C.", "abc"),
        ("The", ""),
        ("l'été — déjà", "lété — déjà"),  # only ASCII punctuation goes
        ("can't", "cant"),
        ("a-b", "ab"),
        ("the-a", "thea"),  # punctuation goes first, so that this is no article any more
    ],
)
def test_normalisation(text, expected):
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("prediction", "references", "equal", "overlap"),
    [
        ("the Euro", ["euro"], 1, 1),
        ("euro", ["dollar", "Euro."], 1, 1),
        ("Albanian Lek", ["lek"], 0, 2 / 3),  # precision 1/2, recall 1
        ("a b b c", ["b b d"], 0, 2 * (2 / 3) * (2 / 3) / (4 / 3)),  # words count as often as they stand
        ("c b", ["b c"], 0, 1),  # the order does not matter for F1
        ("yen", ["euro"], 0, 0),
        ("", [], 1, 1),
        ("euro", [], 0, 0),
        ("", ["euro"], 0, 0),
        ("the", ["a"], 1, 1),  # nothing left on both sides
        ("euro", ["the", "dollar"], 0, 0),  # a reference without words is none
        ("", ["the", "dollar"], 0, 0),
        ("x y", ["x", "x y z"], 0, 0.8),  # the best of 2/3 and 4/5
    ],
)
def test_squads_scores_of_one_answer(prediction, references, equal, overlap):
    assert exact_match(prediction, references) == equal
    assert f1(prediction, references) == pytest.approx(overlap)


def test_coqa_leaves_out_each_reference_in_turn():
    # Without "red": best 0; without "blue": best 1; without "green": best 1.
    assert coqa_exact_match("red", ["red", "blue", "green"]) == pytest.approx(2 / 3)
    assert exact_match("red", ["red", "blue", "green"]) == 1
    # One person agrees with nobody: each leaving out of another one still leaves the match.
    assert coqa_f1("red", ["red", "red", "blue"]) == 1
    # F1 with the three: 2/3, 1, 0. Left out in turn: max(1, 0), max(2/3, 0), max(2/3, 1).
    assert coqa_f1("red car", ["car", "the red car", "bus"]) == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_coqa_takes_a_single_reference_as_it_is():
    assert coqa_f1("red car", ["car"]) == pytest.approx(2 / 3)
    assert coqa_exact_match("The car", ["car"]) == 1
    assert coqa_f1("unknown", ["unknown"]) == 1
    with pytest.raises(ValueError, match="at least one reference"):
        coqa_f1("red", [])


def test_a_squad_set_is_divided_by_whether_there_is_an_answer():
    predictions = ["euro", "Albanian Lek", "", "Monday"]
    references = [["euro"], ["lek"], [], []]
    measured = score_squad(predictions, references)
    assert measured == {
        "exact": 50.0,
        "f1": pytest.approx(100 * (1 + 2 / 3 + 1 + 0) / 4),
        "total": 4,
        "HasAns_exact": 50.0,
        "HasAns_f1": pytest.approx(100 * (1 + 2 / 3) / 2),
        "HasAns_total": 2,
        "NoAns_exact": 50.0,
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
    }
    assert "NoAns_f1" not in score_squad(["euro"], [["euro"]])


def test_above_the_threshold_a_prediction_counts_as_no_answer():
    predictions, references = ["euro", "euro", "Monday"], [["euro"], ["yen"], []]
    measured = score_squad(predictions, references, no_answer=[0.2, 0.6, 0.9], threshold=0.5)
    assert measured["exact"] == pytest.approx(100 * 2 / 3)  # right; taken back, wrong; taken back, right
    assert measured["NoAns_exact"] == 100
    at_the_threshold = score_squad(predictions, references, no_answer=[0.5, 0.6, 0.9], threshold=0.5)
    assert at_the_threshold["HasAns_exact"] == 50  # not above it


def test_the_best_threshold_is_the_best_of_all():
    predictions = ["euro", "yen", "Monday", "lek", ""]
    references = [["euro"], ["euro"], [], ["lek"], []]
    no_answer = [0.1, 0.3, 0.4, 0.2, 0.8]
    measured = score_squad(predictions, references, no_answer)
    tried = {
        threshold: score_squad(predictions, references, no_answer, threshold)["exact"]
        for threshold in (0.0, *no_answer)
    }
    assert measured["best_exact"] == max(tried.values()) == 80
    assert measured["best_exact_thresh"] == 0.2
    assert tried[measured["best_exact_thresh"]] == measured["best_exact"]
    # If every answer is wrong it is best to give none.
    nothing = score_squad(["a b", "c d"], [["e"], []], [0.3, 0.4])
    assert (nothing["best_f1"], nothing["best_f1_thresh"]) == (50, 0.0)


def test_coqas_table_has_a_row_for_each_domain_and_group():
    predictions = ["yes", "no", "red", "blue"]
    references = [["yes"], ["yes"], ["red"], ["green"]]
    table = score_coqa(predictions, references, ["mctest", "reddit", "cnn", "atlas"])
    assert table["overall"] == {"em": 50.0, "f1": 50.0, "turns": 4}
    assert table["in_domain"] == {"em": 100.0, "f1": 100.0, "turns": 2}
    assert table["out_domain"] == {"em": 0.0, "f1": 0.0, "turns": 1}
    assert table["children_stories"]["turns"] == table["news"]["turns"] == table["reddit"]["turns"] == 1
    assert table["atlas"] == {"em": 0.0, "f1": 0.0, "turns": 1}
    assert set(score_coqa(predictions, references)) == {"overall"}


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="there are 1 predictions and 2 references"):
        score_squad(["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="at least one"):
        score_coqa([], [])
    with pytest.raises(ValueError, match="there are 1 predictions and 2 references, probabilities"):
        score_squad(["a"], [["a"]], [0.1, 0.2])
