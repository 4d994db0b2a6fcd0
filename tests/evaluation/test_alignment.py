"""Alignment accuracy on weights written by hand."""

import pytest
import torch
from datasets import Dataset

from course_lib.data.vocabulary import Vocabulary
from course_lib.evaluation.alignment import alignment_accuracy, alignment_hits, attention_to_gold
from course_lib.models.seq2seq import attention_model, fixed_context_model


def test_a_word_is_a_hit_if_its_largest_weight_lies_on_a_gold_partner():
    weights = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]])
    assert alignment_hits(weights, [(1, 0), (0, 1), (1, 2)], ["march", "3", "2025"]) == (2, 3)


def test_any_of_several_partners_counts_as_a_hit_once():
    weights = torch.tensor([[0.2, 0.7, 0.1]])
    assert alignment_hits(weights, [(0, 0), (1, 0)], ["states"]) == (1, 1)


def test_commas_and_unaligned_words_are_left_out():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert alignment_hits(weights, [(0, 0), (1, 1)], ["peru", ",", "the"]) == (1, 1)


def test_function_words_are_left_out_when_named():
    weights = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    gold, words = [(0, 0), (1, 1)], ["peru", "and"]
    assert alignment_hits(weights, gold, words) == (1, 2)
    assert alignment_hits(weights, gold, words, function_words={"and"}) == (1, 1)


def test_the_row_of_the_end_is_left_out():
    weights = torch.tensor([[0.1, 0.9], [1.0, 0.0]])
    assert alignment_hits(weights, [(1, 0)], ["peru"]) == (1, 1)


def test_accuracy_is_over_all_words_of_all_sentences():
    right, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    accuracy = alignment_accuracy([right, wrong], [[(0, 0)], [(0, 0), (0, 1), (0, 2)]], ["a", "b c d"])
    assert accuracy == pytest.approx(1 / 4)


def test_missing_weights_and_missing_gold_are_refused():
    with pytest.raises(ValueError, match="1 rows for 2"):
        alignment_hits(torch.ones(1, 2), [(0, 0)], ["a", "b"])
    with pytest.raises(ValueError, match="gold alignments"):
        alignment_accuracy([torch.ones(1, 2)], [[]], ["a"])


DATASET = Dataset.from_dict({"source": ["x y z", "y"], "target": ["b", "a b a"], "alignment": [[[0, 0]], [[0, 1]]]})


def test_attention_is_read_off_without_padding_and_with_a_row_for_the_end():
    words = Vocabulary(["x", "y", "z"]), Vocabulary(["a", "b"])
    weights = attention_to_gold(attention_model(7, 6, embedding_size=4, hidden_size=4), DATASET, *words)
    assert [list(w.shape) for w in weights] == [[2, 3], [4, 1]]
    for w in weights:
        torch.testing.assert_close(w.sum(-1), torch.ones(len(w)))


def test_a_model_without_attention_is_refused():
    words = Vocabulary(["x", "y", "z"]), Vocabulary(["a", "b"])
    with pytest.raises(ValueError, match="no attention"):
        attention_to_gold(fixed_context_model(7, 6, context_size=4), DATASET, *words)
