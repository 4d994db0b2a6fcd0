"""The exercises of lesson 07, beyond what holds for all exercises: other right answers pass, other wrong ones fail."""

import functools

import pytest
import torch

from course_lib.exercises.answering import AnswerSession
from course_lib.exercises.catalogue import find_exercise, load_module
from course_lib.exercises.checking import run_checks
from course_lib.parallel.ring import schedule


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


# 07.1 the ring's programs


def by_the_library(rank, world_size, first=lambda rank, world_size: rank % 2 == 0):
    """The library's own schedule; `first`: whether this rank sends before it receives."""
    program = []
    for row in schedule(world_size):
        if row.rank == rank:
            pair = (("send", row.sent), ("add" if row.phase == "scatter-reduce" else "store", row.received))
            program.extend(pair if first(rank, world_size) else pair[::-1])
    return program


def only_the_last_receives_first(rank, world_size):
    return by_the_library(rank, world_size, lambda rank, size: rank < size - 1)


def as_lists(rank, world_size):
    return tuple([what, chunk] for what, chunk in by_the_library(rank, world_size))


def the_other_chunk_numbers(rank, world_size):
    """Each chunk ends at the rank of its number: the ring under the neighbour's number."""
    return [(what, (chunk - 1) % world_size) for what, chunk in by_the_library(rank, world_size)]


@pytest.mark.parametrize("program", [by_the_library, only_the_last_receives_first, as_lists, the_other_chunk_numbers])
def test_other_programs_of_a_ring_pass(program):
    assert first_failure("07.1", ring_program=program) == (None, None)
    for asked in ("programs_end", "sums_are_right", "sends_are_few"):
        getattr(checks_of("07.1"), asked)(program, [6, 9])


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (lambda rank, size: None, ("nobody_waits_for_ever", "no_program")),
        (lambda rank, size: [("receive", 0)], ("nobody_waits_for_ever", "no_such_step")),
        (lambda rank, size: [("send", 0.0)], ("nobody_waits_for_ever", "no_such_step")),
        (lambda rank, size: [("send", 0)] if size == 1 else [], ("nobody_waits_for_ever", "alone")),
        (lambda rank, size: [], ("all_have_the_sum", "too_few_steps")),
        (lambda rank, size: by_the_library(rank, size)[::-1], ("all_have_the_sum", "unfinished")),
        (lambda rank, size: by_the_library(rank, size) * 2, ("all_have_the_sum", "unfinished")),
    ],
)
def test_other_wrong_programs_fail(program, expected):
    assert first_failure("07.1", ring_program=program) == expected


# 07.2 one batch


def stacked(gradients, rows):
    """With zeros for what is not there, and a tensor of weights."""
    weights = torch.tensor(rows, dtype=torch.float64) / sum(rows)
    combined = []
    for parts in zip(*gradients, strict=True):
        there = next((part for part in parts if part is not None), None)
        if there is None:
            combined.append(None)
            continue
        filled = torch.stack([torch.zeros_like(there) if part is None else part for part in parts])
        combined.append(torch.tensordot(weights, filled, 1))
    return tuple(combined)


def rank_by_rank(gradients, rows):
    """A running sum, as a ring would have it."""
    total = [None] * len(gradients[0])
    for own, number in zip(gradients, rows, strict=True):
        for place, part in enumerate(own):
            if part is not None:
                share = part * (number / sum(rows))
                total[place] = share if total[place] is None else total[place] + share
    return total


@pytest.mark.parametrize("combine", [stacked, rank_by_rank])
def test_other_ways_to_combine_gradients_pass(combine):
    assert first_failure("07.2", combined_gradients=combine) == (None, None)
    example = checks_of("07.2").example
    checks_of("07.2").as_one_batch(combine, [example([2, 0, 5, 1], used=[[0, 1], [], [1], [0]], seed=14)])


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        (lambda gradients, rows: None, ("equal_shares", "not_a_list")),
        (lambda gradients, rows: gradients[0], ("equal_shares", None)),
        (
            lambda gradients, rows: [None if g is None else g.sum() for g in stacked(gradients, rows)],
            ("equal_shares", None),
        ),
        (lambda gradients, rows: [sum(p) for p in zip(*gradients, strict=True)], ("equal_shares", "summed")),
    ],
)
def test_other_wrong_combinations_fail(combine, expected):
    assert first_failure("07.2", combined_gradients=combine) == expected


def test_gradients_are_combined_in_another_process_too():
    plain_mean = """
def combined_gradients(gradients, rows):
    return [sum(p for p in parts if p is not None) / len(rows) for parts in zip(*gradients)]
"""
    with AnswerSession([plain_mean]) as session:
        results = run_checks(exercise("07.2"), session.answers).results
    assert [(result.name, result.mistake) for result in results if not result.passed] == [
        ("other_shares", "unweighted"),
        ("unused_parameters", "unweighted"),
    ]


# 07.3 replicas


def place_by_place(replicas):
    texts = [[repr(number) for number in row] for row in replicas.tolist()]
    return [rank for rank, own in enumerate(texts) if own != texts[0]]


def one_process_for_all(drawn, inputs, targets, steps, rate):
    """Whoever sees that replicas are one model may train one."""
    weights = drawn[0].clone()
    for _ in range(steps):
        weights -= rate * 2 * inputs.T @ (inputs @ weights - targets) / len(inputs)
    return weights.repeat(len(drawn), 1)


def by_autograd(drawn, inputs, targets, steps, rate):
    replicas = [drawn[0].clone().requires_grad_() for _ in drawn]
    for _ in range(steps):
        shares = zip(replicas, inputs.tensor_split(len(drawn)), targets.tensor_split(len(drawn)), strict=True)
        losses = [((rows @ weights - wanted) ** 2).sum() for weights, rows, wanted in shares]
        total = sum(torch.autograd.grad(loss, own)[0] for loss, own in zip(losses, replicas, strict=True))
        replicas = [(own - rate * total / len(inputs)).detach().requires_grad_() for own in replicas]
    return torch.stack(replicas).detach()


@pytest.mark.parametrize("train", [one_process_for_all, by_autograd])
def test_other_ways_to_keep_replicas_together_pass(train):
    assert first_failure("07.3", strayed=place_by_place, train_replicas=train) == (None, None)
    checks = checks_of("07.3")
    checks.all_alike(train, [checks.example(6, 13, 4, 5, seed=11)])
    checks.as_one_process(train, [checks.example(6, 13, 4, 5, seed=12), checks.example(2, 9, 2, 1, seed=13)])


def untouched(drawn, inputs, targets, steps, rate):
    return drawn[:1].repeat(len(drawn), 1)


@pytest.mark.parametrize(
    ("strayed", "train", "expected"),
    [
        (lambda replicas: None, by_autograd, ("names_the_strayed", "not_a_list")),
        (lambda replicas: [True for _ in replicas], by_autograd, ("names_the_strayed", "not_a_list")),
        (lambda replicas: [0, *place_by_place(replicas)], by_autograd, ("names_the_strayed", None)),
        (place_by_place, untouched, ("one_batch_one_start", None)),
        (place_by_place, lambda *arguments: None, ("replicas_agree", "not_a_tensor")),
        (place_by_place, lambda drawn, *_: drawn / 0, ("replicas_agree", None)),
    ],
)
def test_other_wrong_answers_about_replicas_fail(strayed, train, expected):
    name, mistake = first_failure("07.3", strayed=strayed, train_replicas=train)
    assert (name, mistake if expected[1] else None) == expected


def test_the_colleagues_replicas_stray_and_the_repaired_ones_do_not():
    """As the story says: no replica has the weights that fit, and then all come close to them."""
    import jupytext

    names = {}
    for cell in jupytext.read(exercise("07.3").master).cells:
        if cell.cell_type == "code" and "check(" not in cell.source:
            exec(cell.source.replace("from course_lib.exercises import check, hint, step", ""), names)
    fit = torch.tensor([1.0, -2.0, 0.5])
    assert place_by_place(names["trained"]) == [1, 2, 3]
    assert ((names["trained"] - fit).abs().amax(1) > 0.05).all()
    assert place_by_place(names["repaired"]) == []
    assert (names["repaired"] - fit).abs().max() < 0.01
