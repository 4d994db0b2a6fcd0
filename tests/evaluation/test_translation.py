"""Exact match and BLEU, against sacrebleu and by hand."""

import pytest
import sacrebleu

from course_lib.evaluation.translation import bleu, exact_match


def test_exact_match_counts_whole_sentences():
    assert exact_match(["a b", "a b", "c"], ["a b", "b a", "c"]) == pytest.approx(2 / 3)


def test_bleu_equals_sacrebleus_corpus_bleu():
    translations = ["the cat sat on the mat", "a dog barked at the man ."]
    references = ["the cat sat on a mat", "a dog barked loudly at the man ."]
    expected = sacrebleu.corpus_bleu(translations, [references], tokenize="none", force=True).score
    assert bleu(translations, references) == pytest.approx(expected)
    assert 0 < expected < 100


def test_bleu_of_a_perfect_translation_is_100():
    assert bleu(["one two three four five"], ["one two three four five"]) == pytest.approx(100)


@pytest.mark.parametrize("measure", [exact_match, bleu])
def test_nothing_to_compare_is_refused(measure):
    with pytest.raises(ValueError, match="at least one"):
        measure([], [])
    with pytest.raises(ValueError, match="2 translations and 1 references"):
        measure(["a", "b"], ["a"])
