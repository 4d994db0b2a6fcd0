"""An answer beside a trusted one: softmax, cross-entropy and a GRU step, right and wrong."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.exercises.failures import AnswerRaised
from course_lib.exercises.properties.mistakes import equals, in_part, right_times
from course_lib.exercises.properties.parity import same_as

GENERATOR = torch.Generator().manual_seed(0)


def batch(rows, classes):
    return {
        "logits": torch.randn(rows, classes, generator=GENERATOR),
        "targets": torch.randint(classes, (rows,), generator=GENERATOR),
    }


EXAMPLES = [batch(4, 5), batch(2, 3), batch(3, 3)]


def cross_entropy(logits, targets):
    return (logits.logsumexp(-1) - logits[torch.arange(len(logits)), targets]).mean()


@pytest.mark.parametrize(
    "answer",
    [
        cross_entropy,
        lambda logits, targets: cross_entropy(logits, targets).item(),
        lambda logits, targets: cross_entropy(logits.double(), targets),
        lambda logits, targets: cross_entropy(logits.requires_grad_(), targets),
    ],
)
def test_cross_entropy_equals_torchs(answer):
    same_as(answer, F.cross_entropy, EXAMPLES)


def test_a_sum_is_recognised_and_the_smallest_example_shown(failure_of):
    mistakes = [right_times("sum", F.cross_entropy, lambda given: len(given["logits"]))]
    total = lambda logits, targets: cross_entropy(logits, targets) * len(logits)  # noqa: E731
    failure = failure_of(same_as, total, F.cross_entropy, EXAMPLES, mistakes=mistakes)
    assert failure.failed == "the answer equals that of torch"
    assert failure.found.endswith("(torch)")
    assert failure.mistake == "sum"
    assert failure.example is EXAMPLES[1]
    assert failure.answer == pytest.approx(
        2 * F.cross_entropy(**{"input": EXAMPLES[1]["logits"], "target": EXAMPLES[1]["targets"]})
    )


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (None, "expected a float32 tensor of shape [], got None (is there a `return`?)"),
        (torch.tensor([1.0]), "expected the shape [], got [1]"),
        (torch.tensor(True), "expected numbers, got a bool tensor of shape []"),
        ((1.0,), "expected a float32 tensor of shape [], got a tuple of 1"),
        (torch.tensor(torch.nan), "there is NaN in the result"),
        (float("nan"), "there is NaN in the result"),
    ],
)
def test_odd_answers_fail_clearly(answer, found, failure_of):
    assert failure_of(same_as, lambda logits, targets: answer, F.cross_entropy, EXAMPLES).found == found


CELL = torch.nn.GRUCell(2, 3)
STEPS = [{"x": torch.randn(1, 2, generator=GENERATOR), "state": torch.randn(1, 3, generator=GENERATOR)}]


def gates(x, state):
    from_x = (x @ CELL.weight_ih.T + CELL.bias_ih).chunk(3, -1)
    from_state = (state @ CELL.weight_hh.T + CELL.bias_hh).chunk(3, -1)
    reset, update = ((from_x[i] + from_state[i]).sigmoid() for i in (0, 1))
    return update, (from_x[2] + reset * from_state[2]).tanh()


def gru_step(x, state):
    update, new = gates(x, state)
    return (1 - update) * new + update * state, update


def swapped_gates(x, state):
    update, new = gates(x, state)
    return update * new + (1 - update) * state, update


def test_a_gru_step_of_two_parts(failure_of):
    reference = lambda x, state: (CELL(x, state), gates(x, state)[0])  # noqa: E731
    same_as(gru_step, reference, STEPS, reference_name="torch.nn.GRUCell")
    same_as(lambda x, state: list(gru_step(x, state)), reference, STEPS)
    mistakes = [in_part(equals("swapped", lambda x, state: swapped_gates(x, state)[0]), 0)]
    failure = failure_of(same_as, swapped_gates, reference, STEPS, reference_name="torch.nn.GRUCell", mistakes=mistakes)
    assert failure.found.startswith("[0][0, ")
    assert failure.found.endswith("(torch.nn.GRUCell)")
    assert failure.mistake == "swapped"


def test_words_counts_and_dicts(failure_of):
    count = lambda words: {word: words.count(word) for word in words}  # noqa: E731
    examples = [{"words": ["a", "b", "a"]}, {"words": ["a"]}]
    same_as(count, count, examples)
    ones = lambda words: dict.fromkeys(words, 1)  # noqa: E731
    failure = failure_of(same_as, ones, count, examples, reference_name="a count")
    assert failure.found == "['a']: 1 instead of 2 (a count)"
    assert failure.example == {"words": ["a", "b", "a"]}


def test_neither_answer_nor_reference_changes_the_example():
    def in_place(x):
        return x.mul_(0)

    example = {"x": torch.ones(2)}
    same_as(in_place, in_place, [example])
    assert example["x"].tolist() == [1, 1]


def test_a_deep_recursion_is_an_error_of_the_answer_told_in_few_lines():
    def endless(logits, targets):
        return endless(logits, targets)

    with pytest.raises(AnswerRaised, match="your code raised RecursionError") as raised:
        same_as(endless, F.cross_entropy, EXAMPLES)
    assert raised.value.where.count("return endless(logits, targets)") == 1
    assert len(raised.value.where.splitlines()) <= 3
