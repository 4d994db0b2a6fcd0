"""A transformer with one part taken out: what is gone must be gone, and the rest still work."""

import math

import pytest
import torch

from course_lib.data.batching import make_batch
from course_lib.models.ablations import (
    CHANGES,
    change,
    leak_next_word,
    leave_out_positions,
    leave_out_residuals,
    leave_out_scale,
    refuse_other_than,
)
from course_lib.models.blocks import PreNormEncoderBlock
from course_lib.models.transformer import transformer_model


def small(**changes):
    torch.manual_seed(0)
    return transformer_model(20, 20, **({"embedding_size": 16, "heads": 4, "context_size": 32} | changes)).eval()


@pytest.fixture
def batch():
    return make_batch([([7, 4, 9, 5], [5, 6, 8]), ([8, 6, 5, 7], [9, 4, 11])])


def logits(model, batch, source=None):
    source = batch.source if source is None else source
    return model(source, source != 0, batch.target_input).logits


def test_without_the_scale_the_scores_are_those_of_queries_that_many_times_larger(batch):
    expected = small()
    attentions = [block.attention for block in expected.encoder.blocks]
    attentions += [a for block in expected.decoder.blocks for a in (block.self_attention, block.cross_attention)]
    with torch.no_grad():
        for attention in attentions:
            attention.query_projection.weight.mul_(math.sqrt(4))  # embedding 16 in 4 heads: d_k = 4
            attention.query_projection.bias.mul_(math.sqrt(4))
    found = logits(leave_out_scale(small()), batch)
    torch.testing.assert_close(found, logits(expected, batch), atol=1e-5, rtol=0)
    assert not torch.allclose(found, logits(small(), batch))


def test_without_positions_the_order_of_the_source_is_lost_and_with_them_it_is_not(batch):
    shuffled = batch.source[:, [2, 0, 3, 1]]
    model = leave_out_positions(small())
    torch.testing.assert_close(logits(model, batch), logits(model, batch, shuffled), atol=1e-5, rtol=0)
    assert not torch.allclose(logits(small(), batch), logits(small(), batch, shuffled), atol=1e-3)


def test_without_residuals_a_block_of_zeros_passes_nothing_on_and_with_them_everything():
    for take_out, passes in ((lambda model: model, True), (leave_out_residuals, False)):
        block = take_out(small()).encoder.blocks[0]
        with torch.no_grad():
            for projection in (block.attention.output_projection, block.feed_forward.contract):
                projection.weight.zero_()
                projection.bias.zero_()
        states = torch.randn(1, 3, 16)
        after, _ = block(states, torch.ones(1, 1, 1, 3, dtype=torch.bool))
        assert torch.equal(after, states if passes else torch.zeros_like(states))


def test_residuals_are_taken_out_of_pre_norm_blocks_only():
    with pytest.raises(TypeError, match="use pre_norm=True"):
        refuse_other_than(PreNormEncoderBlock, small(pre_norm=False).encoder.blocks[0])


def test_with_the_leak_a_score_depends_on_the_next_word_and_on_none_after_it(batch):
    changed = batch.target_input.clone()
    changed[:, 2] = 13
    for spoil, first_changed in ((lambda model: model, 2), (leak_next_word, 1)):
        model = spoil(small(blocks=1))  # each further block lets it see one word more
        before = model(batch.source, batch.source_is_word, batch.target_input).logits
        after = model(batch.source, batch.source_is_word, changed).logits
        differs = (before != after).any(dim=-1).any(dim=0)
        assert differs.tolist().index(True) == first_changed


def test_a_change_goes_by_its_name_and_another_name_is_refused(batch):
    assert torch.equal(logits(change(small(), "whole"), batch), logits(small(), batch))
    for name in set(CHANGES) - {"whole"}:
        assert not torch.allclose(logits(change(small(), name), batch), logits(small(), batch), atol=1e-4), name
    with pytest.raises(ValueError, match="choose from whole, no_scale"):
        change(small(), "scale")


@pytest.mark.parametrize("name", sorted(set(CHANGES) - {"leaky_mask"}))
def test_each_still_writes_word_by_word_what_it_reads_at_once_and_can_learn(batch, name):
    model = change(small(), name)
    annotations = model.encoder(batch.source, batch.source_is_word)
    state, pieces = model.decoder.start(annotations), []
    for words in batch.target_input.split(1, dim=1):
        output, state = model.decoder(words, state, annotations)
        pieces.append(output.logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), logits(model, batch), atol=1e-5, rtol=0)
    logits(model.train(), batch).logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
