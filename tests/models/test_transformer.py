"""The encoder-decoder of attention alone: same searches, same invariances as the recurrent ones."""

import pytest
import torch

from course_lib.data.batching import make_batch
from course_lib.generation.translate import beam_search, greedy
from course_lib.models.transformer import transformer_model
from course_lib.training.translation import next_word_loss


def small(pre_norm=True, **changes):
    torch.manual_seed(0)
    return transformer_model(
        20, 20, **({"embedding_size": 16, "heads": 4, "blocks": 2, "context_size": 32, "pre_norm": pre_norm} | changes)
    )


@pytest.fixture
def batch():
    return make_batch([([7, 4, 9], [5, 6]), ([8, 8, 5, 6, 7], [9, 4, 5, 11]), ([4], [4])])


@pytest.mark.parametrize("pre_norm", [True, False])
def test_writing_word_by_word_gives_the_scores_of_reading_all_at_once(batch, pre_norm):
    model = small(pre_norm).eval()
    whole = model(batch.source, batch.source_is_word, batch.target_input).logits
    annotations = model.encoder(batch.source, batch.source_is_word)
    state, pieces = model.decoder.start(annotations), []
    for words in batch.target_input.split(1, dim=1):
        output, state = model.decoder(words, state, annotations)
        pieces.append(output.logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_training_and_evaluation_compute_the_same_without_dropout(batch, pre_norm):
    model = small(pre_norm)
    fused = model.train()(batch.source, batch.source_is_word, batch.target_input)
    by_hand = model.eval()(batch.source, batch.source_is_word, batch.target_input)
    torch.testing.assert_close(fused.logits, by_hand.logits, atol=1e-5, rtol=0)
    assert fused.weights is None
    assert by_hand.weights.shape == (3, 5, 5)
    assert len(by_hand.self_weights) == len(by_hand.cross_weights) == 2


def test_padding_and_neighbours_change_nothing(batch):
    model = small().eval()
    together = model(batch.source, batch.source_is_word, batch.target_input).logits
    wider = torch.nn.functional.pad(batch.source, (0, 4))
    torch.testing.assert_close(model(wider, wider != 0, batch.target_input).logits, together, atol=1e-5, rtol=0)
    alone = model(batch.source[:1, :3], batch.source_is_word[:1, :3], batch.target_input[:1]).logits
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)


def test_changing_a_later_target_word_never_changes_an_earlier_score(batch):
    model = small().eval()
    changed = batch.target_input.clone()
    changed[:, 2:] = 13
    first = model(batch.source, batch.source_is_word, batch.target_input).logits[:, :2]
    assert torch.equal(first, model(batch.source, batch.source_is_word, changed).logits[:, :2])


def test_beam_search_of_one_is_greedy_and_wider_beams_are_no_worse(batch):
    model = small().eval()
    for row in range(3):
        source = batch.source[row][batch.source_is_word[row]]
        (likeliest,) = greedy(model, source.unsqueeze(0), torch.ones(1, len(source), dtype=torch.bool))
        (one,) = beam_search(model, source, beam_size=1)
        assert one.ids == likeliest.ids
        assert one.weights.shape[1] == len(source)
        assert beam_search(model, source, beam_size=4)[0].log_probability >= likeliest.log_probability - 1e-5


def test_it_learns_to_copy_in_reverse():
    torch.manual_seed(0)
    model = small(embedding_size=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        rows = torch.randint(4, 20, (32, 4), generator=generator).tolist()
        loss = next_word_loss(model, make_batch([(row, row[::-1]) for row in rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source = torch.tensor([[5, 9, 17, 4]])
    assert greedy(model.eval(), source, source > 0)[0].ids == [4, 17, 9, 5]


def test_a_text_longer_than_the_context_is_refused(batch):
    with pytest.raises(ValueError, match="do not fit into the context of 4"):
        small(context_size=4)(batch.source, batch.source_is_word, batch.target_input)
