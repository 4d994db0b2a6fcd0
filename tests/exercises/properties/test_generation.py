"""Decoding with kept states beside decoding anew, right and wrong."""

import torch

from course_lib.exercises.properties.generation import cached_equals_uncached
from course_lib.exercises.properties.mistakes import equals

torch.manual_seed(0)
EMBEDDING = torch.nn.Embedding(12, 4)
CELL = torch.nn.GRU(4, 6, batch_first=True)
OUT = torch.nn.Linear(6, 12)
with torch.no_grad():  # large weights, so that the words depend on what came before
    for parameter in CELL.parameters():
        parameter.mul_(6)
EXAMPLES = [{"prompt": torch.tensor([prompt]), "steps": steps} for prompt, steps in [([3, 1, 4, 1], 6), ([2], 3)]]


@torch.no_grad()
def anew(prompt, steps):
    for _ in range(steps):
        states, _ = CELL(EMBEDDING(prompt))
        prompt = torch.cat([prompt, OUT(states[:, -1]).argmax(-1, keepdim=True)], 1)
    return prompt


@torch.no_grad()
def kept(prompt, steps, forget_from=99, prompt_from=0):
    states, state = CELL(EMBEDDING(prompt[:, prompt_from:]))
    for step in range(steps):
        prompt = torch.cat([prompt, OUT(states[:, -1]).argmax(-1, keepdim=True)], 1)
        states, state = CELL(EMBEDDING(prompt[:, -1:]), None if step >= forget_from else state)
    return prompt


def test_kept_states_give_the_same_words():
    cached_equals_uncached(kept, anew, EXAMPLES)
    cached_equals_uncached(
        lambda prompt, steps: kept(prompt, steps)[0].tolist(),
        lambda prompt, steps: anew(prompt, steps)[0].tolist(),
        EXAMPLES,
    )


def test_a_state_that_is_not_handed_on_is_shown_at_its_first_word(failure_of):
    forgets = lambda prompt, steps: kept(prompt, steps, forget_from=0)  # noqa: E731
    mistakes = [equals("state_forgotten", forgets)]
    failure = failure_of(cached_equals_uncached, forgets, anew, EXAMPLES, mistakes=mistakes)
    first = (forgets(**failure.example) != anew(**failure.example)).nonzero()[0].tolist()
    assert failure.found.startswith(f"{first}: ")
    assert failure.found.endswith("(without the cache)")
    assert failure.mistake == "state_forgotten"
    assert set(failure.answer) == {"without the cache", "with the cache"}
    assert failure.example is EXAMPLES[1]


def test_a_prompt_read_in_part_differs_where_there_is_more_than_one_word(failure_of):
    last_word = lambda prompt, steps: kept(prompt, steps, prompt_from=-1)  # noqa: E731
    assert failure_of(cached_equals_uncached, last_word, anew, EXAMPLES).example is EXAMPLES[0]


def test_too_few_words_and_odd_answers_fail_clearly(failure_of):
    short = lambda prompt, steps: kept(prompt, steps - 1)  # noqa: E731
    assert failure_of(cached_equals_uncached, short, anew, EXAMPLES).found == "expected the shape [1, 4], got [1, 3]"
    for answer in (None, 1.0, "x", (1,), anew(**EXAMPLES[1]).float(), torch.tensor(torch.nan)):
        failure_of(cached_equals_uncached, lambda prompt, steps, a=answer: a, anew, EXAMPLES)


def test_nan_is_told_before_all_comparing(failure_of):
    nan = lambda prompt, steps: torch.full((1, 4), torch.nan)  # noqa: E731
    failure = failure_of(cached_equals_uncached, nan, anew, EXAMPLES)
    assert (failure.found, failure.mistake) == ("there is NaN in the result", "nan")
