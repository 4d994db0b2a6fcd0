"""Costs against length: bytes that are really kept, and the power they grow with."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.evaluation.attention_cost import bytes_kept, log_log_slope, seconds_of
from course_lib.models.scaled_attention import scaled_dot_product


def test_a_softmax_keeps_its_result_and_nothing_else():
    scores = torch.randn(10, 7, requires_grad=True)
    assert bytes_kept(lambda: scores.softmax(-1)) == 10 * 7 * 4


def test_a_tensor_kept_twice_counts_once_and_parameters_do_not_count():
    states = torch.randn(5, 8, requires_grad=True)
    doubled = states * 2  # not a leaf: memory of the computation
    assert bytes_kept(lambda: doubled * doubled) == 5 * 8 * 4
    layer, given = nn.Linear(8, 3), torch.randn(5, 8)
    assert bytes_kept(lambda: layer(given)) == 5 * 8 * 4  # the input, for the weight's gradient
    assert bytes_kept(lambda: layer(states)) == 0


@pytest.mark.parametrize(("attend", "power"), [(scaled_dot_product, 2), (F.scaled_dot_product_attention, 1)])
def test_attention_by_hand_keeps_its_square_of_weights_and_the_fused_kernel_does_not(attend, power):
    kept = []
    for length in (256, 512, 1024):
        query, key, value = (torch.randn(1, 1, length, 8, requires_grad=True) for _ in range(3))

        def compute(query=query, key=key, value=value):
            result = attend(query, key, value)
            return result[0] if isinstance(result, tuple) else result

        kept.append(bytes_kept(compute))
    assert log_log_slope([256, 512, 1024], kept) == pytest.approx(power, abs=0.1)
    assert (kept[-1] >= 4 * 1024 * 1024) == (power == 2)


def test_without_anything_to_differentiate_it_is_refused():
    with pytest.raises(ValueError, match="requires_grad=True"):
        bytes_kept(lambda: torch.randn(3).softmax(-1))


def test_the_slope_is_the_power():
    lengths = [8, 16, 64]
    for power in (0, 1, 2, 1.5):
        assert log_log_slope(lengths, [3 * length**power for length in lengths]) == pytest.approx(power)


@pytest.mark.parametrize(("lengths", "costs"), [([1], [1]), ([2, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([0, 2], [1, 2])])
def test_a_slope_without_two_lengths_or_logarithms_is_refused(lengths, costs):
    with pytest.raises(ValueError, match=r"two different lengths|above 0"):
        log_log_slope(lengths, costs)


def test_the_time_is_that_of_the_fastest_counted_call(monkeypatch):
    clock = iter([0, 1, 200, 203, 300, 302, 400, 404])  # the first call, of 1 s, is not counted
    monkeypatch.setattr("course_lib.evaluation.attention_cost.time.perf_counter", lambda: next(clock))
    calls = []
    assert seconds_of(lambda: calls.append(1), repeats=3) == 2
    assert len(calls) == 4
    with pytest.raises(ValueError, match="at least 1"):
        seconds_of(lambda: None, repeats=0)
