"""The encoder-decoder against torch's GRU cells, and the invariances that its batching must keep."""

import pytest
import torch

from course_lib.models.recurrent import BidirectionalGRUEncoder, ContextGRUCell, GRUEncoder
from course_lib.models.seq2seq import Readout, attention_model, fixed_context_model, initialise_like_the_paper

MODELS = [
    pytest.param(lambda: fixed_context_model(20, 15, context_size=10, embedding_size=6, hidden_size=8), id="fixed"),
    *(
        pytest.param(
            lambda score=score: attention_model(20, 15, embedding_size=6, hidden_size=8, attention_size=7, score=score),
            id=score,
        )
        for score in ("additive", "general", "dot")
    ),
]


def a_batch():
    source = torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0], [11, 12, 13, 0]])
    target = torch.tensor([[2, 4, 5], [2, 6, 7], [2, 8, 9]])
    return source, source != 0, target


def test_the_context_gru_cell_equals_torchs_gru_cell_with_copied_weights():
    cell = ContextGRUCell(embedding_size=3, context_size=4, hidden_size=5)
    reference = torch.nn.GRUCell(3 + 4, 5)
    with torch.no_grad():
        reference.weight_ih.copy_(torch.cat([cell.from_word.weight, cell.from_context.weight], dim=1))
        reference.bias_ih.copy_(cell.from_word.bias)
        reference.weight_hh.copy_(cell.from_state.weight)
        reference.bias_hh.copy_(cell.from_state.bias)
        for parameter in (reference.weight_ih, reference.bias_ih, reference.weight_hh, reference.bias_hh):
            parameter[5:10] *= -1  # torch keeps z of the old state, the paper takes z of the new one
    word, context, state = torch.randn(2, 3), torch.randn(2, 4), torch.randn(2, 5)
    ours = cell(cell.read_words(word.unsqueeze(1))[:, 0], context, state)
    torch.testing.assert_close(ours, reference(torch.cat([word, context], dim=1), state), atol=1e-6, rtol=0)


def test_the_readout_takes_the_larger_of_each_pair():
    readout = Readout(hidden_size=2, embedding_size=3, context_size=4, vocabulary_size=5)
    states, words, contexts = torch.randn(1, 1, 2), torch.randn(1, 1, 3), torch.randn(1, 1, 4)
    pairs = (readout.from_state(states) + readout.from_word(words) + readout.from_context(contexts))[0, 0]
    largest = torch.stack([max(pairs[0], pairs[1]), max(pairs[2], pairs[3])])
    torch.testing.assert_close(readout(states, words, contexts)[0, 0], readout.to_vocabulary.weight @ largest)


@pytest.mark.parametrize("make", MODELS)
def test_padding_the_batch_does_not_change_the_scores(make):
    model = make()
    source, is_word, target = a_batch()
    logits = model(source, is_word, target).logits
    wider = torch.nn.functional.pad(source, (0, 5))
    torch.testing.assert_close(model(wider, wider != 0, target).logits, logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", MODELS)
def test_a_batch_of_one_gives_what_the_batch_gives(make):
    model = make()
    source, is_word, target = a_batch()
    together = model(source, is_word, target).logits
    for row in range(3):
        words = source[row : row + 1, : is_word[row].sum()]
        alone = model(words, torch.ones_like(words, dtype=torch.bool), target[row : row + 1]).logits
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", MODELS)
def test_later_target_words_never_change_earlier_scores(make):
    model = make()
    source, is_word, target = a_batch()
    changed = target.clone()
    changed[:, 2] = 10
    torch.testing.assert_close(
        model(source, is_word, changed).logits[:, :2], model(source, is_word, target).logits[:, :2], atol=0, rtol=0
    )


@pytest.mark.parametrize("make", MODELS)
def test_every_parameter_gets_a_gradient(make):
    model = make()
    output = model(*a_batch())
    output.logits.square().sum().backward()
    without = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert without == []


def test_the_summary_is_the_backward_state_at_the_first_word():
    encoder = BidirectionalGRUEncoder(20, 6, 8)
    source, is_word, _ = a_batch()
    annotations = encoder(source, is_word)
    torch.testing.assert_close(annotations.summary, annotations.states[:, 0, 8:])


def test_the_plain_encoders_summary_is_the_state_after_the_last_word():
    encoder = GRUEncoder(20, 6, 8)
    source, is_word, _ = a_batch()
    annotations = encoder(source, is_word)
    last_word = is_word.sum(-1) - 1
    torch.testing.assert_close(annotations.summary, annotations.states[torch.arange(3), last_word])


@pytest.mark.parametrize("make", MODELS)
def test_a_sentence_of_padding_is_refused(make):
    source, is_word, target = a_batch()
    is_word[1] = False
    with pytest.raises(ValueError, match=r"rows \[1\]"):
        make()(source, is_word, target)


def test_padding_before_the_words_is_refused():
    model = attention_model(20, 15, embedding_size=6, hidden_size=8)
    source = torch.tensor([[0, 5, 6]])
    with pytest.raises(ValueError, match="right padding"):
        model(source, source != 0, torch.tensor([[2]]))


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="additive"):
        attention_model(20, 15, score="cosine")


def test_the_papers_start_makes_attention_exactly_uniform():
    model = attention_model(20, 15, embedding_size=6, hidden_size=8)
    initialise_like_the_paper(model)
    source, is_word, target = a_batch()
    weights = model(source, is_word, target).weights
    torch.testing.assert_close(weights[0], torch.full((3, 4), 0.25), atol=0, rtol=0)
    for gate in model.decoder.cell.from_state.weight.chunk(3):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
    assert (model.decoder.attention.energy.weight == 0).all()
