import datetime

import pytest

from course_lib.data.cldr_items import KINDS, UNITS, ItemPool, pair_pieces, ranking
from course_lib.data.cldr_locale import LocaleText, Piece

CAPS = {"territories": 50, "languages": 50, "currencies": 30, "units": None}
THIRD_OF_MARCH = datetime.date(2025, 3, 3).toordinal()


def pool(source_locale: str, kinds=KINDS) -> ItemPool:
    return ItemPool(LocaleText(source_locale), LocaleText("en"), kinds, CAPS)


def sides(item) -> tuple[str, str]:
    return " ".join(item.source), " ".join(item.target)


@pytest.mark.parametrize(
    ("source_locale", "sentence", "alignment"),
    [
        # Monday, 3rd, March, year; the German dot, the Spanish "de" and the second English comma answer to nothing.
        ("de", "montag , 3 . märz 2025", ((0, 0), (1, 1), (2, 3), (4, 2), (5, 5))),
        ("es", "lunes , 3 de marzo de 2025", ((0, 0), (1, 1), (2, 3), (4, 2), (6, 5))),
        ("fr", "lundi 3 mars 2025", ((0, 0), (1, 3), (2, 2), (3, 5))),
        ("hu", "2025 . március 3 . , hétfő", ((0, 5), (2, 2), (3, 3), (5, 4), (6, 0))),
    ],
)
def test_a_date_crosses_on_its_way_to_english(source_locale, sentence, alignment):
    item = pool(source_locale, ("dates",)).item(("dates", THIRD_OF_MARCH))
    assert sides(item) == (sentence, "monday , march 3 , 2025")
    assert item.alignment == alignment


@pytest.mark.parametrize(
    ("source_locale", "amount", "expected"),
    [
        ("de", 1, ("1 kilometer", "1 kilometer")),
        ("de", 3, ("3 kilometer", "3 kilometers")),
        ("fr", 0, ("0 kilomètre", "0 kilometers")),
        ("pl", 1, ("1 kilometr", "1 kilometer")),
        ("pl", 3, ("3 kilometry", "3 kilometers")),
        ("pl", 5, ("5 kilometrów", "5 kilometers")),
    ],
)
def test_a_unit_takes_the_plural_form_of_its_number(source_locale, amount, expected):
    item = pool(source_locale, ("units",)).item(("units", "length-kilometer", amount))
    assert sides(item) == expected
    assert item.alignment == ((0, 0), (1, 1))


@pytest.mark.parametrize(
    ("source_locale", "amount", "expected"),
    [
        ("de", 7, ("7 indische rupien", "7 indian rupees")),
        ("fr", 1, ("1 dollar des états-unis", "1 us dollar")),
        ("ro", 25, ("25 de dolari americani", "25 us dollars")),
    ],
)
def test_a_currency_is_named_in_the_plural_form_of_its_number(source_locale, amount, expected):
    code = "INR" if source_locale == "de" else "USD"
    assert sides(pool(source_locale, ("currencies",)).item(("currencies", code, amount))) == expected


def test_a_name_of_several_words_is_aligned_many_to_many():
    item = pool("de", ("territories",)).item(("territories", "US"))
    assert sides(item) == ("vereinigte staaten", "united states")
    assert item.alignment == ((0, 0), (0, 1), (1, 0), (1, 1))


def test_a_numeral_left_unsaid_is_aligned_with_the_noun_that_says_it():
    item = pool("ar", ("units",)).item(("units", "volume-teaspoon", 1))
    assert len(item.source) == 2, "Arabic says one teaspoon without a numeral"
    assert item.target == ("1", "teaspoon")
    assert item.alignment == ((0, 0), (0, 1), (1, 0), (1, 1))


def test_pieces_without_a_role_are_aligned_with_nothing():
    item = pair_pieces(("x",), [Piece("de", None), Piece("3", "day")], [Piece("3", "day"), Piece("x", None)])
    assert item.alignment == ((1, 0),)


def test_units_without_a_display_name_are_there_all_the_same():
    assert {key[1] for key in pool("de", ("units",)).all_keys("units")} == set(UNITS)


@pytest.mark.parametrize("source_locale", ["de", "fr", "es", "ru"])
def test_no_two_items_read_the_same(source_locale):
    caps = {"territories": None, "languages": None, "currencies": None, "units": None}
    everything = ItemPool(LocaleText(source_locale), LocaleText("en"), KINDS, caps)
    keys = [
        key for kind in KINDS[1:] for key in everything.all_keys(kind) if len(key) == 2 or key[2] in (0, 1, 2, 5, 21)
    ]
    assert len({everything.item(key).source for key in keys}) == len(keys)


def test_the_best_connected_names_come_first():
    assert ranking("languages")[:3] == ("en", "fr", "es")
    assert ranking("currencies")[0] == "EUR"
    assert ranking("territories")[0] == "IN"
    assert all(len(set(ranking(kind))) == len(ranking(kind)) for kind in KINDS[1:])
