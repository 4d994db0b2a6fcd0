"""The exercises of lesson 03, beyond what holds for all exercises: other right answers pass, other wrong ones fail."""

import functools
import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from course_lib.exercises.answering import AnswerSession
from course_lib.exercises.building.master import read_master
from course_lib.exercises.building.trial import hidden_tests
from course_lib.exercises.catalogue import find_exercise, load_module
from course_lib.exercises.checking import run_checks
from course_lib.models import scaled_attention
from course_lib.models.positions import sinusoids


@functools.cache
def exercise(id):
    return find_exercise(id)


def first_failure(id, **answers):
    """(check, mistake) of the first check that fails; (None, None) if all pass."""
    failed = [result for result in run_checks(exercise(id), answers).results if not result.passed]
    return (failed[0].name, failed[0].mistake) if failed else (None, None)


def passes_all(id, **answers):
    """Public checks and hidden tests; hidden tests raise where they fail."""
    assert first_failure(id, **answers) == (None, None)
    for text in hidden_tests(read_master(exercise(id))).values():
        exec(text, dict(answers))
    return True


# 03.1 scaled dot-product attention


def in_loops(query, key, value, may_look):
    may_look = may_look.expand(*query.shape[:-1], key.shape[-2])
    weights = torch.zeros(may_look.shape)
    for batch, head, target in torch.cartesian_prod(*map(torch.arange, query.shape[:-1])).tolist():
        seen = may_look[batch, head, target].nonzero().flatten()
        scores = torch.stack([query[batch, head, target].dot(key[batch, head, place]) for place in seen])
        weights[batch, head, target, seen] = (scores * query.shape[-1] ** -0.5).softmax(0)
    return [torch.einsum("bhts,bhsv->bhtv", weights, value), weights]


def with_a_very_low_score(query, key, value, may_look):
    scores = torch.where(may_look, (query / query.shape[-1] ** 0.5) @ key.mT, -1e9)
    return scores.softmax(-1) @ value, scores.softmax(-1)


def by_hand_with_exp(query, key, value, may_look):
    scores = torch.einsum("bhtd,bhsd->bhts", query, key) / query.shape[-1] ** 0.5
    scores = scores.masked_fill(may_look.logical_not(), -torch.inf)
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return (powers @ value) / powers.sum(-1, keepdim=True), powers / powers.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    "attention", [in_loops, with_a_very_low_score, by_hand_with_exp, scaled_attention.scaled_dot_product]
)
def test_other_ways_to_write_the_attention_pass(attention):
    assert passes_all("03.1", scaled_dot_product=attention)


def context_alone(query, key, value, may_look):
    return scaled_dot_product_attention(query, key, value, attn_mask=may_look)


def without_a_mask(query, key, value, may_look):
    return in_loops(query, key, value, torch.ones_like(may_look))


def mean_of_values(query, key, value, may_look):
    _, weights = in_loops(query, key, value, may_look)
    return value.mean(-2, keepdim=True).expand(*query.shape[:-1], -1), weights


def numbers_of_no_meaning(query, key, value, may_look):
    return torch.ones(*query.shape[:-1], value.shape[-1]), may_look.expand(*query.shape[:-1], -1) * 1.0


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (context_alone, ("context_and_weights", "not_a_pair")),
        (without_a_mask, ("hidden_places_get_nothing", "unused_mask")),
        (mean_of_values, ("same_as_torch", "mean_of_values")),
        (lambda *given: tuple(part.flatten(0, 1) for part in in_loops(*given)), ("context_and_weights", "wrong_shape")),
        (numbers_of_no_meaning, ("places_share_one", None)),
        (lambda *_: None, ("context_and_weights", "not_a_pair")),
    ],
)
def test_other_wrong_attentions_fail(attention, expected):
    assert first_failure("03.1", scaled_dot_product=attention) == expected


@pytest.mark.parametrize("power", [0.0, 0.25, 1.0])
def test_only_the_root_keeps_scores_of_one_size(power):
    """The check that knows no formula, and compares with nothing, tells a wrong divisor too."""

    def attention(query, key, value, may_look):
        scores = (query @ key.mT / query.shape[-1] ** power).masked_fill(~may_look, -torch.inf)
        return scores.softmax(-1) @ value, scores.softmax(-1)

    result = run_checks(exercise("03.1"), {"scaled_dot_product": attention}, only="scores_of_any_size").results[0]
    assert not result.passed
    assert "features it is" in result.found


# 03.2 heads


def split_by_chunks(states, heads):
    return torch.stack(states.chunk(heads, dim=-1), dim=1)


def join_by_concatenation(states):
    return torch.cat([states[:, head] for head in range(states.shape[1])], dim=-1)


def head_by_head(target, source, is_word, W_q, W_k, W_v, W_o, heads):
    """No split and no join at all: what each head saw goes through its own columns of W_o, and is added up."""
    size, seen = len(W_q) // heads, torch.zeros_like(target)
    for own in (slice(head * size, (head + 1) * size) for head in range(heads)):
        scores = (target @ W_q[own].T) @ (source @ W_k[own].T).mT / size**0.5
        weights = scores.masked_fill(~is_word.unsqueeze(1), -torch.inf).softmax(-1)
        seen = seen + weights @ (source @ W_v[own].T) @ W_o[:, own].T
    return seen


def by_the_library(target, source, is_word, W_q, W_k, W_v, W_o, heads):
    attention = scaled_attention.MultiHeadAttention(len(W_q), heads)
    with torch.no_grad():
        for layer, matrix in zip(attention.children(), (W_q, W_k, W_v, W_o), strict=True):
            layer.weight.copy_(matrix)
            layer.bias.zero_()
        return attention(target, source, is_word[:, None, None, :])[0]


HEADS = {"split_heads": split_by_chunks, "join_heads": join_by_concatenation, "multi_head": head_by_head}


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"multi_head": by_the_library},
        {"split_heads": scaled_attention.split_heads, "join_heads": scaled_attention.join_heads},
    ],
)
def test_other_ways_to_write_the_heads_pass(others):
    assert passes_all("03.2", **{**HEADS, **others})


def unscaled(target, source, is_word, W_q, W_k, W_v, W_o, heads):
    return head_by_head(target, source, is_word, W_q * (len(W_q) / heads) ** 0.5, W_k, W_v, W_o, heads)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"split_heads": lambda states, heads: states}, ("each_head_has_its_slice", None)),
        ({"split_heads": lambda states, heads: None}, ("each_head_has_its_slice", None)),
        ({"join_heads": lambda states: states.sum(1)}, ("heads_lie_side_by_side", "heads_added")),
        ({"multi_head": unscaled}, ("one_head_is_plain", "no_scale")),
        ({"multi_head": lambda target, *_: target}, ("one_head_is_plain", None)),
    ],
)
def test_other_wrong_heads_fail(wrong, expected):
    assert first_failure("03.2", **{**HEADS, **wrong}) == expected


def test_a_wrong_split_and_its_own_way_back_do_not_pass_together():
    """Each undoes the other, so only the check of the slices can tell."""
    pair = {
        "split_heads": lambda states, heads: states.view(len(states), heads, states.shape[1], -1),
        "join_heads": lambda states: states.view(len(states), states.shape[2], -1),
    }
    assert run_checks(exercise("03.2"), pair, only="join_undoes_split").passed
    assert first_failure("03.2", **{**HEADS, **pair}) == ("each_head_has_its_slice", "places_mixed")


def test_checking_heads_leaves_the_random_numbers_as_they_were():
    before = torch.get_rng_state()
    run_checks(exercise("03.2"), HEADS)
    assert torch.equal(torch.get_rng_state(), before)


# 03.3 the leak lab

lab = load_module(find_exercise("03.3").master.with_name("broken.py"), "broken_under_test")
LEAKING = [specimen for specimen in lab.SPECIMENS if specimen.group != "sound"]
SOUND = [specimen for specimen in lab.SPECIMENS if specimen.group == "sound"]


def named(specimens):
    return pytest.mark.parametrize("specimen", specimens, ids=[specimen.symptom for specimen in specimens])


def sentences(lengths=(12, 9, 5), seed=0):
    states = torch.randn(len(lengths), max(lengths), lab.SIZE, generator=torch.Generator().manual_seed(seed))
    return states, torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


def with_others_from(states, place, end=None, seed=1):
    others = torch.randn(states.shape, generator=torch.Generator().manual_seed(seed))
    changed = states.clone()
    changed[:, place:end] = others[:, place:end]
    return changed


def moved(specimen, states, is_word, changed):
    """How far each word's output moves, [batch, length]; places of padding do not count."""
    layer = lab.callable_of(specimen)
    return (layer(states, is_word) - layer(changed, is_word)).abs().amax(-1) * is_word


def moved_by_others(specimen, lengths=(12, 9, 5)):
    """The most that a word moves, for other words at all places behind it."""
    states, is_word = sentences(lengths)
    places = range(1, max(lengths))
    found = [moved(specimen, states, is_word, with_others_from(states, p))[:, :p].max().item() for p in places]
    return max(found, default=0.0)


def moved_by_cutting(specimen, lengths=(12, 9, 5)):
    states, is_word = sentences(lengths)
    layer = lab.callable_of(specimen)
    whole = layer(states, is_word)
    found = [
        ((whole[:, :p] - layer(states[:, :p], is_word[:, :p])).abs().amax(-1) * is_word[:, :p]).max().item()
        for p in range(1, max(lengths))
    ]
    return max(found)


def test_the_leak_lab_has_enough_leaks_for_both_sides():
    # as the exercise says: "Thirteen leaking layers wait in the lab"
    assert len([specimen for specimen in LEAKING if not specimen.hidden]) == 13
    assert len([specimen for specimen in LEAKING if specimen.hidden]) >= 8
    for group in ("mask", "sums", "path", "length"):
        assert lab.specimens(group)
        assert lab.specimens(group, hidden=True)
    symptoms = [specimen.symptom for specimen in lab.SPECIMENS]
    assert len(set(symptoms)) == len(symptoms)


def test_a_learner_meets_everything_that_the_hidden_leaks_need():
    met = {need for specimen in LEAKING if not specimen.hidden for need in specimen.needs}
    assert met >= {need for specimen in LEAKING for need in specimen.needs}


@named(SOUND)
def test_a_sound_layer_knows_nothing_of_the_future(specimen):
    assert moved_by_others(specimen) < 1e-5
    assert moved_by_cutting(specimen) < 1e-5
    # at places of padding neither, and whatever the numbers are; and it reads its own word
    states, is_word = sentences()
    layer = lab.callable_of(specimen)
    large = 1000 * with_others_from(states, 3)
    large[:, :3] = states[:, :3]
    assert (layer(states, is_word) - layer(large, is_word))[:, :3].abs().max() < 1e-4
    assert moved(specimen, states, is_word, with_others_from(states, 3))[:, 3].min() > 0.1


@named(LEAKING)
def test_a_leaking_layer_leaks_by_more_than_rounding(specimen):
    assert moved_by_cutting(specimen) > 0.01
    assert (moved_by_others(specimen) > 0.01) == ("length" not in specimen.needs)


@named([specimen for specimen in LEAKING if "faint" in specimen.needs])
def test_a_faint_leak_is_missed_by_a_wide_tolerance(specimen):
    assert moved_by_cutting(specimen) < 0.1


@named([specimen for specimen in LEAKING if "padding" in specimen.needs])
def test_a_leak_that_needs_padding_is_not_seen_without(specimen):
    assert moved_by_cutting(specimen, (12, 12)) < 1e-5


@named([specimen for specimen in LEAKING if "neighbours" in specimen.needs])
def test_a_leak_that_needs_neighbours_is_not_seen_alone(specimen):
    assert moved_by_cutting(specimen, (12,)) < 1e-5


@named([specimen for specimen in LEAKING if "long" in specimen.needs])
def test_a_leak_that_needs_length_is_not_seen_in_short_sentences(specimen):
    assert moved_by_cutting(specimen, (8, 5)) < 1e-5


@named([specimen for specimen in LEAKING if specimen.needs & {"ends", "near"}])
def test_a_leak_from_one_place_is_seen_from_there_only(specimen):
    states, is_word = sentences((12, 12))
    if "ends" in specimen.needs:
        assert moved(specimen, states, is_word, with_others_from(states, 1, 11))[:, 0].max() < 1e-5
        assert moved(specimen, states, is_word, with_others_from(states, 11))[:, 0].min() > 0.1
    else:
        far = moved(specimen, states, is_word, with_others_from(states, 11))
        assert far[:, :10].max() < 1e-5
        assert far[:, 10].max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda states, is_word: (states[..., :4], is_word), r"got \[3, 12, 4\]"),
        (lambda states, is_word: (states, is_word.float()), "True for the words"),
        (lambda states, is_word: (states, ~is_word), "True for the words"),
        (lambda states, is_word: (states, is_word.tolist()), "two tensors"),
        (lambda states, is_word: (states * torch.inf, is_word), "must be finite"),
        (lambda states, is_word: (states.repeat(1, 6, 1), torch.ones(3, 72).bool()), "at most 64"),
    ],
)
def test_a_layer_refuses_what_it_cannot_take(arguments, said):
    with pytest.raises(ValueError, match=said):
        lab.callable_of(SOUND[0])(*arguments(*sentences()))


def leaks_by_other_words_or_fewer(layer):
    """Changes the future place by place, and words into padding: nothing is cut off."""
    states, is_word = sentences((20, 14, 16), seed=5)
    before = layer(states, is_word)
    for place in range(1, 20):
        fewer = is_word & (torch.arange(20) < place)
        for after in (layer(with_others_from(states, place), is_word), layer(states, fewer)):
            if not torch.allclose(before[:, :place], after[:, :place], rtol=1e-3, atol=1e-3):
                return True
    return False


def leaks_beside_a_longer_self(layer):
    """Each sentence alone, with ever more words: a verdict as a tensor."""
    differs = torch.tensor(False)
    states, is_word = sentences((11, 15, 13), seed=6)
    together = layer(states, is_word)
    for row, words in enumerate(is_word.sum(1).tolist()):
        for length in range(1, words + 1):
            alone = layer(states[row : row + 1, :length], is_word[row : row + 1, :length])
            differs |= (alone[0] - together[row, :length]).abs().max() > 1e-3
    return differs


@pytest.mark.parametrize("check", [leaks_by_other_words_or_fewer, leaks_beside_a_longer_self])
def test_other_ways_to_find_leaks_pass(check):
    assert passes_all("03.3", leaks=check)


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (lambda layer: True, ("sound_pass_and_leaks_do_not", "always_true")),
        (lambda layer: layer(*sentences()) is not None, ("sound_pass_and_leaks_do_not", "false_alarm")),
        (lambda layer: False, ("sound_pass_and_leaks_do_not", "always_false")),
        (lambda layer: None, ("sound_pass_and_leaks_do_not", "no_bool")),
        (lambda layer: layer(1, 2), ("sound_pass_and_leaks_do_not", None)),
    ],
)
def test_who_does_not_look_finds_nothing(check, expected):
    assert first_failure("03.3", leaks=check) == expected


def test_leaks_can_be_looked_for_from_another_process():
    source = """
import torch

def leaks(layer):
    states = torch.randn(3, 12, 8, generator=torch.Generator().manual_seed(0))
    is_word = torch.arange(12) < torch.tensor([[12], [9], [5]])
    whole = layer(states, is_word)
    cut = ((place, layer(states[:, :place], is_word[:, :place])) for place in range(1, 12))
    return any(bool((whole[:, :place] - alone).abs().max() > 1e-4) for place, alone in cut)
"""
    with AnswerSession([source]) as session:
        assert run_checks(exercise("03.3"), session.answers, only="length_leaks").passed


# 03.4 positions


def by_complex_numbers(length, embedding):
    rates = torch.logspace(0, -4, embedding // 2 + 1, dtype=torch.float64)[:-1]
    waves = torch.polar(torch.ones(()).double(), torch.outer(torch.arange(length).double(), rates))
    return torch.stack([waves.imag, waves.real], dim=-1).flatten(1).float()


def by_logarithms(length, embedding):
    """As in much published code, in 32 bits."""
    table = torch.zeros(length, embedding)
    rates = torch.exp(torch.arange(0, embedding, 2).float() * -(math.log(10_000.0) / embedding))
    for place in range(length):
        table[place, 0::2], table[place, 1::2] = (place * rates).sin(), (place * rates).cos()
    return table


def by_least_squares(places, embedding):
    """Found from the table alone, without any formula of angles."""
    table = sinusoids(300, embedding).double()
    rows, further = (table[:200], table[places : places + 200]) if places >= 0 else (table[-places:][:200], table[:200])
    return torch.linalg.lstsq(rows, further).solution.T.float()


def by_matrix_exponential(places, embedding):
    spin = torch.zeros(embedding, embedding, dtype=torch.float64)
    for pair, rate in enumerate(torch.logspace(0, -4, embedding // 2 + 1, dtype=torch.float64)[:-1].tolist()):
        spin[2 * pair, 2 * pair + 1], spin[2 * pair + 1, 2 * pair] = rate, -rate
    return (places * spin).matrix_exp()


@pytest.mark.parametrize(
    ("table", "turn"), [(by_complex_numbers, by_matrix_exponential), (by_logarithms, by_matrix_exponential)]
)
def test_other_ways_to_write_the_positions_pass(table, turn):
    assert passes_all("03.4", position_table=table, turn=turn)


def test_the_librarys_table_and_a_turn_without_a_formula_pass():
    assert first_failure("03.4", position_table=sinusoids, turn=by_least_squares) == (None, None)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"position_table": lambda length, embedding: torch.zeros(length, embedding)}, ("equals_the_formula", None)),
        ({"position_table": lambda length, embedding: None}, ("equals_the_formula", None)),
        ({"turn": lambda places, embedding: torch.eye(embedding)}, ("shift_turns_all_places", "turns_nothing")),
        ({"turn": lambda places, embedding: None}, ("shift_turns_all_places", "not_a_tensor")),
        ({"turn": lambda places, embedding: torch.ones(embedding)}, ("shift_turns_all_places", "wrong_shape")),
    ],
)
def test_other_wrong_positions_fail(wrong, expected):
    assert first_failure("03.4", **{"position_table": sinusoids, "turn": by_matrix_exponential, **wrong}) == expected


def sines_without_cosines(length, embedding):
    return sinusoids(length, embedding)[:, 0::2].repeat_interleave(2, 1)


def plain_numbers(length, embedding):
    return torch.arange(length).unsqueeze(1) / torch.ones(embedding)


@pytest.mark.parametrize(
    ("table", "passes"), [(sinusoids, True), (sines_without_cosines, False), (plain_numbers, False)]
)
def test_likeness_by_distance_tells_waves_from_numbers(table, passes):
    assert run_checks(exercise("03.4"), {"position_table": table}, only="likeness_by_distance").passed == passes
