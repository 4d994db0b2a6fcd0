"""Did the decoder look at the right word? Attention against the gold alignment (notebook 02)."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import torch
from datasets import Dataset
from jaxtyping import Float
from torch import Tensor

from course_lib.data.batching import encode_pairs, make_batch
from course_lib.data.vocabulary import Vocabulary
from course_lib.models.seq2seq import EncoderDecoder


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
    all_weights: Sequence[Tensor],  # one [target, source] for each sentence
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


@torch.no_grad()
def attention_to_gold(
    model: EncoderDecoder,
    dataset: Dataset,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    batch_size: int = 200,
) -> list[Tensor]:
    """Where the model looks while it is made to say the *reference*: one [target + END, source] for each sentence.

    Forced decoding keeps the rows in step with the gold alignment, whatever the model would have said itself.
    Raises ValueError if the model has no attention.
    """
    device = next(model.parameters()).device
    pairs = encode_pairs(dataset, source_vocabulary, target_vocabulary)
    all_weights = []
    for first in range(0, len(pairs), batch_size):
        batch = make_batch(pairs[first : first + batch_size]).to(device)
        weights = model(batch.source, batch.source_is_word, batch.target_input).weights
        if weights is None:
            raise ValueError("this model has no attention to look at; give an attention_model")
        for row, (source_ids, target_ids) in zip(weights.cpu(), pairs[first : first + batch_size], strict=True):
            all_weights.append(row[: len(target_ids) + 1, : len(source_ids)])
    return all_weights
