"""The exercises of lesson 01, beyond what holds for all exercises: other right answers pass, other wrong ones fail."""

import functools
import heapq
import math

import pytest
import torch
from torch.nn.functional import cross_entropy, nll_loss

from course_lib.exercises import experiments
from course_lib.exercises.answering import AnswerSession
from course_lib.exercises.catalogue import find_exercise
from course_lib.exercises.checking import run_checks
from course_lib.exercises.experiments import SENTENCES
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.toy_decoder import MisuseError, asked_of, toy_decoder


@functools.cache
def exercise(id):
    return find_exercise(id)


def report(id, **answers):
    return run_checks(exercise(id), answers)


def first_failure(id, **answers):
    """(check, mistake) of the first check that fails; (None, None) if all pass."""
    failed = [result for result in report(id, **answers).results if not result.passed]
    return (failed[0].name, failed[0].mistake) if failed else (None, None)


# 01.1 the loss


def by_cross_entropy(logits, targets, is_word):
    return cross_entropy(logits[is_word], targets[is_word])


def by_nll(logits, targets, is_word):
    return nll_loss(logits.log_softmax(-1).flatten(0, 1)[is_word.flatten()], targets.flatten()[is_word.flatten()])


def by_sums(logits, targets, is_word):
    shifted = logits - logits.amax(-1, keepdim=True)
    one_hot = torch.nn.functional.one_hot(targets, logits.shape[-1])
    costs = shifted.exp().sum(-1).log() - (shifted * one_hot).sum(-1)
    return (costs * is_word).sum() / is_word.sum()


def as_a_plain_number(logits, targets, is_word):
    return by_cross_entropy(logits, targets, is_word).item()


@pytest.mark.parametrize("loss", [by_cross_entropy, by_nll, by_sums, as_a_plain_number])
def test_other_ways_to_write_the_loss_pass(loss):
    assert first_failure("01.1", next_word_loss=loss) == (None, None)


def summed_with_padding(logits, targets, is_word):
    return cross_entropy(logits.transpose(1, 2), targets, reduction="sum")


def one_per_sentence(logits, targets, is_word):
    return (cross_entropy(logits.transpose(1, 2), targets, reduction="none") * is_word).sum(1) / is_word.sum(1)


@pytest.mark.parametrize(
    ("loss", "mistake"),
    [(summed_with_padding, "sum_not_mean"), (one_per_sentence, "not_one_number"), (lambda *_: 0.0, None)],
)
def test_other_wrong_losses_fail(loss, mistake):
    name, recognised = first_failure("01.1", next_word_loss=loss)
    assert name is not None
    assert mistake in (None, recognised)


# 01.2 greedy translation


def with_tensors(next_scores, reference, start, end, limit):
    read = torch.tensor([start])
    while len(read) <= limit and (word := next_scores(read).argmax().reshape(1)) != end:
        read = torch.cat([read, word])
    written = read[1:].tolist()
    return written, sum(a == b for a, b in zip(written, reference, strict=False))


def by_sorting(next_scores, reference, start, end, limit):
    read = [start]
    for _ in range(limit):
        read.append(max((score, word) for word, score in enumerate(next_scores(read).tolist()))[1])
        if read[-1] == end:
            break
    written = [word for word in read[1:] if word != end]
    return [written, sum(1 for place in range(min(len(written), len(reference))) if written[place] == reference[place])]


@pytest.mark.parametrize("translation", [with_tensors, by_sorting])
def test_other_ways_to_translate_greedily_pass(translation):
    assert first_failure("01.2", greedy_translation=translation) == (None, None)


def swallowing_errors(next_scores, reference, start, end, limit):
    """Endless, and blind to being told so."""
    written = []
    for _ in range(10_000):
        try:
            word = int(next_scores([start, *written]).argmax())
        except MisuseError:
            break
        if word == end:
            break
        written.append(word)
    return written[:limit], 0


def first_words_only(next_scores, reference, start, end, limit):
    return with_tensors(next_scores, reference, start, end, min(limit, 1))


def true_words(next_scores, reference, start, end, limit):
    return reference, len(reference)


@pytest.mark.parametrize(
    ("translation", "expected"),
    [
        (swallowing_errors, ("stops_at_limit", "no_limit")),
        (first_words_only, ("words_are_likeliest", "length_of_reference")),
        (true_words, ("words_are_likeliest", "not_likeliest")),
        (lambda *_: [1, 2, 3], ("own_words_are_read", "not_a_pair")),
        (lambda *_: None, ("own_words_are_read", "not_a_pair")),
        (lambda next_scores, *_: next_scores([]), ("own_words_are_read", "no_words")),
        (lambda next_scores, *_: next_scores("two"), ("own_words_are_read", "no_words")),
    ],
)
def test_other_wrong_translations_fail(translation, expected):
    assert first_failure("01.2", greedy_translation=translation) == expected


def test_the_broken_version_of_the_notebook_is_broken_as_the_story_says():
    import jupytext

    cells = [cell.source for cell in jupytext.read(exercise("01.2").master).cells if cell.cell_type == "code"]
    names = {}
    for cell in cells[: next(n for n, cell in enumerate(cells) if "def broken_translation" in cell) + 1]:
        exec(cell.replace("from course_lib.exercises import check, hint, step", ""), names)
    assert (names["right"], len(names["reference"])) == (2, 3)
    assert first_failure("01.2", greedy_translation=names["broken_translation"]) == (
        "own_words_are_read",
        "teacher_forcing",
    )


# 01.3 beam search


def with_a_heap(next_scores, start, end, width, limit):
    beam, finished = [(0.0, ())], []
    for _ in range(limit):
        heap = [(score, words) for score, words in finished]
        for score, words in beam:
            logarithms = next_scores(torch.tensor([start, *words])).tolist()
            heap += [(score + logarithm, (*words, word)) for word, logarithm in enumerate(logarithms)]
        kept = heapq.nlargest(width, heap)
        finished = [(score, words) for score, words in kept if words[-1] == end]
        beam = [(score, words) for score, words in kept if words[-1] != end]
    score, words = max(finished + beam)
    return words, torch.tensor(score)


def stopping_early(next_scores, start, end, width, limit):
    """As soon as the likeliest is finished: log-probabilities only fall, so nothing overtakes it any more."""
    beam = [([], 0.0)]
    while len(beam[0][0]) < limit and beam[0][0][-1:] != [end]:
        longer = []
        for words, score in beam:
            if words[-1:] == [end]:
                longer.append((words, score))
            else:
                logarithms = enumerate(next_scores([start, *words]).tolist())
                longer += [([*words, word], score + logarithm) for word, logarithm in logarithms]
        beam = sorted(longer, key=lambda candidate: -candidate[1])[:width]
    return beam[0]


@pytest.mark.parametrize("search", [with_a_heap, stopping_early])
def test_other_ways_to_search_with_a_beam_pass(search):
    assert first_failure("01.3", beam_search=search) == (None, None)


def greedily(next_scores, start, end, width, limit):
    return with_a_heap(next_scores, start, end, 1, limit)


def probability(next_scores, start, end, width, limit):
    words, score = with_a_heap(next_scores, start, end, width, limit)
    return words, score.exp()


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (greedily, ("wide_beam_finds_best", "width_ignored")),
        (probability, ("wide_beam_finds_best", None)),
        (lambda *_: ([1], 0.0), ("wide_beam_finds_best", None)),
        (lambda *_: ([99], 0.0), ("ends_in_time", "not_a_pair")),
        (lambda *_: ([1], "high"), ("ends_in_time", "not_a_pair")),
        (lambda *_: 1.0, ("ends_in_time", "not_a_pair")),
        (lambda next_scores, start, *_: next_scores([start + 2]), ("ends_in_time", "wrong_start")),
    ],
)
def test_other_wrong_searches_fail(search, expected):
    name, mistake = first_failure("01.3", beam_search=search)
    assert name == expected[0]
    assert expected[1] in (None, mistake)


# the decoder that both searches are tried on


def test_all_that_a_decoder_can_say_has_probability_one():
    for limit in (1, 2, 3):
        decoder = toy_decoder([2, 1], 4, start=0, end=1, patience=0, seed=3)
        assert sum(map(math.exp, decoder.outcomes(limit).values())) == pytest.approx(1, abs=1e-5)


def test_a_decoder_likes_its_path():
    decoder = toy_decoder([2, 3, 1], 5, start=0, end=1, patience=9, likely=8.0)
    words = [0]
    for expected in (2, 3, 1):
        assert decoder(words).argmax() == expected
        words.append(expected)


def test_misuse_is_told_even_if_the_search_hides_it():
    def hides(next_scores, start):
        try:
            next_scores([start + 1])
        except ValueError:
            return [1, 2]

    decoder = toy_decoder([2], 4, start=0, end=1, patience=9)
    with pytest.raises(PropertyFailed, match="must begin with start=0, got \\[1\\]") as failed:
        asked_of(hides, decoder, "it is used well", start=0)
    assert failed.value.mistake == "wrong_start"
    assert torch.equal(failed.value.example["P[place, word before, next]"], decoder.table.exp())
    assert asked_of(lambda next_scores, start: start, decoder, "it is used well", start=0)[0] == 0


# 01.4 the experiment


def shares(**right):
    """{32: 370} of the unseen sentences of three items."""
    return {int(size[1:]): count / SENTENCES["exact_match_3"] for size, count in right.items()}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"measured": shares(_16=200, _32=370), "context_size": 32}, (None, None)),
        ({"measured": shares(_32=370, _20=300, _16=1, _24=369), "context_size": 32}, (None, None)),
        ({"measured": {}, "context_size": 32}, ("results_are_recorded", "no_record")),
        ({"measured": 0.95, "context_size": 32}, ("results_are_recorded", "no_record")),
        ({"measured": {"32": 370 / 389}, "context_size": 32}, ("results_are_recorded", "no_record")),
        ({"measured": {32: 0.9512}, "context_size": 32}, ("results_are_recorded", "invented")),
        ({"measured": {32: 1.5}, "context_size": 32}, ("results_are_recorded", "invented")),
        ({"measured": {32: math.nan}, "context_size": 32}, ("results_are_recorded", "invented")),
        ({"measured": {32: "all"}, "context_size": 32}, ("results_are_recorded", "invented")),
        ({"measured": {32: 300 / 307, 16: 1.0}, "context_size": 32}, ("results_are_recorded", "training_sentences")),
        ({"measured": shares(_32=370), "context_size": [32]}, ("goal_is_reached", "not_recorded")),
        ({"measured": shares(_32=370), "context_size": 32}, ("it_is_the_smallest", "half_missing")),
        ({"measured": shares(_32=370, _8=370, _16=1), "context_size": 32}, ("it_is_the_smallest", "not_smallest")),
        ({"prediction": 0}, ("prediction_is_made", "no_guess")),
        ({"prediction": "small"}, ("prediction_is_made", "no_guess")),
    ],
)
def test_a_record_is_judged_without_training(monkeypatch, answers, expected):
    monkeypatch.setattr(experiments, "_measured", None)
    whole = {"prediction": 64, "measured": shares(_16=200, _32=370), "context_size": 32, **answers}
    assert first_failure("01.4", **whole) == expected


# in a process of its own


def test_searches_can_be_judged_from_another_process():
    """The decoder is called back from there, and still counts how often."""
    good = """
def greedy_translation(next_scores, reference, start, end, limit):
    written = []
    while len(written) < limit and (word := int(next_scores([start, *written]).argmax())) != end:
        written.append(word)
    return written, [a == b for a, b in zip(written, reference)].count(True)
"""
    endless = """
def beam_search(next_scores, start, end, width, limit):
    words = []
    while True:
        try:
            words.append(int(next_scores([start, *words]).argmax()))
        except Exception:
            return words, 0.0
"""
    with AnswerSession([good, endless]) as session:
        answers = session.answers
        assert run_checks(exercise("01.2"), answers).passed
        search = {"beam_search": answers["beam_search"]}
        assert run_checks(exercise("01.3"), search, only="ends_in_time").results[0].mistake == "no_limit"
