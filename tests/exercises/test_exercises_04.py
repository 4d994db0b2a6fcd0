"""The exercises of lesson 04, beyond what holds for all exercises: other right answers pass, other wrong ones fail."""

import functools
import math

import pytest
import torch
from transformers.generation import TemperatureLogitsWarper

from course_lib.evaluation import compression
from course_lib.exercises.answering import AnswerSession
from course_lib.exercises.answering.limits import SessionLimits
from course_lib.exercises.catalogue import find_exercise, load_module
from course_lib.exercises.checking import run_checks
from course_lib.generation import sampling

PATIENT = SessionLimits(seconds=600, cell_seconds=300, call_seconds=300)  # also on a busy machine


@functools.cache
def exercise(id):
    return find_exercise(id)


@functools.cache
def checks_of(id):
    return load_module(exercise(id).master.with_name("checks.py"), f"checks_under_test_{id.replace('.', '_')}")


def first_failure(id, **answers):
    """(check, mistake) of the first check that fails; (None, None) if all pass."""
    failed = [result for result in run_checks(exercise(id), answers).results if not result.passed]
    return (failed[0].name, failed[0].mistake) if failed else (None, None)


# 04.1 temperature


def of_the_library(logits, temperature):
    return sampling.at_temperature(logits, temperature).softmax(-1)


def of_transformers(logits, temperature):
    try:
        return TemperatureLogitsWarper(float(temperature))(None, logits).softmax(-1)
    except ValueError as error:  # it advises do_sample=False for 0 alone
        raise ValueError(f"{error} do_sample=False") from None


def by_subtracting_the_largest(logits, temperature):
    if temperature <= 0 or temperature != temperature:
        raise ValueError("T must be above 0; take do_sample=False for the likeliest token")
    shares = torch.exp((logits - logits.amax(-1, keepdim=True)) / temperature)
    return shares / shares.sum(-1, keepdim=True)


def by_powers(logits, temperature):
    if not temperature > 0:
        raise ValueError("do_sample=False")
    powers = logits.log_softmax(-1) / temperature
    return (powers - powers.logsumexp(-1, keepdim=True)).exp()


def whole_batch_at(logits, temperature):
    return (logits / temperature).flatten().softmax(0).view_as(logits)


def by_entr(probabilities):
    return torch.special.entr(probabilities).sum(-1) / math.log(2)


def by_library(probabilities):
    return sampling.entropy(probabilities.log())


def by_loops(probabilities):
    return torch.tensor([sum(-p * math.log2(p) for p in row if p) for row in probabilities.tolist()])


def by_distribution(probabilities):
    return torch.distributions.Categorical(probs=probabilities).entropy() / math.log(2)


@pytest.mark.parametrize("probabilities_at", [of_the_library, of_transformers, by_subtracting_the_largest, by_powers])
@pytest.mark.parametrize("entropy", [by_entr, by_library, by_loops, by_distribution])
def test_other_ways_to_write_a_temperature_and_an_entropy_pass(probabilities_at, entropy):
    assert first_failure("04.1", probabilities_at=probabilities_at, entropy=entropy) == (None, None)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"probabilities_at": lambda logits, temperature: None}, ("rows_sum_to_one", "not_a_tensor")),
        ({"probabilities_at": lambda logits, temperature: logits[0]}, ("rows_sum_to_one", "wrong_shape")),
        (
            {"probabilities_at": whole_batch_at},
            ("rows_sum_to_one", "whole_batch"),
        ),
        (
            {"probabilities_at": lambda logits, temperature: of_the_library(logits, temperature).log()},
            ("rows_sum_to_one", "logarithms"),
        ),
        (
            {"probabilities_at": lambda logits, temperature: of_the_library(logits, temperature**2)},
            ("differences_count_by_temperature", None),
        ),
        (
            {"entropy": lambda probabilities: -probabilities.amax(-1).log2()},
            ("entropy_in_bits", "surprise_of_likeliest"),
        ),
        ({"entropy": lambda probabilities: 2 ** by_entr(probabilities)}, ("entropy_in_bits", "exponentiated")),
        ({"entropy": lambda probabilities: by_entr(probabilities) * math.log10(2)}, ("entropy_in_bits", "base_ten")),
        ({"entropy": lambda probabilities: probabilities}, ("entropy_in_bits", None)),
        ({"entropy": 3}, ("entropy_in_bits", None)),
    ],
)
def test_other_wrong_temperatures_and_entropies_fail(answers, expected):
    right = {"probabilities_at": of_the_library, "entropy": by_entr}
    assert first_failure("04.1", **{**right, **answers}) == expected


def test_what_is_no_function_is_said_to_be_none():
    results = run_checks(exercise("04.1"), {"probabilities_at": None, "entropy": by_entr}).results
    assert "function" in results[0].found


def test_a_refusal_is_judged_from_another_process():
    source = """
def probabilities_at(logits, temperature):
    if not temperature > 0:
        raise ValueError("use do_sample=False")
    return (logits / temperature).softmax(-1)

def entropy(probabilities):
    return sum(-p * (p + (p == 0)).log2() for p in probabilities.unbind(-1))
"""
    with AnswerSession([source], limits=PATIENT) as session:
        assert run_checks(exercise("04.1"), session.answers).passed
    with AnswerSession([source.replace("use do_sample=False", "no")], limits=PATIENT) as session:
        results = run_checks(exercise("04.1"), session.answers).results
        assert [result.mistake for result in results if not result.passed] == ["no_advice"]


# 04.2 top-k and top-p


def top_k_by_rank(logits, k):
    ranks = (logits.unsqueeze(-1) < logits.unsqueeze(-2)).sum(-1)  # how many are likelier
    return torch.where(ranks < k, logits, float("-inf"))


def top_k_by_sorting(logits, k):
    bar = logits.sort(descending=True).values[:, :k][:, -1].unsqueeze(1)
    return torch.where(logits >= bar, logits, torch.tensor(float("-inf")))


def top_p_by_loops(logits, p):
    answer = torch.full_like(logits, float("-inf"))
    for row, shares in enumerate(logits.softmax(-1).tolist()):
        reached = 0.0
        for token in sorted(range(len(shares)), key=lambda token: -shares[token]):
            if reached < p:
                answer[row, token] = logits[row, token]
            reached += shares[token]
    return answer


def top_p_shifted(logits, p):
    """The widely copied version: the mask is moved one place to the right."""
    descending, order = torch.sort(logits, descending=True)
    remove = descending.softmax(-1).cumsum(-1) > p
    remove[:, 1:] = remove[:, :-1].clone()
    remove[:, 0] = False
    return logits.masked_fill(torch.zeros_like(remove).scatter(1, order, remove), float("-inf"))


def top_p_by_likelier(logits, p):
    shares = logits.softmax(-1)
    likelier = shares.unsqueeze(-2) > shares.unsqueeze(-1)
    place = torch.arange(logits.shape[-1])
    likelier |= (shares.unsqueeze(-2) == shares.unsqueeze(-1)) & (place < place.unsqueeze(-1))
    return logits.masked_fill((likelier * shares.unsqueeze(-2)).sum(-1) >= p, float("-inf"))


@pytest.mark.parametrize("only_top_k", [sampling.only_top_k, top_k_by_rank, top_k_by_sorting])
@pytest.mark.parametrize("only_top_p", [sampling.only_top_p, top_p_by_loops, top_p_shifted, top_p_by_likelier])
def test_other_ways_to_cut_pass(only_top_k, only_top_p):
    assert first_failure("04.2", only_top_k=only_top_k, only_top_p=only_top_p) == (None, None)


@pytest.mark.parametrize("only_top_p", [sampling.only_top_p, top_p_by_loops, top_p_shifted, top_p_by_likelier])
def test_other_ways_to_cut_are_nuclei_of_further_rows(only_top_p):
    checks = checks_of("04.2")
    further = [checks.random_p(4, 50, 0.9, seed=16), {"logits": torch.zeros(2, 10), "p": 0.55}]
    checks.is_a_nucleus(only_top_p, further)
    checks.equals_transformers_top_p(only_top_p, further[:1])


def nothing_below_a_share(logits, p):
    return logits.masked_fill(logits.softmax(-1) < 1 - p, float("-inf"))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"only_top_k": lambda logits, k: logits}, ("k_likeliest_stay", "nothing_cut")),
        ({"only_top_k": lambda logits, k: None}, ("k_likeliest_stay", None)),
        ({"only_top_p": lambda logits, p: logits}, ("nucleus_is_smallest", "nothing_cut")),
        ({"only_top_p": lambda logits, p: None}, ("nucleus_is_smallest", "not_a_tensor")),
        ({"only_top_p": lambda logits, p: logits[:, :1]}, ("nucleus_is_smallest", "wrong_shape")),
        ({"only_top_p": lambda logits, p: logits * float("-inf") * 0}, ("nucleus_is_smallest", "nan")),
        ({"only_top_p": lambda logits, p: logits - float("inf")}, ("nucleus_is_smallest", "nothing_left")),
        ({"only_top_p": nothing_below_a_share}, ("nucleus_is_smallest", "threshold")),
    ],
)
def test_other_wrong_cuts_fail(answers, expected):
    right = {"only_top_k": sampling.only_top_k, "only_top_p": sampling.only_top_p}
    assert first_failure("04.2", **{**right, **answers}) == expected


def test_no_rounding_decides_an_example():
    with pytest.raises(ValueError, match="too near"):
        checks_of("04.2").shares_p([[0.5, 0.25, 0.25]], 0.75)


# 04.3 perplexity


def nats_by_loops(logits, tokens, is_word):
    costs = []
    for row in range(len(tokens)):
        for place in range(tokens.shape[1] - 1):
            if is_word[row, place + 1]:
                scores = logits[row, place]
                costs.append(scores.logsumexp(0) - scores[tokens[row, place + 1]])
    return torch.stack(costs)


def nats_by_nll(logits, tokens, is_word):
    said = logits.log_softmax(-1)[:, :-1][is_word[:, 1:]]
    return torch.nn.functional.nll_loss(said, tokens[:, 1:][is_word[:, 1:]], reduction="none")


def perplexity_by_labels(logits, tokens, is_word):
    """As transformers' loss has it: padding is -100."""
    labels = tokens.masked_fill(~is_word, -100)[:, 1:]
    return math.exp(torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten()).item())


def perplexity_by_bits(logits, tokens, is_word):
    return 2 ** (nats_by_loops(logits, tokens, is_word) / math.log(2)).mean()


def bits_by_the_library(logits, tokens, is_word, texts):
    return compression.bits_per_byte(
        float(nats_by_nll(logits, tokens, is_word).double().sum()), compression.count_bytes(texts)
    )


def bits_by_base_two(logits, tokens, is_word, texts):
    probabilities = torch.exp(-nats_by_nll(logits, tokens, is_word))
    return -probabilities.log2().sum() / len("".join(texts).encode("utf-8"))


@pytest.mark.parametrize("nats_of_next", [nats_by_loops, nats_by_nll])
@pytest.mark.parametrize(
    ("perplexity", "bits_per_byte"),
    [(perplexity_by_labels, bits_by_the_library), (perplexity_by_bits, bits_by_base_two)],
)
def test_other_ways_to_score_a_model_pass(nats_of_next, perplexity, bits_per_byte):
    answers = {"nats_of_next": nats_of_next, "perplexity": perplexity, "bits_per_byte": bits_per_byte}
    assert first_failure("04.3", **answers) == (None, None)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"nats_of_next": lambda *given: nats_by_nll(*given).mean()}, ("next_token_is_scored", "one_number")),
        ({"nats_of_next": lambda *given: nats_by_nll(*given) / math.log(2)}, ("next_token_is_scored", "bits_for_nats")),
        ({"nats_of_next": lambda *given: nats_by_nll(*given).flip(0)}, ("next_token_is_scored", None)),
        (
            {"nats_of_next": lambda logits, tokens, is_word: checks_of("04.3")._costs(logits, tokens)[is_word]},
            ("next_token_is_scored", "not_shifted"),
        ),
        ({"perplexity": lambda *given: nats_by_nll(*given).mean()}, ("padding_counts_nothing", None)),
        ({"perplexity": lambda *given: torch.exp(-nats_by_nll(*given).mean())}, ("perplexity_is_exp_of_mean", None)),
        ({"perplexity": lambda *given: 5.0}, ("perplexity_is_exp_of_mean", None)),
        ({"bits_per_byte": lambda *given: 8.0}, ("bits_are_per_byte", None)),
        ({"bits_per_byte": lambda *given: bits_by_base_two(*given) * 7}, ("bits_are_per_byte", None)),
    ],
)
def test_other_wrong_scores_fail(answers, expected):
    right = {"nats_of_next": nats_by_nll, "perplexity": perplexity_by_labels, "bits_per_byte": bits_by_base_two}
    name, mistake = first_failure("04.3", **{**right, **answers})
    assert name is not None
    assert expected[1] in (None, mistake)


def test_a_blind_guess_of_pairs_is_made_of_the_texts_bytes():
    given = checks_of("04.3").blind_pairs(["été!"])
    assert given["tokens"].tolist() == [[0, 0xC3A9, 0x74C3, 0xA921]]
    assert given["logits"].shape == (1, 4, 65_536)


# 04.4 the lab of caches

lab = load_module(find_exercise("04.4").master.with_name("broken.py"), "broken_caches_under_test")
BROKEN = [specimen for specimen in lab.SPECIMENS if specimen.group != "sound"]
SOUND = [specimen for specimen in lab.SPECIMENS if specimen.group == "sound"]
TOKENS = torch.randint(0, 11, (3, 12), generator=torch.Generator().manual_seed(5))
SPLITS = [[1] * 12, [3, 1, 8], [7, 5], [2, 2, 2, 6], [11, 1]]


def named(specimens):
    return pytest.mark.parametrize("specimen", specimens, ids=[specimen.symptom for specimen in specimens])


def needing(need):
    return named([specimen for specimen in BROKEN if need in specimen.needs])


def off(one, other):
    return (one - other).abs().max().item()


def in_pieces(specimen, pieces, tokens=TOKENS, functions=None):
    """How far the logits are off when a text is read in such pieces."""
    begin, read, _ = functions or lab.functions_of(specimen)
    tokens = tokens[:, : sum(pieces)]
    cache = begin()
    return off(torch.cat([read(piece, cache) for piece in tokens.split(pieces, dim=1)], dim=1), read(tokens))


def after_keeping(specimen, rows, tokens=TOKENS, pieces=(5, 2, 1)):
    """The same where other rows are kept after the first piece."""
    begin, read, keep = lab.functions_of(specimen)
    cache = begin()
    first, *further = tokens[:, : sum(pieces)].split(list(pieces), dim=1)
    read(first, cache)
    keep(cache, rows)
    after = torch.cat([read(piece[rows], cache) for piece in further], dim=1)
    return off(after, read(tokens[rows, : sum(pieces)])[:, pieces[0] :])


def one_after_the_other(specimen):
    functions = lab.functions_of(specimen)
    return [in_pieces(specimen, [4, 1, 3], tokens, functions) for tokens in (TOKENS, TOKENS.flip(1), TOKENS[:2])]


def in_turns(specimen, aside):
    """Two texts, a piece of each in turn; aside: something is read without a cache between them as well."""
    begin, read, _ = lab.functions_of(specimen)
    texts, caches, parts = [TOKENS, TOKENS.flip(1)], [], [[], []]
    for number, piece in enumerate((4, 1, 3)):
        for text, tokens in enumerate(texts):
            if number == 0:
                caches.append(begin())
            at = sum((4, 1, 3)[:number])
            parts[text].append(read(tokens[:, at : at + piece], caches[text]))
            if aside:
                read(TOKENS.roll(1, 0))
    return max(off(torch.cat(part, dim=1), read(tokens[:, :8])) for part, tokens in zip(parts, texts, strict=True))


def everything(specimen):
    kept = [after_keeping(specimen, rows) for rows in ([0, 1, 2], [1, 2, 0], [1, 0], [2, 2, 0, 1])]
    pieces = [in_pieces(specimen, split) for split in SPLITS]
    return [*kept, *pieces, *one_after_the_other(specimen), in_turns(specimen, False), in_turns(specimen, True)]


def test_the_lab_of_caches_has_enough_faults_for_both_sides():
    # as the exercise says: "Thirteen broken caches wait in the lab"
    assert len([specimen for specimen in BROKEN if not specimen.hidden]) == 13
    assert len([specimen for specimen in BROKEN if specimen.hidden]) >= 10
    for group in checks_of("04.4").GROUPS:
        assert lab.specimens(group)
        assert lab.specimens(group, hidden=True)
    symptoms = [specimen.symptom for specimen in lab.SPECIMENS]
    assert len(set(symptoms)) == len(symptoms)
    assert set.union(*(set(specimen.needs) for specimen in BROKEN)) == set(checks_of("04.4").MISTAKES)


@named(SOUND)
def test_a_sound_cache_changes_nothing(specimen):
    assert max(everything(specimen)) < 3e-5


@named(BROKEN)
def test_a_broken_cache_is_broken_by_more_than_rounding(specimen):
    assert 0.002 < max(everything(specimen)) < math.inf
    assert ("faint" in specimen.needs) == (max(everything(specimen)) < 0.1)


@named(lab.SPECIMENS)
def test_a_first_piece_is_always_right(specimen):
    begin, read, _ = lab.functions_of(specimen)
    assert off(read(TOKENS, begin()), read(TOKENS)) < 3e-5


@needing("third")
def test_a_fault_that_needs_a_third_piece_is_not_seen_in_two(specimen):
    assert max(in_pieces(specimen, pieces) for pieces in ([7, 5], [1, 9], [10, 2])) < 3e-5


@needing("wide")
def test_a_fault_that_needs_wide_pieces_is_not_seen_token_by_token(specimen):
    assert max(in_pieces(specimen, pieces) for pieces in ([1] * 12, [7, 1, 1, 1])) < 3e-5


@needing("pieces")
def test_a_fault_that_needs_pieces_is_not_seen_token_by_token(specimen):
    assert in_pieces(specimen, [1] * 12) < 3e-5


@needing("long")
def test_a_fault_that_needs_a_long_text_is_not_seen_in_a_short_one(specimen):
    assert max(in_pieces(specimen, pieces) for pieces in ([1] * 8, [3, 2, 3])) < 3e-5


@needing("neighbours")
def test_a_fault_that_needs_neighbours_is_not_seen_alone(specimen):
    alone, equal = TOKENS[:1], TOKENS[:1].expand(3, -1)
    assert max(in_pieces(specimen, split, tokens) for split in SPLITS for tokens in (alone, equal)) < 3e-5
    assert max(after_keeping(specimen, [0], alone), after_keeping(specimen, [2, 2, 0], equal)) < 3e-5


@needing("keep")
def test_a_fault_that_needs_keep_is_not_seen_without(specimen):
    assert max([in_pieces(specimen, split) for split in SPLITS]) < 3e-5
    assert after_keeping(specimen, [0, 1, 2]) < 3e-5


@needing("turn")
def test_a_fault_that_needs_a_turn_is_not_seen_by_a_swap(specimen):
    assert max(after_keeping(specimen, rows) for rows in ([1, 0, 2], [2, 1, 0])) < 3e-5


@needing("twice")
def test_a_fault_that_needs_a_row_twice_is_not_seen_in_another_order(specimen):
    assert max(after_keeping(specimen, rows) for rows in ([1, 2, 0], [2, 0])) < 3e-5


@named([specimen for specimen in BROKEN if "two" not in specimen.needs])
def test_a_fault_without_two_texts_shows_in_one(specimen):
    assert max(everything(specimen)[:9]) > 0.002


@needing("two")
def test_a_fault_that_needs_two_texts_is_not_seen_in_one(specimen):
    assert max(in_pieces(specimen, split) for split in SPLITS) < 3e-5


@needing("between")
def test_a_fault_that_needs_turns_is_not_seen_one_after_the_other(specimen):
    assert max(one_after_the_other(specimen)) < 3e-5
    assert in_turns(specimen, aside=True) > 0.1


def whatever_it_is(begin, read, keep):
    """A sound check that goes another way: one long story of pieces, rows and texts, all held against plain reading."""
    random = torch.Generator().manual_seed(3)
    stories = []
    for turn in range(9):
        for story in stories:
            rows = torch.randint(0, len(story["read"]), (3,), generator=random).tolist()
            keep(story["cache"], rows)
            story["read"] = story["read"][rows]
        if turn % 3 == 0:
            stories.append({"cache": begin(), "read": torch.zeros(3, 0, dtype=torch.long)})
        for story in stories:
            room = 12 - story["read"].shape[1]
            new = min(room, int(torch.randint(1, 4, (), generator=random)))
            if new == 0:
                continue
            tokens = torch.randint(0, 11, (3, new), generator=random)
            story["read"] = torch.cat([story["read"], tokens], dim=1)
            at_once = read(story["read"])[:, -new:]
            if off(at_once, read(tokens, story["cache"])) > 1e-3:
                return False
    return True


def test_other_ways_to_find_a_broken_cache_pass():
    assert first_failure("04.4", cache_is_sound=whatever_it_is) == (None, None)
    for group in checks_of("04.4").GROUPS:
        checks_of("04.4").group_is_found(whatever_it_is, group, hidden=True)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda begin, read, keep: False, ("sound_pass_and_broken_do_not", "never_asked")),
        (lambda begin, read, keep: None, ("sound_pass_and_broken_do_not", "no_bool")),
        (lambda begin, read, keep: read(TOKENS, begin()) is None, ("sound_pass_and_broken_do_not", "false_alarm")),
        (
            lambda begin, read, keep: off(read(TOKENS, begin()), read(TOKENS)) < 1e-3,
            ("sound_pass_and_broken_do_not", "always_true"),
        ),
    ],
)
def test_who_does_not_look_into_the_cache_finds_nothing(answer, expected):
    results = run_checks(exercise("04.4"), {"cache_is_sound": answer}).results
    assert not any(result.passed for result in results)
    assert (results[0].name, results[0].mistake) == expected


def test_likeliest_tokens_miss_the_faint_difference():
    def by_tokens(begin, read, keep):
        alike = []
        for pieces in ([1] * 12, [4, 4, 4]):
            cache = begin()
            parts = torch.cat([read(piece, cache) for piece in TOKENS.split(pieces, dim=1)], dim=1)
            alike.append(torch.equal(parts.argmax(-1), read(TOKENS).argmax(-1)))
        return all(alike)

    (result,) = run_checks(exercise("04.4"), {"cache_is_sound": by_tokens}, only="memory_faults").results
    assert result.mistake == "wide_tolerance"
    assert result.example["what is kept is rounded: a faint difference"] == "SURVIVED"


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda begin, read, keep: read([[1]], begin()), "tensor of whole numbers"),
        (lambda begin, read, keep: read(TOKENS + 9), "from 0 to 10"),
        (lambda begin, read, keep: read(TOKENS.repeat(1, 2)), "at most 12"),
        (lambda begin, read, keep: read(TOKENS, 0), "what begin"),
        (lambda begin, read, keep: read(TOKENS[:, :1].repeat(100, 1)), "256 rows"),
        (lambda begin, read, keep: keep(begin(), [0]), "rows are numbers"),
        (lambda begin, read, keep: [begin() for _ in range(1001)], "caches"),
    ],
)
def test_a_cache_refuses_what_cannot_be(use, said):
    with pytest.raises(ValueError, match=said):
        use(*lab.functions_of(SOUND[0]))


def test_a_cache_refuses_more_than_it_holds():
    begin, read, keep = lab.functions_of(SOUND[0])
    cache = begin()
    read(TOKENS, cache)
    with pytest.raises(ValueError, match="this one would have 13"):
        read(TOKENS[:, :1], cache)
    with pytest.raises(ValueError, match="rows are numbers from 0 to 2"):
        keep(cache, [3])
    other = begin()
    read(TOKENS[:, :1], other)
    with pytest.raises(ValueError, match="holds 3 rows, got 2"):
        read(TOKENS[:2, :1], other)


def test_a_check_of_caches_is_judged_from_another_process():
    source = """
def cache_is_sound(begin, read, keep):
    tokens = torch.arange(12).unsqueeze(0) % 11
    cache = begin()
    parts = [read(piece, cache) for piece in tokens.split([5, 3, 4], dim=1)]
    return torch.allclose(torch.cat(parts, dim=1), read(tokens), atol=1e-4)
"""
    with AnswerSession(["import torch", source], limits=PATIENT) as session:
        checks_of("04.4").group_is_found(session.answers["cache_is_sound"], "mask")
