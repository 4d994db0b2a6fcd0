"""How does quality change with length? A test set in groups of growing length (notebooks 01-03)."""

from collections.abc import Sequence

from datasets import Dataset


def sentences_by_length(dataset: Dataset, longest: Sequence[int] = (8, 12, 16, 20)) -> dict[str, Dataset]:
    """The rows in groups by the number of source words: "1-8 words", "9-12 words", ..., "21+ words".

    Groups without a row are left out. For corpora that have no `item_count`, such as Multi30k.
    Raises ValueError unless `longest` grows.
    """
    if not longest or list(longest) != sorted(set(longest)) or longest[0] < 1:
        raise ValueError(f"longest needs growing numbers of words from 1 on, such as (8, 12, 16), got {tuple(longest)}")
    word_counts = [len(source.split()) for source in dataset["source"]]
    groups = {}
    for first, last in zip([1, *(bound + 1 for bound in longest)], [*longest, None], strict=True):
        rows = [row for row, count in enumerate(word_counts) if first <= count and (last is None or count <= last)]
        if rows:
            groups[f"{first}+ words" if last is None else f"{first}-{last} words"] = dataset.select(rows)
    return groups
