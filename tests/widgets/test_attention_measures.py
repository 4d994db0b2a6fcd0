"""Are entropy, average and rollout what their formulas say?"""

import math

import pytest
import torch

from course_lib.widgets.attention_maps import view_of
from course_lib.widgets.attention_measures import (
    average_over_heads,
    entropy_in_bits,
    measured,
    rollout,
    widest_entropy,
)


def random_weights(*shape, causal=False):
    scores = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    if causal:
        scores = scores.masked_fill(torch.ones(shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(dim=-1)


def test_entropy_equals_the_formula_written_with_loops():
    weights = random_weights(2, 3, 4, 5)
    bits = entropy_in_bits(weights)
    assert bits.shape == (2, 3)
    for layer in range(2):
        for head in range(3):
            rows = [-sum(p * math.log2(p) for p in row) for row in weights[layer, head].tolist()]
            assert bits[layer, head].item() == pytest.approx(sum(rows) / 4, abs=1e-5)


def test_a_look_at_one_token_has_no_entropy_and_an_even_look_has_the_most():
    assert entropy_in_bits(torch.eye(8)).item() == pytest.approx(0, abs=1e-6)
    even = torch.full((8, 8), 1 / 8)
    assert entropy_in_bits(even).item() == pytest.approx(3)
    assert widest_entropy(view_of("x", even, list("abcdefgh"))) == pytest.approx(3)


def test_the_widest_causal_look_reaches_the_widest_entropy():
    even = torch.ones(6, 6).tril()
    even = even / even.sum(dim=-1, keepdim=True)
    view = view_of("x", even, list("abcdef"))
    assert entropy_in_bits(even).item() == pytest.approx(widest_entropy(view), abs=1e-5)
    assert widest_entropy(view) < math.log2(6)


def test_rows_cut_by_a_window_are_scaled_and_empty_ones_count_nothing():
    assert entropy_in_bits(torch.tensor([[0.25, 0.25], [0.0, 0.0]])).item() == pytest.approx(0.5)


def test_rollout_equals_the_papers_recursion_written_with_loops():
    weights = random_weights(3, 2, 4, 4)
    identity = torch.eye(4)
    expected = identity
    for layer, rolled in zip(weights, rollout(average_over_heads(weights)), strict=True):
        mixed = torch.zeros(4, 4)
        for row in range(4):
            for column in range(4):
                mixed[row, column] = (
                    0.5 * (layer[0, row, column] + layer[1, row, column]) / 2 + 0.5 * identity[row, column]
                )
        expected = mixed @ expected
        torch.testing.assert_close(rolled, expected)
        torch.testing.assert_close(rolled.sum(dim=-1), torch.ones(4))


def test_rollout_of_heads_that_look_at_themselves_stays_where_it_is():
    torch.testing.assert_close(rollout(torch.eye(5).repeat(3, 1, 1)), torch.eye(5).repeat(3, 1, 1))


def test_rollout_of_a_causal_model_is_causal():
    assert not rollout(random_weights(3, 6, 6, causal=True)).triu(1).any()


def test_the_columns_are_the_heads_then_average_then_rollout():
    weights = random_weights(2, 3, 4, 4)
    one = measured(view_of("x", weights, list("abcd")))
    assert one.columns == ["1", "2", "3", "average", "rollout"]
    assert one.entropies.shape == (2, 5)
    torch.testing.assert_close(one.map_of(1, 2), weights[1, 2])
    torch.testing.assert_close(one.map_of(1, 3), weights[1].mean(dim=0))
    torch.testing.assert_close(one.map_of(1, 4), rollout(average_over_heads(weights))[1])
    assert one.name_of(1, 2) == "layer 2, head 3"
    assert one.name_of(1, 3) == "layer 2, average over heads"
    assert one.name_of(1, 4) == "rollout up to layer 2"


def test_a_look_at_other_tokens_has_no_rollout():
    assert measured(view_of("x", random_weights(2, 3, 4, 5), list("abcd"), list("vwxyz"))).columns[-1] == "average"


def test_thumbnails_leave_special_tokens_out_when_asked():
    weights = random_weights(1, 1, 4, 4)
    one = measured(view_of("x", weights, ["[CLS]", "a", "b", "[SEP]"]))
    expected = (weights[0, 0, 1:3, 1:3] * 255).round().to(torch.uint8)
    assert torch.equal(one.small_maps(keep_special=False)[0, 0], expected)
    assert one.small_maps().shape == (1, 3, 4, 4)
