"""Which words teach most? Rare ones: words hidden the more often the rarer they are (notebook 06).

A word is drawn with a probability in proportion to count^-0.7, so that of a text's hidden words fewer are "the" and
"a". Of all words of a batch, special ones counted too, exactly 15 % (rounded up) are hidden, wherever they stand.
Source: the code of Sanh et al. 2019 (huggingface/transformers, examples/research_projects/distillation: train.py and
`prepare_batch_mlm` in distiller.py), after Lample and Conneau 2019, section 3.2.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.data.masking import MaskedBatch, MaskingRule, hide, padded

SMOOTHING = 0.7


def token_counts(rows: Iterable[Int[Tensor, " _"]], vocabulary_size: int) -> Int[Tensor, "{vocabulary_size}"]:
    """How often each token stands in the rows."""
    counts = torch.zeros(vocabulary_size, dtype=torch.long)
    for row in rows:
        counts += row.bincount(minlength=vocabulary_size)
    return counts


def choosing_weights(
    counts: Int[Tensor, " vocabulary"], special_tokens: Sequence[int], smoothing: float = SMOOTHING
) -> Float[Tensor, " vocabulary"]:
    """max(count, 1)^-smoothing for each token, and 0 for special ones, which are never hidden.

    smoothing 0 draws all words alike, 1 all *kinds* of words alike. Raises ValueError for a negative one.
    """
    if smoothing < 0:
        raise ValueError(f"smoothing must be 0 or more, got {smoothing}; DistilBERT's is {SMOOTHING}")
    weights = counts.clamp(min=1).double().pow(-smoothing).float()
    weights[list(special_tokens)] = 0.0
    return weights


def mask_by_frequency(
    tokens: Int[Tensor, "batch length"],
    is_word: Bool[Tensor, "batch length"] | None,
    weights: Float[Tensor, " vocabulary"],
    rule: MaskingRule,
    generator: torch.Generator | None = None,
) -> MaskedBatch:
    """Hide ceil(share x Σ lengths) words of the batch, drawn without replacement by their tokens' weights.

    A row may get more of them than another, or none. Each chosen word's fate is drawn as in `masking.hide`. Where
    fewer words may be hidden than should be, all of them are. Raises ValueError if there is none at all.
    """
    of_places = weights[tokens.cpu()] if is_word is None else weights[tokens.cpu()] * is_word.cpu()
    possible = int(of_places.count_nonzero())
    if not possible:
        raise ValueError("this batch holds special tokens alone, so there is no word to hide")
    lengths = tokens.numel() if is_word is None else int(is_word.sum())
    wanted = min(math.ceil(rule.share * lengths), possible)
    # Drawn on the CPU, so that the same seed hides the same words on every device.
    drawn = torch.multinomial(of_places.flatten(), wanted, replacement=False, generator=generator)
    chosen = torch.zeros(tokens.numel(), dtype=torch.bool)
    chosen[drawn] = True
    return hide(tokens, chosen.view(tokens.shape).to(tokens.device), rule, generator)


class FrequencyMasking:
    """A collate function that hides rare words more often, others at each reading.

    Rows of different lengths are padded at the end. `weights`: see `choosing_weights`.
    Raises ValueError for weights of another vocabulary, or padding that could be hidden.
    """

    def __init__(self, rule: MaskingRule, weights: Float[Tensor, " vocabulary"], pad_token: int = 0) -> None:
        if len(weights) != rule.vocabulary_size:
            raise ValueError(f"expected a weight for each of {rule.vocabulary_size} tokens, got {len(weights)} weights")
        if weights[pad_token] != 0:
            raise ValueError(f"the padding, token {pad_token}, weighs {float(weights[pad_token]):g}; give it 0")
        self.rule, self.weights, self.pad_token = rule, weights, pad_token

    def __call__(self, rows: Sequence[Int[Tensor, " _"]]) -> MaskedBatch:
        tokens, is_word = padded(rows, self.pad_token)
        return replace(mask_by_frequency(tokens, is_word, self.weights, self.rule), is_word=is_word)
