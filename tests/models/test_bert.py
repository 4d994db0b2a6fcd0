"""Our BERT against transformers', its files both ways, and what must hold of any encoder."""

import json

import pytest
import torch
import transformers

from course_lib.models.bert import BERT, BERTConfig, Classifier, MaskedLanguageModel, masked_language_loss
from course_lib.models.bert_files import load_classifier, load_masked_language_model, save_bert
from course_lib.models.checkpoint_files import UnsuitableCheckpoint

SIZES = BERTConfig(61, context_size=24, blocks=2, heads=4, embedding_size=32, inner_size=48, dropout=0.0)
THEIRS = {
    "vocab_size": 61,
    "max_position_embeddings": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
    "attn_implementation": "eager",
}


def random_everywhere(model):
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 61, (2, 9), generator=generator)
    is_word = torch.tensor([[True] * 9, [True] * 6 + [False] * 3])
    segments = torch.tensor([[0] * 4 + [1] * 5] * 2)
    return tokens, is_word, segments


def test_the_masked_model_equals_transformers_read_from_its_files(tmp_path, batch):
    tokens, is_word, segments = batch
    theirs = random_everywhere(transformers.BertForMaskedLM(transformers.BertConfig(**THEIRS)))
    theirs.save_pretrained(tmp_path)
    ours = load_masked_language_model(tmp_path)
    expected = theirs(tokens, attention_mask=is_word.long(), token_type_ids=segments, output_attentions=True)
    torch.testing.assert_close(ours(tokens, is_word, segments)[is_word], expected.logits[is_word], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-5, rtol=1e-5)
    looks = ours.encoder(tokens, is_word, segments, want_weights=True).weights
    for mine, other in zip(looks, expected.attentions, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=0)


def test_the_classifier_equals_transformers_read_from_its_files(tmp_path, batch):
    tokens, is_word, segments = batch
    config = transformers.BertConfig(**THEIRS, id2label={i: str(i) for i in range(5)})
    theirs = random_everywhere(transformers.BertForSequenceClassification(config))
    theirs.save_pretrained(tmp_path)
    ours = load_classifier(tmp_path)
    assert ours.labels == 5
    expected = theirs(tokens, attention_mask=is_word.long(), token_type_ids=segments).logits
    torch.testing.assert_close(ours(tokens, is_word, segments), expected, atol=1e-5, rtol=1e-5)


def test_transformers_reads_what_we_write(tmp_path, batch):
    tokens, is_word, _ = batch
    ours = random_everywhere(MaskedLanguageModel(BERT(SIZES)))
    save_bert(ours, tmp_path / "masked")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "masked").eval()
    expected = theirs(tokens, attention_mask=is_word.long()).logits
    torch.testing.assert_close(ours(tokens, is_word)[is_word], expected[is_word], atol=1e-5, rtol=1e-5)
    classifier = random_everywhere(Classifier(BERT(SIZES), labels=3))
    save_bert(classifier, tmp_path / "labels")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "labels").eval()
    torch.testing.assert_close(classifier(tokens), theirs(tokens).logits, atol=1e-5, rtol=1e-5)


def test_a_new_head_keeps_the_pre_trained_encoder(tmp_path, batch):
    tokens, is_word, _ = batch
    masked = random_everywhere(MaskedLanguageModel(BERT(SIZES)))
    save_bert(masked, tmp_path)
    classifier = load_classifier(tmp_path, labels=7)
    assert classifier(tokens, is_word).shape == (2, 7)
    torch.testing.assert_close(classifier.encoder(tokens).states, masked.encoder(tokens).states)
    with pytest.raises(UnsuitableCheckpoint, match="holds no classifier; give labels"):
        load_classifier(tmp_path)


def test_the_loss_is_transformers_own_and_counts_masked_places_alone(tmp_path, batch):
    tokens, is_word, _ = batch
    theirs = random_everywhere(transformers.BertForMaskedLM(transformers.BertConfig(**THEIRS)))
    theirs.save_pretrained(tmp_path)
    labels = torch.full_like(tokens, -100)
    labels[0, 2], labels[1, 4] = 7, 9
    loss = masked_language_loss(load_masked_language_model(tmp_path), tokens, labels, is_word)
    expected = theirs(tokens, attention_mask=is_word.long(), labels=labels).loss
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="nothing is masked"):
        masked_language_loss(load_masked_language_model(tmp_path), tokens, torch.full_like(tokens, -100))


def test_padding_and_neighbours_change_nothing(batch):
    tokens, is_word, _ = batch
    model = random_everywhere(MaskedLanguageModel(BERT(SIZES)))
    alone = model(tokens[1:, :6])
    torch.testing.assert_close(model(tokens, is_word)[1:, :6], alone, atol=1e-4, rtol=1e-5)
    other = tokens.clone()
    other[1, 6:] = 3
    assert torch.equal(model(tokens, is_word)[1, :6], model(other, is_word)[1, :6])


def test_it_looks_both_ways_and_its_causal_twin_does_not(batch):
    tokens, is_word, _ = batch
    changed = tokens.clone()
    changed[:, 5] = (tokens[:, 5] + 1) % 61
    both_ways, causal = random_everywhere(BERT(SIZES)), random_everywhere(BERT(SIZES, causal=True))
    assert not torch.equal(both_ways(tokens).states[:, :5], both_ways(changed).states[:, :5])
    assert torch.equal(causal(tokens).states[:, :5], causal(changed).states[:, :5])
    classifier = random_everywhere(Classifier(BERT(SIZES, causal=True), 3))
    torch.testing.assert_close(classifier(tokens, is_word)[1:], classifier(tokens[1:, :6]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(classifier(tokens), classifier(tokens, torch.ones_like(is_word)), atol=1e-5, rtol=1e-5)


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        base = MaskedLanguageModel(BERT(BERTConfig()))
    assert sum(parameter.numel() for parameter in base.parameters()) == 109_514_298  # BertForMaskedLM's own count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "holds a 'roberta' model"),
        ({"hidden_act": "relu"}, "hidden_act='relu' is not supported"),
        ({"num_hidden_layers": 3}, "lacks bert.encoder.layer.2"),
        ({"hidden_size": 64}, "do not fit config.json"),
    ],
)
def test_a_config_that_we_do_not_compute_is_refused(tmp_path, change, message):
    save_bert(MaskedLanguageModel(BERT(SIZES)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UnsuitableCheckpoint, match=message):
        load_masked_language_model(tmp_path)


def test_a_causal_encoder_is_not_saved_as_a_bert(tmp_path):
    with pytest.raises(ValueError, match="a causal encoder is no BERT"):
        save_bert(MaskedLanguageModel(BERT(SIZES, causal=True)), tmp_path)


def test_too_many_tokens_and_too_few_labels_are_refused():
    with pytest.raises(ValueError, match="25 tokens do not fit"):
        BERT(SIZES)(torch.zeros(1, 25, dtype=torch.long))
    with pytest.raises(ValueError, match="at least two labels, got 1"):
        Classifier(BERT(SIZES), 1)
