"""Full, local and transient-global attention against the layers in transformers, with the same weights."""

import pytest
import torch
import transformers
from transformers.models.longt5 import modeling_longt5 as theirs

from course_lib.models.long_attention import (
    FullAttention,
    LocalAttention,
    TransientGlobalAttention,
    attention_weights,
    biased_attention,
    in_blocks,
    local_bias,
    masked,
    scores_per_head,
    summary_bias,
    summary_of_parts,
    with_both_beside,
)
from course_lib.models.relative_positions import DistanceBias, distance_buckets

WIDTH, HEADS, SIZE, BLOCK, SUMMARY = 12, 3, 5, 8, 4
LENGTHS = (2, 3, 4, 8, 15, 16, 17, 33, 48)


def config(**options):
    return transformers.LongT5Config(
        d_model=WIDTH, num_heads=HEADS, d_kv=SIZE, local_radius=BLOCK - 1, global_block_size=SUMMARY, dropout_rate=0.0
    )


def same_weights(ours, layer, positions, summary_positions=None):
    torch.manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    for mine, other in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
        getattr(ours, mine).weight.data.copy_(getattr(layer, other).weight)
    positions.table.weight.data.copy_(layer.relative_attention_bias.weight)
    if summary_positions is not None:
        summary_positions.table.weight.data.copy_(layer.global_relative_attention_bias.weight)
        ours.summary_norm.weight.data.copy_(layer.global_input_layer_norm.weight)


def batch(length):
    generator = torch.Generator().manual_seed(length)
    states = torch.randn(3, length, WIDTH, generator=generator)
    ends = torch.tensor([[length], [max(1, length - 3)], [max(1, length // 3)]])
    return states, torch.arange(length) < ends


def distances():
    return DistanceBias(HEADS, 32, 128)


@pytest.mark.parametrize("length", LENGTHS)
def test_full_attention_is_t5s(length):
    layer = theirs.LongT5Attention(config(), has_relative_attention_bias=True, layer_idx=0).eval()
    layer.config._attn_implementation = "eager"
    ours, positions = FullAttention(WIDTH, HEADS, SIZE), distances()
    same_weights(ours, layer, positions)
    states, is_word = batch(length)
    hidden = torch.zeros(3, 1, 1, length).masked_fill(~is_word[:, None, None], torch.finfo(torch.float32).min)
    expected = layer(states, mask=hidden)[0]
    bias = masked(positions(length, length), is_word[:, None, None])
    torch.testing.assert_close(ours(states, states, bias), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_local_attention_is_longt5s(length):
    layer = theirs.LongT5LocalAttention(config(), has_relative_attention_bias=True).eval()
    ours, positions = LocalAttention(WIDTH, HEADS, SIZE, BLOCK), distances()
    same_weights(ours, layer, positions)
    states, is_word = batch(length)
    mask = theirs._get_local_attention_mask(is_word.float(), BLOCK, states.device)
    expected = layer(states, mask)[0]
    found = ours(states, local_bias(positions, is_word, BLOCK))
    torch.testing.assert_close(found[is_word], expected[is_word], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_transient_global_attention_is_longt5s(length):
    layer = theirs.LongT5TransientGlobalAttention(config(), has_relative_attention_bias=True).eval()
    ours = TransientGlobalAttention(WIDTH, HEADS, SIZE, BLOCK, SUMMARY)
    positions, summary_positions = distances(), distances()
    same_weights(ours, layer, positions, summary_positions)
    states, is_word = batch(length)
    expected = layer(states, is_word.float())[0]
    belongs, counts = summary_of_parts(is_word, SUMMARY)
    side = summary_bias(summary_positions, belongs, counts, length, BLOCK, SUMMARY)
    bias = torch.cat([local_bias(positions, is_word, BLOCK), side], dim=-1)
    found = ours(states, bias, is_word, belongs)
    torch.testing.assert_close(found[is_word], expected[is_word], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("pad_left", [False, True])
def test_each_word_belongs_to_the_summary_that_longt5_says(length, pad_left):
    _, is_word = batch(length)
    is_word = is_word.flip(1) if pad_left else is_word
    expected, segments = theirs._make_global_fixed_block_ids(is_word.float(), SUMMARY)
    belongs, counts = summary_of_parts(is_word, SUMMARY)
    by_word = belongs.repeat_interleave(SUMMARY, dim=1)[:, :length]
    assert torch.equal(by_word[is_word], expected[is_word].long())
    if not pad_left:
        assert torch.equal(counts, segments.sum(dim=1))


def test_a_text_shorter_than_one_summary_has_none_and_leftovers_join_the_last():
    lengths = {3: ([-1], 0), 4: ([0], 1), 7: ([0, 0], 1), 8: ([0, 1], 2), 9: ([0, 1, 1], 2)}
    for length, (expected, count) in lengths.items():
        belongs, counts = summary_of_parts(torch.ones(1, length, dtype=torch.bool), SUMMARY)
        assert (belongs[0].tolist(), int(counts)) == (expected, count)


@pytest.mark.parametrize("both_ways", [True, False])
def test_the_buckets_are_t5s(both_ways):
    distance = torch.arange(-700, 700)
    for buckets, farthest in ((32, 128), (16, 40), (8, 20)):
        expected = theirs.LongT5Attention._relative_position_bucket(distance, both_ways, buckets, farthest)
        assert torch.equal(distance_buckets(distance, buckets, farthest, both_ways), expected)


@pytest.mark.parametrize(("queries", "keys", "first"), [(4, 9, 0), (1, 7, 6), (5, 5, 0), (3, 10, 7), (8, 24, 8)])
def test_a_bias_laid_along_diagonals_is_that_of_each_distance(queries, keys, first):
    positions = distances()
    distance = torch.arange(keys) - (torch.arange(queries) + first)[:, None]
    assert torch.equal(positions(queries, keys, first), positions.at(distance).permute(2, 0, 1))


def test_a_head_that_starts_near_likes_its_neighbour_best():
    for both_ways, neighbours in ((True, (-1, 0, 2)), (False, (-1, 0, -3))):
        positions = DistanceBias(4, 32, 128, both_ways)
        before = positions.table.weight[:, 3].clone()
        positions.start_near(neighbours)
        bias = positions(1, 21 if both_ways else 11, first_query=10)[:, 0]
        assert [int(row.argmax()) - 10 for row in bias[:3]] == list(neighbours)
        assert torch.equal(positions.table.weight[:, 3], before)


def test_the_fused_kernel_averages_by_the_weights_that_are_shown():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, HEADS, 6, SIZE, generator=generator) for _ in range(3))
    bias = distances()(6, 6)[None]
    weights = attention_weights(query, key, bias)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, HEADS, 6))
    torch.testing.assert_close(biased_attention(query, key, value, bias), weights @ value, atol=1e-5, rtol=1e-5)
    # Twice the query doubles the scores: nothing divides them.
    torch.testing.assert_close(attention_weights(query, key, None), (query @ key.mT).softmax(-1))


def test_blocks_hold_all_places_once_and_their_neighbours_beside_them():
    states = torch.arange(1.0, 11.0)[None, None, :, None]
    blocks = in_blocks(states, 4)[0, 0, :, :, 0]
    assert blocks.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]]
    wide = with_both_beside(in_blocks(states, 4))[0, 0, :, :, 0]
    assert wide[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0]
    assert wide[0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_the_formula_says_how_many_scores_there_are():
    assert scores_per_head(4_096, "transient-global") == 4_096 * (384 + 256)
    assert scores_per_head(16_384, "full") / scores_per_head(16_384, "transient-global") == pytest.approx(11.6, abs=0.1)
    cheaper = [
        length
        for length in range(1, 600)
        if scores_per_head(length, "transient-global") < scores_per_head(length, "full")
    ]
    assert 405 < cheaper[0] < 415
    with pytest.raises(ValueError, match="kind must be one of full, local, transient-global, got 'sparse'"):
        scores_per_head(10, "sparse")
