"""Greedy and beam search against an exhaustive search, and their stopping rules."""

import itertools

import pytest
import torch
from scipy import stats

from course_lib.data.vocabulary import BEGIN, END, Vocabulary
from course_lib.generation.translate import beam_search, greedy, sample, translate
from course_lib.models.seq2seq import attention_model, fixed_context_model


def tiny(seed=0, attention=True):
    torch.manual_seed(seed)
    if attention:
        model = attention_model(12, 6, embedding_size=5, hidden_size=6, attention_size=4)
    else:
        model = fixed_context_model(12, 6, context_size=6, embedding_size=5, hidden_size=6)
    for parameter in model.parameters():  # a wider start: an untrained model is nearly indifferent
        torch.nn.init.normal_(parameter, std=0.8)
    return model.eval()


SOURCE = torch.tensor([5, 6, 7])


def log_probability_of(model, ids):
    """By teacher forcing: independent of the search's own bookkeeping."""
    words = torch.tensor([[BEGIN, *ids]])
    logits = model(SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool), words).logits[0]
    return sum(logits[i].log_softmax(-1)[word].item() for i, word in enumerate([*ids, END]))


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_beam_as_wide_as_the_tree_finds_the_best_sentence_of_all(seed, attention):
    model = tiny(seed, attention)
    words = [w for w in range(6) if w != END]
    everything = [list(ids) for n in range(4) for ids in itertools.product(words, repeat=n)]
    best = max(everything, key=lambda ids: log_probability_of(model, ids))
    found = beam_search(model, SOURCE, beam_size=6**4, maximum_length=4)[0]
    assert found.ids == best
    assert found.log_probability == pytest.approx(log_probability_of(model, best), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_one_is_greedy(seed):
    model = tiny(seed)
    alone = greedy(model, SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool))[0]
    beam = beam_search(model, SOURCE, beam_size=1)[0]
    assert beam.ids == alone.ids
    assert beam.log_probability == pytest.approx(alone.log_probability, abs=1e-4)
    torch.testing.assert_close(beam.weights, alone.weights)


def test_greedy_takes_the_likeliest_word_at_every_step():
    model = tiny(1)
    written = greedy(model, SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool))[0]
    words = torch.tensor([[BEGIN, *written.ids]])
    likeliest = model(SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool), words).logits[0].argmax(-1).tolist()
    assert likeliest[: len(written.ids)] == written.ids


def test_greedy_in_a_batch_gives_what_each_sentence_gives_alone():
    model = tiny(2)
    source = torch.tensor([[5, 6, 7, 8], [9, 0, 0, 0]])
    together = greedy(model, source, source != 0, maximum_length=9)
    for row, length in enumerate([4, 1]):
        words = source[row : row + 1, :length]
        alone = greedy(model, words, words != 0, maximum_length=9)[0]
        assert alone.ids == together[row].ids
        assert alone.log_probability == pytest.approx(together[row].log_probability, abs=1e-4)


def test_a_sentence_that_never_ends_is_cut_and_says_so():
    model = tiny(0)
    with torch.no_grad():
        model.decoder.readout.to_vocabulary.weight[END] = 0
        model.decoder.readout.to_vocabulary.weight[4] = 5 * torch.ones(6)
        model.decoder.readout.from_state.bias.fill_(9.0)
    written = greedy(model, SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool), maximum_length=7)[0]
    assert len(written.ids) == 7
    assert not written.finished
    cut = beam_search(model, SOURCE, beam_size=2, maximum_length=7)
    assert len(cut[0].ids) == 7
    assert not cut[0].finished


def test_length_normalisation_ranks_by_the_mean_log_probability():
    model = tiny(3)
    found = beam_search(model, SOURCE, beam_size=8, length_normalisation=1.0)
    means = [t.log_probability / (len(t.ids) + t.finished) for t in found]
    assert means == sorted(means, reverse=True)
    sums = [t.log_probability for t in beam_search(model, SOURCE, beam_size=8)]
    assert sums == sorted(sums, reverse=True)


def test_the_weights_have_one_row_for_each_word_and_one_for_the_end():
    written = greedy(tiny(1), SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool))[0]
    assert written.weights.shape == (len(written.ids) + written.finished, 3)


def test_samples_follow_the_models_distribution():
    model = tiny(0)
    source = SOURCE.unsqueeze(0).expand(4000, -1)
    written = sample(
        model,
        source,
        torch.ones_like(source, dtype=torch.bool),
        temperature=1.5,
        generator=torch.Generator().manual_seed(0),
        maximum_length=1,
    )
    first_words = torch.tensor([(t.ids or [END])[0] for t in written])
    logits = model(SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool), torch.tensor([[BEGIN]])).logits[0, 0]
    expected = (logits / 1.5).softmax(-1).detach() * 4000
    seen = first_words.bincount(minlength=6)
    assert stats.chisquare(seen, expected.double() * (4000 / expected.double().sum())).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused_with_advice(temperature):
    with pytest.raises(ValueError, match="greedy"):
        sample(tiny(), SOURCE.unsqueeze(0), torch.ones(1, 3, dtype=torch.bool), temperature=temperature)


def test_a_cold_sample_is_greedy():
    model, is_word = tiny(1), torch.ones(1, 3, dtype=torch.bool)
    assert (
        sample(model, SOURCE.unsqueeze(0), is_word, 1e-4)[0].ids == greedy(model, SOURCE.unsqueeze(0), is_word)[0].ids
    )


def test_a_beam_of_none_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        beam_search(tiny(), SOURCE, beam_size=0)


def test_an_empty_source_sentence_is_refused():
    with pytest.raises(ValueError, match="empty source"):
        beam_search(tiny(), torch.tensor([], dtype=torch.long))


def test_sentences_are_translated_in_their_order_whatever_the_batch_size():
    source, target = Vocabulary([f"s{i}" for i in range(8)]), Vocabulary(["a", "b"])
    sentences = ["s1 s2 s3", "s4", "s5 s7", "s0 nobody-knows-this s2"]
    model = tiny(1)
    alone = [translate(model, [sentence], source, target)[0] for sentence in sentences]
    assert translate(model, sentences, source, target, batch_size=3) == alone


def test_an_empty_sentence_to_translate_is_refused():
    with pytest.raises(ValueError, match="empty"):
        translate(tiny(), ["s1", " "], Vocabulary(["s1"]), Vocabulary(["a", "b"]))
