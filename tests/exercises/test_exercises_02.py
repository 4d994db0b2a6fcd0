"""The exercises of lesson 02, beyond what holds for all exercises: are the broken attentions broken as they say?"""

import ast
import math
import re

import pytest
import torch

from course_lib.exercises.catalogue import find_exercise, load_module
from course_lib.exercises.checking import run_checks
from course_lib.lesson import shipped

lab = load_module(find_exercise("02.3").master.with_name("broken.py"), "broken_under_test")
LENGTHS = [3, 5, 2, 4]
BROKEN = [specimen for specimen in lab.SPECIMENS if specimen.group != "sound"]
SOUND = [specimen for specimen in lab.SPECIMENS if specimen.group == "sound"]


def batch(lengths=LENGTHS, source=5, seed=7):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(len(lengths), lab.QUERY_SIZE, generator=generator)
    keys = torch.randn(len(lengths), source, lab.KEY_SIZE, generator=generator)
    return query, keys, torch.arange(source) < torch.tensor(lengths).unsqueeze(1)


def true_answer(*arguments):
    """The attention with the matrices that all broken ones share."""
    return lab.callable_of(SOUND[0])(*arguments)


def distance(answer, other):
    """The largest difference in context or weights; infinite where one is NaN."""
    differences = [
        (one - two).abs().nan_to_num(nan=math.inf).max().item() for one, two in zip(answer, other, strict=True)
    ]
    return max(differences)


def named(specimens):
    return pytest.mark.parametrize("specimen", specimens, ids=[specimen.symptom for specimen in specimens])


def test_the_lab_has_enough_faults_for_both_sides():
    # as the exercise says: "Eleven broken attentions wait in the lab"
    assert len([specimen for specimen in BROKEN if not specimen.hidden]) == 11
    assert len([specimen for specimen in BROKEN if specimen.hidden]) >= 8
    for group in ("mask", "softmax", "context", "state"):
        assert lab.specimens(group)
        assert lab.specimens(group, hidden=True)
    symptoms = [specimen.symptom for specimen in lab.SPECIMENS]
    assert len(set(symptoms)) == len(symptoms)


@named(SOUND)
def test_a_sound_attention_has_all_the_properties(specimen):
    attention = lab.callable_of(specimen)
    query, keys, is_word = batch()
    context, weights = attention(query, keys, is_word)
    assert torch.allclose(weights.sum(-1), torch.ones(4), atol=1e-6)
    assert (weights[~is_word] == 0).all()
    assert torch.allclose(context, torch.einsum("bs,bsk->bk", weights, keys), atol=1e-5)
    order = torch.tensor([3, 1, 4, 0, 2])
    turned_context, turned = attention(query, keys[:, order], is_word[:, order])
    assert torch.allclose(turned, weights[:, order], atol=1e-6)
    assert torch.allclose(turned_context, context, atol=1e-5)
    for row, words in enumerate(LENGTHS):
        alone = attention(query[row : row + 1], keys[row : row + 1, :words], is_word[row : row + 1, :words])
        assert distance(alone, (context[row : row + 1], weights[row : row + 1, :words])) < 1e-5
    # and it looks: other states get weights that differ by far more than rounding
    _, elsewhere = attention(query.roll(1, 0), keys, is_word)
    assert (elsewhere - weights).abs().max() > 0.05


@named(BROKEN)
def test_a_broken_attention_is_broken_by_more_than_rounding(specimen):
    assert distance(lab.callable_of(specimen)(*batch()), true_answer(*batch())) > 0.01


@named([specimen for specimen in BROKEN if "padding" in specimen.needs])
def test_a_fault_that_needs_padding_is_not_seen_without(specimen):
    full = batch([5, 5, 5])
    if "faint" not in specimen.needs:  # its energies are clamped, which no property of full sentences can tell
        assert distance(lab.callable_of(specimen)(*full), true_answer(*full)) < 1e-5
    else:
        assert torch.allclose(lab.callable_of(specimen)(*full)[1].sum(-1), torch.ones(3))


@named([specimen for specimen in BROKEN if "neighbours" in specimen.needs])
def test_a_fault_that_needs_neighbours_is_not_seen_alone(specimen):
    alone = batch([3], source=3)
    assert distance(lab.callable_of(specimen)(*alone), true_answer(*alone)) < 1e-5


@named(BROKEN)
def test_sums_tell_just_the_faults_that_say_so(specimen):
    _, weights = lab.callable_of(specimen)(*batch())
    assert torch.allclose(weights.sum(-1), torch.ones(4), atol=1e-4) == ("sums" not in specimen.needs)


@named(BROKEN)
def test_the_context_alone_tells_just_the_faults_that_say_so(specimen):
    query, keys, is_word = batch()
    context, weights = lab.callable_of(specimen)(query, keys, is_word)
    follows = torch.allclose(context, torch.einsum("bs,bsk->bk", weights, keys), atol=1e-4, equal_nan=True)
    assert follows == ("context" not in specimen.needs)
    assert ("context" in specimen.needs) == (specimen.group == "context")


@named(BROKEN)
def test_another_state_changes_the_weights_unless_that_is_the_fault(specimen):
    query, keys, is_word = batch()
    attention = lab.callable_of(specimen)
    weights, elsewhere = (attention(asked, keys, is_word)[1].nan_to_num() for asked in (query, -query))
    assert torch.equal(weights, elsewhere) == ("state" in specimen.needs)


@named([specimen for specimen in BROKEN if "order" in specimen.needs])
def test_a_fault_of_places_shows_in_another_order(specimen):
    query, keys, is_word = batch([5, 5])
    order = torch.tensor([4, 2, 0, 3, 1])
    attention = lab.callable_of(specimen)
    difference = attention(query, keys[:, order], is_word)[1] - attention(query, keys, is_word)[1][:, order]
    assert difference.abs().max() > 0.01


@named([specimen for specimen in BROKEN if "faint" in specimen.needs])
def test_a_faint_share_is_small_and_yet_far_above_rounding(specimen):
    query, keys, is_word = batch()
    share = lab.callable_of(specimen)(query, keys, is_word)[1][~is_word].max()
    assert 0.005 < share < 0.1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda query, keys, is_word: (query[:, :2], keys, is_word), r"got \[4, 2\]"),
        (lambda query, keys, is_word: (query, keys[0], is_word), "source, 6"),
        (lambda query, keys, is_word: (query, keys, is_word.float()), "True and False"),
        (lambda query, keys, is_word: (query, keys, torch.zeros_like(is_word)), "a word in each"),
        (lambda query, keys, is_word: (query.tolist(), keys, is_word), "three tensors"),
        (
            lambda *_: (torch.zeros(1, 4), torch.zeros(1, 1, 6).expand(1, 5000, 6), torch.ones(1, 5000).bool()),
            "at most",
        ),
    ],
)
def test_an_attention_refuses_what_it_cannot_take(arguments, said):
    with pytest.raises(ValueError, match=said):
        lab.callable_of(SOUND[0])(*arguments(*batch()))


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (lambda attention: True, "always_true"),
        (lambda attention: attention(*batch()) is not None, "false_alarm"),
        (lambda attention: False, "always_false"),
        (lambda attention: None, "no_bool"),
        (lambda attention: 1, "no_bool"),
    ],
)
def test_who_does_not_look_gets_nothing(answer, mistake):
    report = run_checks(find_exercise("02.3"), {"catches_fault": answer})
    assert [result.verdict for result in report.results] == ["failed"] * 5
    assert report.results[0].mistake == mistake
    assert report.hint_for(report.results[0])


def test_nobody_answers_by_counting():
    asked = []

    def counts(attention):
        attention(*batch())
        asked.append(attention)
        return len(asked) > 2  # right, if the two sound ones came first

    outcomes = set()
    for _ in range(20):
        asked.clear()
        outcomes.add(run_checks(find_exercise("02.3"), {"catches_fault": counts}, only="mask_faults").passed)
    assert False in outcomes


def test_a_verdict_may_be_a_tensor_of_one_truth_value():
    def sums_differ(attention):
        _, weights = attention(*batch())
        return ((weights.sum(-1) - 1).abs() > 1e-4).any() | weights.isnan().any()

    report = run_checks(find_exercise("02.3"), {"catches_fault": sums_differ})
    verdicts = {result.name: result.passed for result in report.results}
    assert verdicts["sound_pass_and_broken_do_not"]
    assert verdicts["softmax_faults"]
    assert not verdicts["mask_faults"]


def test_survivors_are_told_by_their_symptom():
    report = run_checks(find_exercise("02.3"), {"catches_fault": lambda attention: False}, only="mask_faults")
    assert report.results[0].example["padding gets its share of the weight"] == "SURVIVED"
    assert "0 of 3" in report.results[0].found


def test_an_error_in_a_check_is_told_with_the_symptom_it_met():
    report = run_checks(find_exercise("02.3"), {"catches_fault": lambda attention: attention(1, 2, 3)})
    assert report.results[0].verdict == "raised"
    assert "three tensors" in report.results[0].found
    assert report.results[0].example["attention"] in {specimen.symptom for specimen in lab.SPECIMENS}


def test_the_kept_runs_are_those_of_the_shipped_results():
    kept = shipped("02_bahdanau_attention_seeds")
    real = {
        score: [
            (round(exact, 3), round(looks, 3))
            for exact, looks in zip(
                kept.values("with_exact_match_4", score=score, start="torch"),
                kept.values("alignment_accuracy", score=score, start="torch"),
                strict=True,
            )
        ]
        for score in ("additive", "general", "dot")
    }
    exercise = find_exercise("02.5")
    assert real == load_module(exercise.master.with_name("checks.py"), "checks_under_test").KEPT
    shown = re.search(r"^results = (\{.*?^\})", exercise.master.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert ast.literal_eval(re.sub(r"#.*", "", shown[1])) == real
