"""Did the decoder look at the right word? Attention against the gold alignment (notebook 02)."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from jaxtyping import Float
from torch import Tensor


def alignment_hits(
    weights: Float[Tensor, "target source"],
    gold: Sequence[Sequence[int]],
    target_words: Sequence[str],
    function_words: Collection[str] = (),
) -> tuple[int, int]:
    """(hits, content words) of one sentence.

    A target word is a hit if the source word with the largest weight is one of its gold partners. Content
    words are those with a gold partner and at least one letter or digit that are not among `function_words`:
    commas are left out, and an "and" if you name it.

    `weights` may have a row more than there are target words (END's). Raises ValueError if it has fewer.
    """
    if len(weights) < len(target_words):
        raise ValueError(f"weights has {len(weights)} rows for {len(target_words)} target words")
    partners = defaultdict(set)
    for source_position, target_position in gold:
        partners[target_position].add(source_position)
    looked_at = weights.argmax(dim=-1).tolist()
    content = [
        position
        for position in partners
        if any(character.isalnum() for character in target_words[position])
        and target_words[position] not in function_words
    ]
    hits = sum(looked_at[position] in partners[position] for position in content)
    return hits, len(content)


def alignment_accuracy(
    all_weights: Sequence[Float[Tensor, "target source"]],
    all_gold: Sequence[Sequence[Sequence[int]]],
    targets: Sequence[str],
    function_words: Collection[str] = (),
) -> float:
    """The share of content words whose largest weight lies on a gold partner, over all sentences, from 0 to 1.

    Raises ValueError if no word of the sentences has a gold partner.
    """
    counts = [
        alignment_hits(weights, gold, target.split(), function_words)
        for weights, gold, target in zip(all_weights, all_gold, targets, strict=True)
    ]
    words = sum(count for _, count in counts)
    if words == 0:
        raise ValueError("no content word has a gold partner; alignment accuracy needs gold alignments")
    return sum(hits for hits, _ in counts) / words
