"""How good are the translations? Exact match and BLEU (notebooks 01-03)."""

from collections.abc import Sequence

import sacrebleu


def exact_match(translations: Sequence[str], references: Sequence[str]) -> float:
    """The share of sentences that equal their reference word for word, from 0 to 1.

    Raises ValueError if there is nothing to compare, or not as many translations as references.
    """
    _refuse_uneven(translations, references)
    return sum(t == r for t, r in zip(translations, references, strict=True)) / len(references)


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU from 0 to 100 by sacrebleu, on text that is already tokenised (`tokenize="none"`).

    Source: Papineni et al. 2002; Post 2018. Raises ValueError as `exact_match` does.
    """
    _refuse_uneven(translations, references)
    metric = sacrebleu.BLEU(tokenize="none", force=True)  # force: no warning that the text looks tokenised, it is
    return metric.corpus_score(list(translations), [list(references)]).score


def _refuse_uneven(translations: Sequence[str], references: Sequence[str]) -> None:
    if len(translations) != len(references) or not references:
        raise ValueError(
            f"needs one reference for each translation, and at least one; "
            f"got {len(translations)} translations and {len(references)} references"
        )
