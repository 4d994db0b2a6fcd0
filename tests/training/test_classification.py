"""Fine-tuning: its batches, its head, and that it learns."""

import pytest
import torch
from datasets import Dataset

from course_lib.data.byte_pairs import BERT_TOKENS, bert_tokenizer, train_byte_pairs
from course_lib.evaluation.classification import accuracy
from course_lib.models.bert import BERT, BERTConfig, Classifier, MaskedLanguageModel
from course_lib.training.classification import (
    fine_tune,
    judged,
    label_loss,
    labelled_batch,
    labelled_loader,
    labelled_rows,
    predicted_labels,
    pretrained_classifier,
    untrained_classifier,
)

TEXTS = [f"{'good' if number % 2 else 'bad'} {'word ' * (number % 7)}end" for number in range(64)]
DATASET = Dataset.from_dict({"text": TEXTS, "label": [number % 2 for number in range(64)]})
CONFIG = BERTConfig(300, context_size=16, blocks=1, heads=2, embedding_size=16, inner_size=32, dropout=0.0)


@pytest.fixture(scope="module")
def tokenizer():
    return bert_tokenizer(train_byte_pairs(TEXTS, 300, BERT_TOKENS), context_size=16)


@pytest.fixture
def rows(tokenizer):
    return labelled_rows(DATASET, tokenizer, longest=16)


def test_rows_begin_with_cls_and_end_with_sep_also_when_cut(tokenizer):
    for row, _ in labelled_rows(DATASET, tokenizer, longest=4):
        assert row[0] == tokenizer.cls_token_id
        assert row[-1] == tokenizer.sep_token_id
        assert len(row) <= 4


def test_a_batch_marks_its_padding(rows):
    batch = labelled_batch(rows[:5])
    assert batch.is_word.sum(1).tolist() == [len(row) for row, _ in rows[:5]]
    assert not batch.tokens[~batch.is_word].any()
    assert batch.labels.tolist() == [0, 1, 0, 1, 0]
    assert len(batch.to("cpu").tokens) == 5


def test_a_loader_without_shuffling_keeps_the_order(rows):
    labels = torch.cat([batch.labels for batch in labelled_loader(rows, 10, shuffle=False)])
    assert labels.tolist() == [label for _, label in rows]


def test_a_training_loader_gives_whole_batches_in_another_order_each_epoch(rows):
    loader = labelled_loader(rows, 10)
    first = [batch.tokens for batch in loader]
    assert [len(tokens) for tokens in first] == [10] * 6
    loader.batch_sampler.set_epoch(1)
    second = [batch.tokens for batch in loader]
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_pretrained_classifier_begins_with_the_models_encoder_and_leaves_it_as_it_is(rows):
    torch.manual_seed(0)
    model = MaskedLanguageModel(BERT(CONFIG))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    classifier = pretrained_classifier(model, labels=2)
    assert torch.equal(classifier.encoder.embedding.weight, model.encoder.embedding.weight)
    fine_tune(classifier, rows, steps=3, batch_size=8)
    assert not torch.equal(classifier.encoder.embedding.weight, model.encoder.embedding.weight)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_an_untrained_classifier_has_berts_small_weights():
    torch.manual_seed(0)
    encoder = untrained_classifier(BERTConfig(2000, blocks=1, heads=2, embedding_size=64, inner_size=64), 3).encoder
    assert encoder.embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert encoder.blocks[0].feed_forward.expand.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("causal", [False, True])
def test_fine_tuning_learns_what_one_word_tells(rows, causal):
    torch.manual_seed(0)
    model = Classifier(BERT(CONFIG, causal=causal), labels=2)
    assert judged(model, rows, accuracy) < 0.8
    result = fine_tune(model, rows, steps=60, batch_size=16, learning_rate=5e-3)
    assert result.measures["accuracy"][-1] == 1.0
    assert judged(model, rows, accuracy) == 1.0


def test_the_same_seed_gives_the_same_losses(rows):
    def losses(seed):
        torch.manual_seed(0)
        return fine_tune(untrained_classifier(CONFIG, 2), rows, steps=4, batch_size=8, seed=seed).losses

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


def test_weight_decay_leaves_biases_and_norms_alone(rows):
    torch.manual_seed(0)
    model = untrained_classifier(CONFIG, 2)
    norm, matrix = model.encoder.embedding_norm.weight, model.encoder.blocks[0].feed_forward.expand.weight
    before = matrix.detach().norm().item()
    fine_tune(model, rows, steps=10, batch_size=8, learning_rate=1e-3, weight_decay=100.0)
    assert matrix.norm().item() < 0.8 * before
    assert norm.detach().mean().item() == pytest.approx(1.0, abs=0.05)


def test_predictions_come_in_the_rows_order_and_leave_the_mode_as_it_was(rows):
    torch.manual_seed(0)
    model = untrained_classifier(CONFIG, 2)
    fine_tune(model, rows, steps=40, batch_size=16, learning_rate=5e-3)
    model.train()
    said = predicted_labels(model, rows, batch_size=5)
    assert model.training
    model.eval()
    alone = [int(model(row[None], torch.ones(1, len(row), dtype=torch.bool)).argmax()) for row, _ in rows]
    assert said == alone
    assert len(set(said)) == 2


def test_the_loss_is_cross_entropy_and_tells_the_share_that_is_right(rows):
    torch.manual_seed(0)
    model = untrained_classifier(CONFIG, 2).eval()
    batch = labelled_batch(rows[:8])
    loss, measures = label_loss(model, batch)
    logits = model(batch.tokens, batch.is_word)
    expected = -logits.log_softmax(-1)[torch.arange(8), batch.labels].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert measures["accuracy"].item() == accuracy(logits.argmax(-1).tolist(), batch.labels.tolist())


def test_what_cannot_be_learned_from_is_refused(tokenizer, rows):
    with pytest.raises(ValueError, match=r"longest must be at least 3"):
        labelled_rows(DATASET, tokenizer, longest=2)
    with pytest.raises(ValueError, match="no rows"):
        labelled_rows(DATASET.select([]), tokenizer, longest=16)
    with pytest.raises(ValueError, match="at least one text"):
        labelled_batch([])
    with pytest.raises(ValueError, match=r"3 texts do not fill one batch of 8; take a smaller batch_size"):
        labelled_loader(rows[:3], 8)
