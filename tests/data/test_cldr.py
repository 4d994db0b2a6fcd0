import random
from collections import Counter

import babel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data import cldr
from course_lib.data.words import is_punctuation

SMALL = {"train": 300, "validation": 40, "test": 40}
CLOSED_KINDS = ("territories", "languages")


def words_of(row: dict) -> tuple[list[str], list[str]]:
    return row["source"].split(" "), row["target"].split(" ")


def aligned_words(row: dict) -> set[tuple[str, str]]:
    source, target = words_of(row)
    return {(source[i], target[j]) for i, j in row["alignment"]}


def rows_of(corpus) -> list[dict]:
    return [row for split in corpus.values() for row in split]


def test_list_patterns_join_the_items_of_each_language():
    corpus = cldr.parallel_corpus(item_counts=(3,), kinds=("languages",), **SMALL)
    row = corpus["train"][0]
    (first, _, second, conjunction, third), target = words_of(row)
    assert conjunction == "und"
    assert [word for word in target if is_punctuation(word)] == [",", ","]
    assert target[-2] == "and"
    assert ("und", "and") in aligned_words(row)
    assert (",", ",") in aligned_words(row)
    assert len({first, second, third}) == 3
    german_commas = row["source"].split(" ").count(",")
    assert german_commas == 1, "the comma before the English and has no German counterpart"
    assert sum(target[j] == "," for _, j in row["alignment"]) == 1


@pytest.mark.parametrize("source_locale", ["de", "fr", "es", "it", "ru", "tr", "ko", "ar", "he", "pt_BR"])
def test_alignments_are_sorted_within_range_and_cover_the_content(source_locale):
    for row in rows_of(cldr.parallel_corpus(source_locale, **SMALL)):
        source, target = words_of(row)
        pairs = [tuple(pair) for pair in row["alignment"]]
        assert pairs == sorted(set(pairs))
        assert all(0 <= i < len(source) and 0 <= j < len(target) for i, j in pairs)
        unaligned = [target[j] for j in set(range(len(target))) - {j for _, j in pairs}]
        assert all(is_punctuation(word) for word in unaligned), (row, "every English word comes from somewhere")


@pytest.mark.parametrize("source_locale", ["de", "fr", "es", "ar"])
def test_numbers_are_aligned_with_themselves(source_locale):
    for row in rows_of(cldr.parallel_corpus(source_locale, kinds=("dates", "currencies"), **SMALL)):
        for source_word, target_word in aligned_words(row):
            assert source_word.isdigit() == target_word.isdigit()
            assert not source_word.isdigit() or source_word == target_word


def test_the_same_arguments_give_the_same_sentences():
    first = cldr.parallel_corpus(**SMALL, seed=5)
    cldr._cached_generator.cache_clear()
    random.seed(1)
    again = cldr.parallel_corpus(**SMALL, seed=5)
    assert rows_of(first) == rows_of(again)
    assert rows_of(cldr.parallel_corpus(**SMALL, seed=6)) != rows_of(first)


def test_a_larger_corpus_begins_with_the_smaller_one():
    small, large = cldr.parallel_corpus(train=50, validation=9, test=9), cldr.parallel_corpus(train=80, **{"test": 9})
    assert rows_of({"": small["train"]}) == rows_of({"": large["train"].select(range(50))})
    assert rows_of({"": small["test"]}) == rows_of({"": large["test"]})


@pytest.mark.skipif(babel.__version__ != "2.18.0", reason="the sentences were taken with Babel 2.18.0 and its CLDR 47")
def test_the_sentences_are_those_of_babel_2_18_0():
    corpus = cldr.parallel_corpus(train=3, validation=1, test=1, seed=0)
    assert cldr.version() == "CLDR sentences 1 (Babel 2.18.0, CLDR 47)"
    assert [(row["source"], row["target"]) for row in rows_of(corpus)] == [
        (
            "74 cfp-franc , 28 mosambikanische meticais , dienstag , 17 . juni 2003 und 97 britische pfund",
            "74 cfp francs , 28 mozambican meticals , tuesday , june 17 , 2003 , and 97 british pounds",
        ),
        ("4 hektar", "4 hectares"),
        ("irak und donnerstag , 17 . juni 1976", "iraq and thursday , june 17 , 1976"),
        (
            "4 kenia-schilling , gujarati , kroatien und mittwoch , 13 . september 1978",
            "4 kenyan shillings , gujarati , croatia , and wednesday , september 13 , 1978",
        ),
        (
            "usbekisch , dienstag , 2 . august 1955 , 1 nepalesische rupie und samstag , 5 . januar 2013",
            "uzbek , tuesday , august 2 , 1955 , 1 nepalese rupee , and saturday , january 5 , 2013",
        ),
    ]


def test_the_corpus_says_what_it_was_made_with():
    assert babel.__version__ in cldr.version()
    description = cldr.parallel_corpus(**SMALL)["train"].info.description
    assert description == f"German (de) to English (en), {cldr.version()}"


def test_no_sentence_of_one_split_is_in_another_whatever_the_seed():
    corpus = cldr.parallel_corpus(train=5_000, validation=300, test=300)
    other = cldr.parallel_corpus(train=100, validation=300, test=300, seed=1, item_counts=(1, 2))
    train = set(corpus["train"]["source"])
    for split in ("validation", "test"):
        assert not train & set(corpus[split]["source"])
        assert not train & set(other[split]["source"])
    assert not set(corpus["validation"]["source"]) & set(corpus["test"]["source"])


def test_validation_and_test_sentences_are_distinct():
    corpus = cldr.parallel_corpus(train=10, validation=300, test=300, item_counts=(1,))
    for split in ("validation", "test"):
        assert len(set(corpus[split]["source"])) == 300


def test_no_held_out_item_is_in_train_but_all_its_words_are():
    kinds = ("territories", "languages", "units", "currencies")
    generator = cldr._generator("de", "en", kinds, True, None, None, 40)
    items = {split: [] for split in cldr.SPLITS}
    for key, split in generator._split_of_item.items():
        items[split].append(generator.pool.item(key))
    assert "territories" in {item.key[0] for item in items["test"]}, "names made of other names' words are held out too"
    for side in ("source", "target"):
        phrases = {split: {getattr(item, side) for item in items[split]} for split in items}
        words = {split: {word for phrase in phrases[split] for word in phrase} for split in items}
        for split in ("validation", "test"):
            assert words[split] <= words["train"]
            assert side == "target" or phrases[split].isdisjoint(phrases["train"])


def test_held_out_items_are_what_the_test_sentences_consist_of():
    corpus = cldr.parallel_corpus(**SMALL, held_out_items=True, item_counts=(2,), kinds=("units",))

    def items(split):
        return {item for sentence in corpus[split]["source"] for item in sentence.split(" und ")}

    assert items("test")
    assert not items("train") & (items("test") | items("validation"))


def test_sentences_by_item_count_reach_past_what_was_trained():
    by_count = cldr.sentences_by_item_count(item_counts=(1, 4, 8), per_count=30)
    train = set(cldr.parallel_corpus(train=3_000)["train"]["source"])
    assert list(by_count) == [1, 4, 8]
    for count, sentences in by_count.items():
        assert set(sentences["item_count"]) == {count}
        assert len(set(sentences["source"])) == 30
        assert not train & set(sentences["source"])
    assert all(" und " in sentence for sentence in by_count[8]["source"])


def test_item_counts_and_kinds_are_drawn_evenly():
    corpus = cldr.parallel_corpus(train=4_000, validation=0, test=0)
    counts = Counter(corpus["train"]["item_count"])
    assert set(counts) == {1, 2, 3, 4}
    assert max(counts.values()) < 1.2 * min(counts.values())


def test_caps_bound_the_vocabulary():
    corpus = cldr.parallel_corpus(
        kinds=CLOSED_KINDS, territories=12, languages=1, **{**SMALL, "validation": 0, "test": 5}
    )
    items = {item for sentence in corpus["train"]["source"] for item in sentence.replace(" und ", " , ").split(" , ")}
    assert len(items) == 13


@pytest.mark.parametrize("source_locale", ["ja", "zh", "th"])
def test_a_language_without_spaces_is_refused_with_advice(source_locale):
    with pytest.raises(ValueError, match=r"written without spaces between words.*such as 'de', 'fr', 'es' or 'ko'"):
        cldr.parallel_corpus(source_locale, **SMALL)


@pytest.mark.parametrize(
    ("name", "suggestion"), [("german", "'de'"), ("fransh", "'fr'"), ("de_XX", "'de_"), ("dee", "'de'")]
)
def test_an_unknown_locale_is_refused_with_the_nearest(name, suggestion):
    with pytest.raises(ValueError, match=rf"'{name}' is not a locale of CLDR\. Did you mean .*{suggestion}"):
        cldr.parallel_corpus(name, **SMALL)


@pytest.mark.parametrize("name", ["", "!!", "qqqqq"])
def test_a_locale_unlike_any_is_refused(name):
    with pytest.raises(ValueError, match=r"is not a locale of CLDR.*Expected a code such as 'de'"):
        cldr.parallel_corpus(name, **SMALL)


def test_a_locale_that_lacks_names_is_refused_with_what_is_missing():
    with pytest.raises(
        ValueError, match=r"too few territories in Maori|too few \w+ in Corsican \(co\): \d+ could be used"
    ):
        cldr.parallel_corpus("co", **SMALL)
    with pytest.raises(
        ValueError, match=r"CLDR has no names of days in Volapük \(vo\)|Volapük \(vo\) writes full dates"
    ):
        cldr.parallel_corpus("vo", kinds=("dates",), **SMALL)
    with pytest.raises(ValueError, match=r"CLDR has no names of \w+ in Walloon \(wa\)"):
        cldr.parallel_corpus("wa", kinds=("dates",), **SMALL)
    with pytest.raises(ValueError, match=r"cannot fill in 'G'\. Leave 'dates' out of kinds"):
        cldr.parallel_corpus("la", kinds=("dates",), **SMALL)
    with pytest.raises(ValueError, match=r"Malayalam \(ml\) joins the items of a list by"):
        cldr.parallel_corpus("ml", **SMALL)


@pytest.mark.parametrize("item_counts", [(), (0,), (1, -2)])
def test_impossible_item_counts_are_refused(item_counts):
    with pytest.raises(ValueError, match="expected numbers of items in a sentence, each 1 or more"):
        cldr.parallel_corpus(item_counts=item_counts, **SMALL)
    with pytest.raises(ValueError, match="expected numbers of items in a sentence, each 1 or more"):
        cldr.sentences_by_item_count(item_counts=item_counts)


def test_unknown_kinds_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'currencies'"):
        cldr.parallel_corpus(kinds=("currency",), **SMALL)
    with pytest.raises(ValueError, match="each once"):
        cldr.parallel_corpus(kinds=("dates", "dates"), **SMALL)
    with pytest.raises(ValueError, match="expected some of"):
        cldr.parallel_corpus(kinds=(), **SMALL)
    with pytest.raises(TypeError, match=r"give a sequence, such as \('dates',\)"):
        cldr.parallel_corpus(kinds="dates", **SMALL)


def test_more_sentences_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"100 test sentences were asked for, but only \d+ distinct ones of 1 items"):
        cldr.parallel_corpus(kinds=("languages",), item_counts=(1,), train=10, validation=0, test=100)
    with pytest.raises(ValueError, match="languages is 0; give at least 1"):
        cldr.parallel_corpus(languages=0, **SMALL)
    with pytest.raises(ValueError, match="but only 0 distinct ones of 20 items"):
        cldr.parallel_corpus(kinds=("languages",), item_counts=(20,), languages=10, train=10, validation=0, test=0)


@pytest.mark.parametrize("sizes", [{"train": 0}, {"validation": -1}, {"test": -1}])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="train needs at least 1 sentence"):
        cldr.parallel_corpus(**{**SMALL, **sizes})
    with pytest.raises(ValueError, match="per_count is 0"):
        cldr.sentences_by_item_count(per_count=0)


@settings(max_examples=25, deadline=None)
@given(
    source_locale=st.sampled_from(["de", "fr", "es", "tr", "sw"]),
    target_locale=st.sampled_from(["en", "de", "ru"]),
    item_count=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_any_pair_of_languages_gives_well_formed_rows(source_locale, target_locale, item_count, seed):
    by_count = cldr.sentences_by_item_count(source_locale, target_locale, (item_count,), per_count=3, seed=seed)
    for row in by_count[item_count]:
        source, target = words_of(row)
        assert all(source)
        assert all(target)
        assert row["item_count"] == item_count
        assert all(0 <= i < len(source) and 0 <= j < len(target) for i, j in row["alignment"])
