"""The next-word loss against a loop over words."""

import pytest
import torch

from course_lib.data.batching import make_batch
from course_lib.models.seq2seq import attention_model
from course_lib.training.translation import next_word_loss


def test_the_loss_is_the_mean_over_all_words_and_padding_counts_for_nothing():
    model = attention_model(12, 9, embedding_size=4, hidden_size=6).eval()
    pairs = [([4, 5, 6], [4, 5]), ([7], [6, 7, 8, 4])]
    total, words = 0.0, 0
    for source, target in pairs:
        logits = model(torch.tensor([source]), torch.ones(1, len(source)).bool(), torch.tensor([[2, *target]])).logits
        for position, word in enumerate([*target, 3]):
            total -= logits[0, position].log_softmax(-1)[word].item()
            words += 1
    assert next_word_loss(model, make_batch(pairs)).item() == pytest.approx(total / words, abs=1e-5)
