"""Which sentence pairs shall be learned? One loader for the generated corpus and the real one, with equal columns."""

import difflib
from typing import Any

from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here

from course_lib.data.cldr import parallel_corpus
from course_lib.data.multi30k import load_multi30k

NAMES = ("cldr", "multi30k")


def load_translation(
    name: str, *, source_language: str = "de", target_language: str = "en", online: bool = False, **options: Any
) -> DatasetDict:
    """Load the splits train, validation and test of a translation set.

    Columns: `source` and `target` (tokens joined by one space) and `alignment` (gold pairs of source and target
    positions, an empty list where none are known); cldr has `item_count` besides.

    `name` is "cldr", generated, with the options of `cldr.parallel_corpus`; or "multi30k", from the mirror, the
    Hugging Face cache or, only with `online`, the hub, with the options of `multi30k.load_multi30k`.
    Raises ValueError for an unknown name and FileNotFoundError, with all remedies, when the data is nowhere.
    """
    if name == "cldr":
        return parallel_corpus(source_language, target_language, **options)
    if name == "multi30k":
        return load_multi30k(source_language, target_language, online=online, **options)
    nearest = difflib.get_close_matches(name, NAMES, n=1)
    suggestion = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"There is no translation set {name!r}; expected one of {', '.join(NAMES)}.{suggestion}")
