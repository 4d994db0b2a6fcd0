"""What can be learned to translate without a download? A parallel corpus with gold alignments from CLDR data.

A sentence lists k items ("montag , 3 . märz 2025 , belgien und 3 kilometer") in the source language and says the
same in the target language, each written as CLDR, the locale data that Babel brings, prescribes for its language:
the order inside dates, plural forms, list patterns. The generator knows which word came from which, so the gold
alignment is exact. Used by notebooks 01 and 02; the number of items sets the length of a sentence.
"""

import difflib
import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from random import Random

import babel
import pyarrow
from babel.core import get_cldr_version
from datasets import Dataset, DatasetDict, DatasetInfo, Features, List, Value

from course_lib.data.cldr_items import KINDS, Item, ItemPool, Key, pair_pieces
from course_lib.data.cldr_locale import LocaleText

GENERATOR_VERSION = 1  # raise it whenever the same arguments give other sentences
SPLITS = ("train", "validation", "test")
HELD_OUT = {"validation": 0.1, "test": 0.1}  # shares of all possible sentences, or items
FRUITLESS_TRIES = 5_000  # then there is nothing more to find
DRAWS_PER_ITEM = 100
FEATURES = Features(
    {
        "source": Value("string"),
        "target": Value("string"),
        "alignment": List(List(Value("int32"))),
        "item_count": Value("int32"),
    }
)


def parallel_corpus(
    source_locale: str = "de",
    target_locale: str = "en",
    item_counts: Sequence[int] = (1, 2, 3, 4),
    train: int = 20_000,
    validation: int = 500,
    test: int = 500,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    held_out_items: bool = False,
    *,
    territories: int | None = 150,
    languages: int | None = 80,
    currencies: int | None = 60,
) -> DatasetDict:
    """Generate train, validation and test sentences of `item_counts` items, drawn evenly from counts and `kinds`.

    Columns: `source` and `target` (tokens joined by one space), `alignment` (sorted pairs of source and target
    positions, from 0), `item_count`. The same arguments give the same sentences with the same `version()`.

    No leak: a hash of the source text alone decides whether a sentence can be a train (80 %), validation or test
    sentence, so no sentence of one split, drawn with whatever seed, occurs in another. With `held_out_items` the
    same is done with whole items: no date, country, amount of a unit, ... of validation or test occurs in train,
    while each of its words does. Hardly any country or language has a name made of other names' words, so those
    kinds nearly or wholly disappear from validation and test, and likewise singular forms ("1 kilometer").

    `territories`, `languages` and `currencies` bound how many names there are (None: all that both locales have).
    Validation and test sentences are distinct; train sentences may repeat, as short sentences do.

    Raises ValueError for an unknown or unsuitable locale, an unknown kind, a count below 1, or when there are not
    enough distinct sentences.
    """
    generator = _generator(source_locale, target_locale, kinds, held_out_items, territories, languages, currencies)
    _check_counts(item_counts)
    sizes = dict(zip(SPLITS, (train, validation, test), strict=True))
    if train < 1 or validation < 0 or test < 0:
        raise ValueError(f"Sizes are {sizes}; train needs at least 1 sentence, the others at least 0.")
    return DatasetDict(
        {split: generator.dataset(split, item_counts, size, Random(f"{seed} {split}")) for split, size in sizes.items()}
    )


def sentences_by_item_count(
    source_locale: str = "de",
    target_locale: str = "en",
    item_counts: Sequence[int] = (1, 2, 3, 4, 6, 8),
    per_count: int = 200,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    held_out_items: bool = False,
    *,
    territories: int | None = 150,
    languages: int | None = 80,
    currencies: int | None = 60,
) -> dict[int, Dataset]:
    """Test sentences for measuring by length: for each count of items, `per_count` distinct ones.

    None of them occurs in the train split of `parallel_corpus`, whatever its seed, item counts and sizes. With
    `held_out_items` none of their items does, if the arguments that choose the items are the same there.
    """
    generator = _generator(source_locale, target_locale, kinds, held_out_items, territories, languages, currencies)
    _check_counts(item_counts)
    if per_count < 1:
        raise ValueError(f"per_count is {per_count}; ask for at least 1 of each count.")
    return {
        count: generator.dataset("test", (count,), per_count, Random(f"{seed} test {count}")) for count in item_counts
    }


def version() -> str:
    """Names what the sentences depend on besides the arguments: this generator, Babel and its CLDR data."""
    return f"CLDR sentences {GENERATOR_VERSION} (Babel {babel.__version__}, CLDR {get_cldr_version()})"


class _Generator:
    """Draws sentences of one language pair."""

    def __init__(self, pool: ItemPool, held_out_items: bool) -> None:
        self.pool = pool
        source, target = pool.source.connectors(), pool.target.connectors()
        self._connectors = {part: pair_pieces((part,), source[part], target[part]) for part in source}
        self._split_of_item = _hold_out_items(pool) if held_out_items else None

    def dataset(self, split: str, item_counts: Sequence[int], size: int, random: Random) -> Dataset:
        columns: dict[str, list] = {name: [] for name in FEATURES}
        seen: set[str] = set()
        fruitless = 0
        while len(seen if split != "train" else columns["source"]) < size:
            if fruitless >= FRUITLESS_TRIES:
                raise ValueError(
                    f"{size} {split} sentences were asked for, but only {len(columns['source'])} distinct ones of "
                    f"{', '.join(map(str, item_counts))} items could be found with kinds "
                    f"{', '.join(self.pool.kinds)}. Ask for fewer, or allow more kinds, names or items."
                )
            fruitless += 1
            count = item_counts[int(random.random() * len(item_counts))]
            items = self._draw_items(split, count, random)
            if items is None:
                fruitless += DRAWS_PER_ITEM
                continue
            source, target, alignment = self._join(items)
            if self._split_of_item is None and _split_of(source) != split:
                continue
            if split != "train":
                if source in seen:
                    continue
                seen.add(source)
            fruitless = 0
            for name, value in zip(columns, (source, target, alignment, count), strict=True):
                columns[name].append(value)
        description = f"{self.pool.source.name} to {self.pool.target.name}, {version()}"
        # Straight to Arrow: Dataset.from_dict looks at each of half a million numbers in Python and takes longer than
        # all the generating.
        table = pyarrow.Table.from_pydict(columns, schema=FEATURES.arrow_schema)
        return Dataset(table, info=DatasetInfo(description=description, features=FEATURES))

    def _draw_items(self, split: str, count: int, random: Random) -> list[Item] | None:
        """Different items of this split, or None when a few tries per item did not find enough."""
        keys: list[Key] = []
        for _ in range(DRAWS_PER_ITEM * count):
            key = self.pool.draw_key(random)
            if key not in keys and (self._split_of_item is None or self._split_of_item[key] == split):
                keys.append(key)
                if len(keys) == count:
                    return [self.pool.item(key) for key in keys]
        return None

    def _join(self, items: list[Item]) -> tuple[str, str, list[tuple[int, int]]]:
        """Join items by the list patterns of both languages."""
        source: list[str] = []
        target: list[str] = []
        alignment: list[tuple[int, int]] = []
        for position, item in enumerate(items):
            parts = (self._connector(position, len(items)), item) if position else (item,)
            for part in parts:
                source_start, target_start = len(source), len(target)
                alignment.extend((i + source_start, j + target_start) for i, j in part.alignment)
                source.extend(part.source)
                target.extend(part.target)
        return " ".join(source), " ".join(target), alignment

    def _connector(self, position: int, count: int) -> Item:
        """What stands before the item at `position` > 0 in a list of `count`."""
        if count == 2:
            return self._connectors["2"]
        if position == count - 1:
            return self._connectors["end"]
        return self._connectors["start" if position == 1 else "middle"]


def _generator(
    source_locale: str,
    target_locale: str,
    kinds: Sequence[str],
    held_out_items: bool,
    territories: int | None,
    languages: int | None,
    currencies: int | None,
) -> _Generator:
    if isinstance(kinds, str):
        raise TypeError(f"kinds is {kinds!r}; give a sequence, such as ({kinds!r},).")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds or len(set(kinds)) < len(kinds):
        nearest = difflib.get_close_matches(str(unknown[0]), KINDS, n=1) if unknown else []
        suggestion = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"kinds is {tuple(kinds)}; expected some of {KINDS}, each once.{suggestion}")
    caps = {"territories": territories, "languages": languages, "currencies": currencies, "units": None}
    for kind, cap in caps.items():
        if cap is not None and cap < 1:
            raise ValueError(f"{kind} is {cap}; give at least 1, or None for all names.")
    return _cached_generator(source_locale, target_locale, tuple(kinds), held_out_items, tuple(caps.items()))


@lru_cache(maxsize=8)
def _cached_generator(
    source_locale: str,
    target_locale: str,
    kinds: tuple[str, ...],
    held_out_items: bool,
    caps: tuple[tuple[str, int | None], ...],
) -> _Generator:
    pool = ItemPool(LocaleText(source_locale), LocaleText(target_locale), kinds, dict(caps))
    return _Generator(pool, held_out_items)


def _hold_out_items(pool: ItemPool) -> dict[Key, str]:
    """Give each item its split by a hash; one whose word no other train item has stays in train."""
    words = {
        key: {("source", word) for word in pool.item(key).source} | {("target", word) for word in pool.item(key).target}
        for kind in pool.kinds
        for key in pool.all_keys(kind)
    }
    left_in_train = Counter(word for item_words in words.values() for word in item_words)
    split_of_item = {}
    for key, item_words in words.items():
        split = _split_of(repr(key))
        if split != "train" and any(left_in_train[word] == 1 for word in item_words):
            split = "train"
        if split != "train":
            left_in_train.subtract(item_words)
        split_of_item[key] = split
    return split_of_item


def _split_of(text: str) -> str:
    """The split that a text belongs to, on every machine and in every run."""
    share = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") / 2**32
    for split, size in HELD_OUT.items():
        if share < size:
            return split
        share -= size
    return "train"


def _check_counts(item_counts: Sequence[int]) -> None:
    if not item_counts or any(not isinstance(count, int) or count < 1 for count in item_counts):
        raise ValueError(
            f"item_counts is {item_counts!r}; expected numbers of items in a sentence, each 1 or more, as in (1, 2, 3)."
        )
