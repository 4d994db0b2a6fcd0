"""What a beam search must do: end, find the best of all when it is wide enough, and be greedy when it is not."""

import math
from collections import Counter
from functools import cache

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import Mistake, described, recognised
from course_lib.exercises.toy_decoder import asked_of, toy_decoder

TOLERANCE = 1e-4
MOST_OUTCOMES = 10_000  # beyond, it would take too long to look at all that could have been said


def example(path, vocabulary, width, *, limit, start=0, end=1, seed=0, ends=0.0, likely=1.0, patience=None):
    """A decoder that likes to say `path` a little, and how it shall be searched."""
    patience = patience or width * limit * 2 + 10 * vocabulary
    decoder = toy_decoder(
        path, vocabulary, start=start, end=end, patience=patience, seed=seed, ends=ends, likely=likely
    )
    return decoder, {"start": start, "end": end, "width": width, "limit": limit}


def wide(vocabulary, limit, **options):
    """A beam that can hold everything."""
    return example([], vocabulary, vocabulary**limit, limit=limit, **options)


def endless():
    """The decoder hardly ever says `end`."""
    yield example([2, 2, 2], 3, 1, limit=2, ends=-9.0)
    yield example([2, 3, 2, 3], 4, 3, limit=4, ends=-9.0, seed=1)


def holding_all():
    """Small decoders, and room for all that they could say.

    Chosen so that the likeliest of all is not what a known mistake finds, and that no two of them find the same.
    """
    yield wide(3, 2, seed=0)
    yield wide(4, 2, seed=63)
    yield wide(3, 3, seed=7)
    yield wide(3, 3, seed=2)
    yield wide(4, 3, seed=7, ends=0.5)


def narrow():
    """Decoders with more to say than the beam can hold."""
    for seed, width in enumerate((1, 2, 3, 2)):
        yield example([3, 2, 4, 3], 6, width, limit=5, seed=seed, ends=-0.5, patience=900)


def greedy_ones():
    """A width of one."""
    for seed in range(4):
        yield example([2, 3, 1], 5, 1, limit=4, seed=seed, patience=900)


# Known wrong answers: what is wrong can be read off all that could have been said, with its probability.


def _likeliest(outcomes, of=lambda words, score: True, by=lambda words, score: score):
    return max((pair for pair in outcomes.items() if of(*pair)), key=lambda pair: by(*pair))[0]


def _too_many(decoder, arguments):
    """(number of words, number of candidates with so many) of the first step that continued too many, or None."""
    different = Counter(map(len, {tuple(asked) for asked in decoder.asked}))  # of one length: of one step
    return next((step for step in sorted(different.items()) if step[1] > arguments["width"]), None)


def _mistakes(decoder, arguments):
    """How to tell the known mistakes, for this decoder and these arguments. An answer is (words, score)."""
    limit, end, start = arguments["limit"], decoder.end, decoder.start

    @cache
    def outcomes():
        few = decoder.table.shape[-1] ** limit <= MOST_OUTCOMES
        return decoder.outcomes(limit) if few else {}

    def logarithms(words):
        return [decoder.log_probability(words[: n + 1]) - decoder.log_probability(words[:n]) for n in range(len(words))]

    def has_score(formula):
        return lambda _, answer: abs(formula(logarithms(answer[0])) - float(answer[1])) < TOLERANCE

    def likeliest(**choice):
        return lambda _, answer: tuple(answer[0]) == _likeliest(outcomes(), **choice)

    def one_a_step(_, answer):
        return arguments["width"] > 1 and max(Counter(map(len, decoder.asked)).values()) == 1

    def with_start(_, answer):
        return answer[0][0] == start and tuple(answer[0][1:]) == _likeliest(outcomes())

    def without_end(_, answer):
        return (*answer[0], end) == _likeliest(outcomes())

    return [
        Mistake("keeps_all", lambda _, answer: _too_many(decoder, arguments) is not None),
        Mistake("start_kept", with_start),
        Mistake("no_limit", lambda _, answer: len(answer[0]) > limit),
        Mistake("finished_extended", lambda _, answer: end in list(answer[0])[:-1]),
        Mistake("adds_probabilities", has_score(lambda logs: sum(map(math.exp, logs)))),
        Mistake("multiplies_logarithms", has_score(lambda logs: math.prod(logs) if len(logs) > 1 else math.nan)),
        Mistake("multiplies_logarithms", has_score(lambda logs: -math.prod(-log for log in logs))),
        Mistake("multiplies_logarithms", has_score(lambda logs: math.prod(-log for log in logs))),
        Mistake("last_score_only", has_score(lambda logs: logs[-1] if len(logs) > 1 else math.nan)),
        Mistake("end_removed", without_end),
        Mistake("width_ignored", one_a_step),
        Mistake("keeps_worst", likeliest(by=lambda words, score: -score)),
        Mistake("divided_by_length", likeliest(by=lambda words, score: score / len(words))),
        Mistake("finished_dropped", likeliest(of=lambda words, score: len(words) == limit)),
    ]


def _found(beam_search, decoder, arguments, failed):
    """The words, their score, the example as shown, and the whole answer."""
    answer, shown = asked_of(beam_search, decoder, failed, **arguments)
    pair = isinstance(answer, tuple | list) and len(answer) == 2 and isinstance(answer[0], list | tuple)
    if not pair or not all(type(word) is int and 0 <= word < decoder.table.shape[-1] for word in answer[0]):
        raise PropertyFailed(failed, f"expected (words, score), got {described(answer)}", shown, answer, "not_a_pair")
    try:
        return list(answer[0]), float(answer[1]), shown, answer
    except (TypeError, ValueError, RuntimeError):
        found = f"expected a number as score, got {described(answer[1])}"
        raise PropertyFailed(failed, found, shown, answer, "not_a_pair") from None


# The public checks try each property on the examples above; the hidden tests on others.


def limit_is_kept(beam_search, examples):
    failed = "the search ends, with `limit` words at most"
    for decoder, arguments in examples:
        words, _, shown, answer = _found(beam_search, decoder, arguments, failed)
        if len(words) > arguments["limit"]:
            mistake = "start_kept" if words[0] == decoder.start else "no_limit"  # no decoder here says start by itself
            raise PropertyFailed(failed, f"there are {len(words)} words", shown, answer, mistake)


def best_of_all(beam_search, examples):
    failed = "a beam that holds everything finds the likeliest of all"
    for decoder, arguments in examples:
        words, score, shown, answer = _found(beam_search, decoder, arguments, failed)
        outcomes = decoder.outcomes(arguments["limit"])
        best = _likeliest(outcomes)
        if tuple(words) != best or not abs(score - outcomes[best]) < TOLERANCE:
            mine = f"{words} with {score:.4g}"
            found = f"{mine}; the likeliest of all {len(outcomes)} is {list(best)} with {outcomes[best]:.4g}"
            mistake = recognised(_mistakes(decoder, arguments), shown, answer)
            raise PropertyFailed(failed, found, shown, answer, mistake)


def score_is_sum(beam_search, examples):
    failed = "the score is the sum of the words' log-probabilities"
    for decoder, arguments in examples:
        words, score, shown, answer = _found(beam_search, decoder, arguments, failed)
        if not abs(score - decoder.log_probability(words)) < TOLERANCE:
            found = f"{score:.4g} instead of {decoder.log_probability(words):.4g} for {words}"
            mistake = recognised(_mistakes(decoder, arguments), shown, answer)
            raise PropertyFailed(failed, found, shown, answer, mistake)


def likeliest_words(beam_search, examples):
    failed = "with a width of 1, each word is the likeliest at its place"
    for decoder, arguments in examples:
        words, _, shown, answer = _found(beam_search, decoder, arguments, failed)
        mistake = recognised(_mistakes(decoder, arguments), shown, answer) or "not_greedy"
        for place, word in enumerate(words):
            scores = decoder.scores([decoder.start, *words[:place]])
            if word != scores.argmax():
                found = f"word {place + 1} is {word}, and {int(scores.argmax())} is likelier"
                raise PropertyFailed(failed, found, shown, answer, mistake)
        if len(words) < arguments["limit"] and decoder.end not in words:
            found = f"{words} is neither finished nor as long as the limit"
            raise PropertyFailed(failed, found, shown, answer, mistake)


def width_is_kept(beam_search, examples):
    failed = "at each step at most `width` candidates go on"
    for decoder, arguments in examples:
        *_, shown, answer = _found(beam_search, decoder, arguments, failed)
        if too_many := _too_many(decoder, arguments):
            found = f"{too_many[1]} different ones were continued after {too_many[0] - 1} words"
            raise PropertyFailed(failed, found, shown, answer, "keeps_all")


def ends_in_time(beam_search):
    """It ends, with `limit` words at most."""
    limit_is_kept(beam_search, endless())


def wide_beam_finds_best(beam_search):
    """A beam that holds everything finds the likeliest of all."""
    best_of_all(beam_search, holding_all())


def adds_logarithms(beam_search):
    """The score is the log-probability of the words."""
    score_is_sum(beam_search, [*narrow(), *greedy_ones()])


def width_one_is_greedy(beam_search):
    """A width of one is greedy search."""
    likeliest_words(beam_search, greedy_ones())


def beam_stays_narrow(beam_search):
    """At each step at most `width` candidates go on."""
    width_is_kept(beam_search, narrow())


CHECKS = [ends_in_time, wide_beam_finds_best, adds_logarithms, width_one_is_greedy, beam_stays_narrow]
