import pytest

from course_lib.evaluation.instructions import Score, all_together, exact_by_task, is_exact


def test_only_the_very_text_is_right_spaces_around_it_apart():
    assert is_exact(" a, b\n", "a, b")
    assert not is_exact("a,b", "a, b")
    assert not is_exact("A, b", "a, b")


def test_scores_are_by_task_and_together():
    scores = exact_by_task(["a", "b", "c"], ["a", "x", "c"], ["one", "one", "two"])
    assert scores == {"one": Score(1, 2), "two": Score(1, 1)}
    assert all_together(scores).share == pytest.approx(2 / 3)


def test_different_numbers_are_refused():
    with pytest.raises(ValueError, match="got 1, 2 and 1"):
        exact_by_task(["a"], ["a", "b"], ["t"])


def test_no_question_has_no_share():
    with pytest.raises(ValueError, match="nothing was asked"):
        _ = all_together(exact_by_task([], [], [])).share
