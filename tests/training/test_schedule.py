import pytest
import torch

from course_lib.training import schedule


def rates(make_schedule, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make_schedule(optimizer)
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


def test_warmup_then_constant():
    found = rates(lambda optimizer: schedule.warmup_then_constant(optimizer, warmup_steps=4), 7)
    assert found == pytest.approx([0, 0.5, 1, 1.5, 2, 2, 2])


def test_warmup_then_linear_ends_at_zero():
    found = rates(lambda optimizer: schedule.warmup_then_linear(optimizer, warmup_steps=2, steps=6), 7)
    assert found == pytest.approx([0, 1, 2, 1.5, 1, 0.5, 0])


def test_warmup_then_cosine_is_half_way_down_half_way():
    found = rates(lambda optimizer: schedule.warmup_then_cosine(optimizer, warmup_steps=2, steps=10), 11)
    assert (found[2], found[6], found[10]) == pytest.approx((2, 1, 0))


def test_the_inverse_square_root_is_the_transformers_own_schedule_at_its_peak():
    model_size, warmup = 64, 10
    peak = (model_size * warmup) ** -0.5
    found = rates(lambda optimizer: schedule.warmup_then_inverse_square_root(optimizer, warmup_steps=warmup), 100)
    papers = [model_size**-0.5 * min(step**-0.5, step * warmup**-1.5) for step in range(1, 100)]
    assert [rate / 2.0 * peak for rate in found[1:]] == pytest.approx(papers)


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warmup_that_never_ends_or_is_negative_is_refused(warmup):
    with pytest.raises(ValueError, match="warmup_steps"):
        rates(lambda optimizer: schedule.warmup_then_linear(optimizer, warmup_steps=warmup, steps=10), 1)


def test_an_inverse_square_root_without_warmup_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        rates(lambda optimizer: schedule.warmup_then_inverse_square_root(optimizer, warmup_steps=0), 1)
