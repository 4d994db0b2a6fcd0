import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.alpaca_format import Exchange
from course_lib.data.rouge import common_subsequence, most_alike, rouge_l, words_of
from course_lib.data.self_instruct import prompt_of, reason_against, self_instruct, tasks_in

SEEDS = [
    Exchange("Reverse the list of words.", "a, b", "b, a"),
    Exchange("Count all items that are given.", "a, b", "two"),
    Exchange("Say a nice greeting.", "", "hello"),
]
VERBS = ("Sort", "Print", "Double", "Invert", "Merge", "Trim", "Find", "Join", "Hide", "Pad")
NOUNS = ("rivers", "numbers", "colours", "names", "dates", "cities", "verbs", "rows", "keys", "lines")


def subsequences(words):
    return {
        tuple(words[i] for i in chosen)
        for n in range(len(words) + 1)
        for chosen in itertools.combinations(range(len(words)), n)
    }


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_the_longest_common_subsequence_is_that_of_all_subsequences(first, second):
    assert common_subsequence(first, second) == max(map(len, subsequences(first) & subsequences(second)))


def test_rouge_l_is_the_f1_of_the_subsequence():
    assert rouge_l(words_of("Police killed the gunman"), words_of("police KILL the gunman!")) == pytest.approx(0.75)
    assert rouge_l(["a", "b", "c", "d"], ["a", "c"]) == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert rouge_l([], ["a"]) == 0.0


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=8),
    st.lists(st.lists(st.sampled_from("abcd"), max_size=8), max_size=5),
)
def test_shortcuts_do_not_change_the_largest_rouge(text, others):
    assert most_alike(text, others) == pytest.approx(max((rouge_l(text, other) for other in others), default=0.0))


def test_what_a_prompt_shows_is_read_back_from_an_answer():
    """A model that goes on in the prompt's own form is understood."""
    prompt = prompt_of(SEEDS[:2])
    assert prompt.endswith("###\n3. Instruction:")
    answer = prompt_of([*SEEDS[:2], *SEEDS]).removeprefix(prompt).removesuffix("###\n6. Instruction:")
    assert tasks_in(answer, 3, cut_off=False) == SEEDS
    assert tasks_in(answer + "###\n6. Instruction: Half a ta", 3, cut_off=True) == SEEDS


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Exchange("Reverse the list of all words.", "", "x"), "too much alike"),
        (Exchange("Sing it loud.", "", "x"), "too short or too long"),
        (Exchange("word " * 151, "", "x"), "too short or too long"),
        (Exchange("Describe what this Picture shows us.", "", "x"), "not for a language model"),
        (Exchange("Write a program that reads numbers.", "", "x"), "write a program"),
        (Exchange("- Tell me about big rivers.", "", "x"), "begins with no letter"),
        (Exchange("Éclair recipes please, five of them.", "", "x"), "begins with no letter"),
        (Exchange("Tell me about five big rivers.", "", " "), "no output"),
        (Exchange("Tell me about five big rivers.", "", "x"), None),
        (Exchange("Explain the filesystem profile of rivers.", "", "x"), None),  # holds "file", but not as a word
    ],
)
def test_each_filter_rejects_what_it_should(task, reason):
    assert reason_against(task, [words_of(seed.instruction) for seed in SEEDS]) == reason


def writer(calls):
    """A model that writes two tasks a round, of which some are repeated; draws by the round alone."""

    def write(prompt, number):
        calls.append(number)
        drawing = Random(number)
        lines = [f" {drawing.choice(VERBS)} the given {drawing.choice(NOUNS)} {drawing.choice(NOUNS)} quickly."]
        lines += ["4. Input:\n<noinput>", "4. Output:\ndone", "###", "5. Instruction: Half"]
        return "\n".join(lines), True

    return write


def test_the_loop_ends_when_enough_have_passed_and_all_differ():
    calls = []
    pool = self_instruct(SEEDS, writer(calls), wanted=40)
    assert len(pool.written) == 40
    assert pool.rounds == len(calls) == 40 + sum(pool.rejected.values())
    assert pool.rejected["too much alike"] > 0
    for one, other in itertools.combinations(pool.all, 2):
        assert rouge_l(words_of(one.instruction), words_of(other.instruction)) <= 0.7


def test_an_interrupted_loop_goes_on_as_if_it_had_not_been(tmp_path):
    state = tmp_path / "state.jsonl"
    whole = self_instruct(SEEDS, writer([]), wanted=10)
    breaking = writer([])

    def broken(prompt, number):
        if number == 6:
            raise KeyboardInterrupt
        return breaking(prompt, number)

    with pytest.raises(KeyboardInterrupt):
        self_instruct(SEEDS, broken, wanted=10, state=state)
    with state.open("a", encoding="utf-8") as file:
        file.write('{"passed": [')  # killed while it wrote
    calls = []
    resumed = self_instruct(SEEDS, writer(calls), wanted=10, state=state)
    assert calls[0] == 6
    assert resumed == whole
    assert self_instruct(SEEDS, writer(calls), wanted=10, state=state) == whole


def test_a_state_of_other_seeds_is_refused(tmp_path):
    self_instruct(SEEDS, writer([]), wanted=1, state=tmp_path / "s.jsonl")
    with pytest.raises(ValueError, match="belongs to other seeds"):
        self_instruct(SEEDS[:2], writer([]), wanted=1, state=tmp_path / "s.jsonl")


def test_a_model_that_writes_nothing_useful_ends_the_loop_at_its_rounds():
    pool = self_instruct(SEEDS, lambda prompt, number: ("", False), wanted=3, most_rounds=5)
    assert (pool.written, pool.rounds) == ([], 5)


def test_no_seeds_are_refused():
    with pytest.raises(ValueError, match="give some seeds"):
        self_instruct([], writer([]), wanted=1)
    with pytest.raises(ValueError, match="at least one example"):
        prompt_of([])
