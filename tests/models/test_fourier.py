"""Fourier mixing, against the sum of waves it stands for, and in the encoder's place of attention."""

import math

import pytest
import torch

from course_lib.data.batching import make_batch
from course_lib.models.fourier import FourierMixing, fourier_mix, mix_encoder_by_fourier
from course_lib.models.transformer import transformer_model


def all_words(*shape):
    return torch.ones(*shape, dtype=torch.bool)


def test_it_is_the_sum_of_waves_over_places_and_features():
    states = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    mixed = fourier_mix(states, all_words(1, 3))
    for k in range(3):
        for m in range(4):
            by_hand = sum(
                float(states[0, n, f]) * math.cos(2 * math.pi * (k * n / 3 + m * f / 4))
                for n in range(3)
                for f in range(4)
            )
            assert mixed[0, k, m].item() == pytest.approx(by_hand / math.sqrt(12), abs=1e-5)


def test_padding_and_neighbours_change_nothing():
    torch.manual_seed(0)
    states = torch.randn(3, 5, 8)
    is_word = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    together = fourier_mix(states, is_word)
    assert (together[~is_word] == 0).all()
    for row, length in enumerate(is_word.sum(-1).tolist()):
        alone = fourier_mix(states[row : row + 1, :length], all_words(1, length))
        torch.testing.assert_close(together[row : row + 1, :length], alone, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="right padding"):
        fourier_mix(states, is_word.flip(1))


def test_it_keeps_the_size_of_random_states():
    mixed = fourier_mix(torch.randn(4, 64, 64, generator=torch.Generator().manual_seed(0)), all_words(4, 64))
    assert mixed.std().item() == pytest.approx(math.sqrt(0.5), rel=0.1)  # the imaginary half is left out


def test_the_real_part_alone_cannot_tell_a_text_from_its_mirror_image():
    states = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(0))
    mirrored = states.flip(1, 2).roll((1, 1), dims=(1, 2))  # x[-n, -m]
    assert not torch.allclose(states, mirrored)
    torch.testing.assert_close(
        fourier_mix(states, all_words(1, 6)), fourier_mix(mirrored, all_words(1, 6)), atol=1e-5, rtol=0
    )


def test_it_lets_the_gradient_through_to_every_word_and_to_no_padding():
    states = torch.randn(2, 4, 8, requires_grad=True)
    is_word = torch.tensor([[True] * 4, [True] * 2 + [False] * 2])
    (fourier_mix(states, is_word) ** 2).sum().backward()
    assert (states.grad[is_word].abs().sum(-1) > 0).all()
    assert (states.grad[~is_word] == 0).all()


def test_a_transformer_with_it_trains_translates_and_keeps_its_decoder():
    torch.manual_seed(0)
    with_attention = transformer_model(20, 20, embedding_size=16, heads=4, context_size=32)
    model = mix_encoder_by_fourier(transformer_model(20, 20, embedding_size=16, heads=4, context_size=32))
    count = {name: sum(p.numel() for p in m.parameters()) for name, m in [("a", with_attention), ("f", model)]}
    assert count["a"] - count["f"] == 2 * 4 * (16 * 16 + 16)  # two blocks' four projections
    assert all(isinstance(block.attention, FourierMixing) for block in model.encoder.blocks)
    batch = make_batch([([7, 4, 9], [5, 6]), ([8, 8, 5, 6, 7], [9, 4, 5, 11])])
    model.train()(batch.source, batch.source_is_word, batch.target_input).logits.sum().backward()
    assert model.encoder.words.embedding.weight.grad.abs().sum() > 0
    output = model.eval()(batch.source, batch.source_is_word, batch.target_input)
    assert output.weights.shape == (2, 5, 5)
    assert model.encoder(batch.source, batch.source_is_word).encoder_weights == []
    wider = torch.nn.functional.pad(batch.source, (0, 4))
    padded = model(wider, wider != 0, batch.target_input)
    torch.testing.assert_close(padded.logits, output.logits, atol=1e-5, rtol=0)
