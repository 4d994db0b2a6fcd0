"""What can a fact sheet say, and what can one ask of it? Attributes with their values, statements and questions.

Names and values come from CLDR, the locale data that Babel brings: countries, currencies, languages, scripts, days,
time zones, units. Which country has which value is drawn anew for each sheet, so that an answer can only be read,
never remembered. Used by notebooks 09 and 10; `course_lib.data.atlas` makes the sets.
"""

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from babel import Locale
from babel.core import get_global
from babel.dates import format_skeleton

SPLITS = ("train", "validation", "test")
HELD_OUT = {"validation": 0.1, "test": 0.15}  # shares of all countries, or languages
LEAP_YEAR = 2024  # so that 29 February is a day


@dataclass(frozen=True)
class Attribute:
    """One kind of fact: its values, and how it is stated and asked.

    noun: what a follow-up calls it, "its currency". statements and questions hold {place}; statements also {value},
    and so do reverse_questions, which ask for the place, and checks, which are answered by yes or no.
    """

    noun: str
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    reverse_questions: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        """Whether any name would do as a value: there are many, and none is a number."""
        return len(self.values) > 20 and not any(character.isdigit() for character in self.values[0])


@dataclass(frozen=True)
class Domain:
    """What a set of sheets is about: the subjects of each split, and what there is to say of each."""

    name: str
    kind: str  # what a subject is, in "Which country ..."
    subjects: dict[str, tuple[str, ...]]
    attributes: tuple[Attribute, ...]


@cache
def countries() -> Domain:
    """The atlas: some 250 countries and territories, thirteen attributes."""
    return Domain("atlas", "country", _divided(_country_names()), _country_attributes())


@cache
def languages() -> Domain:
    """The small set on a domain of its own: languages, and what an atlas of languages says of each."""
    return Domain("languages", "language", _divided(_language_names()), _language_attributes())


def split_of(subject: str) -> str:
    """The split of a country or language, by a hash of its name alone: the same everywhere and in every run."""
    share = int.from_bytes(hashlib.blake2b(f"atlas {subject}".encode(), digest_size=4).digest(), "big") / 2**32
    for split, size in HELD_OUT.items():
        if share < size:
            return split
        share -= size
    return "train"


def _divided(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {split: tuple(name for name in names if split_of(name) == split) for split in SPLITS}


def _country_names() -> list[str]:
    names = _english().territories
    return sorted({_plain(names[code]) for code in _country_codes()})


@cache
def _country_codes() -> tuple[str, ...]:
    """Those of which CLDR knows a name, a currency and a language."""
    names, spoken = _english().territories, get_global("territory_languages")
    return tuple(code for code in spoken if len(code) == 2 and code in names and _currencies_of(code))


def _currencies_of(country: str) -> list[str]:
    """Codes of the currencies that are tender there now."""
    known = get_global("territory_currencies").get(country, ())
    return [code for code, _, end, tender in known if end is None and tender]


def _country_attributes() -> tuple[Attribute, ...]:
    english = _english()
    spoken = get_global("territory_languages")
    official = {code for country in _country_codes() for code, of in spoken[country].items() if of["official_status"]}
    others = {code for country in _country_codes() for code in spoken[country]} - official
    currencies = {english.currencies[code] for country in _country_codes() for code in _currencies_of(country)}
    days = tuple(english.days["format"]["wide"][day] for day in range(7))
    return (
        Attribute(
            "currency",
            _sorted(currencies),
            ("The currency of {place} is the {value}.", "People in {place} pay with the {value}."),
            ("What is the currency of {place}?", "What do people in {place} pay with?"),
            ("Which {kind} has the {value} as its currency?",),
            ("Is the {value} the currency of {place}?",),
        ),
        Attribute(
            "official language",
            _named(official, english.languages),
            ("The official language of {place} is {value}.", "In {place}, laws are written in {value}."),
            ("What is the official language of {place}?", "Which language are the laws of {place} written in?"),
            ("Which {kind} has {value} as its official language?",),
            ("Is {value} the official language of {place}?",),
        ),
        Attribute(
            "second language",
            _named(others, english.languages),
            ("The second language of {place} is {value}.", "Many people in {place} also speak {value}."),
            ("What is the second language of {place}?", "Which language do many people in {place} also speak?"),
            ("Which {kind} has {value} as its second language?",),
        ),
        Attribute(
            "share of speakers",
            tuple(f"{share} percent" for share in range(3, 98)),
            ("The official language of {place} is spoken by {value} of its people.",),
            ("What is the share of speakers in {place}?", "How many people in {place} speak the official language?"),
        ),
        Attribute(
            "script",
            _scripts(),
            ("The script of {place} is {value}.", "Street signs in {place} are written in {value} script."),
            ("What is the script of {place}?", "Which script are the street signs of {place} written in?"),
            ("Which {kind} writes its street signs in {value} script?",),
        ),
        Attribute(
            "first day of the week",
            days,
            ("The first day of the week in {place} is {value}.", "In {place}, the week starts on {value}."),
            ("What is the first day of the week in {place}?", "On which day does the week start in {place}?"),
            ("Which {kind} starts its week on {value}?",),
            ("Does the week in {place} start on {value}?",),
        ),
        Attribute(
            "weekend",
            days,
            ("The weekend of {place} begins on {value}.", "Schools in {place} close for the weekend on {value}."),
            ("When does the weekend of {place} begin?", "On which day do schools in {place} close for the weekend?"),
            ("Which {kind} begins its weekend on {value}?",),
        ),
        Attribute(
            "time zone",
            _cities(),
            ("The time zone of {place} is that of {value}.", "Clocks in {place} show the time of {value}."),
            ("What is the time zone of {place}?", "Which city's time do clocks in {place} show?"),
            ("Which {kind} has the time of {value}?",),
        ),
        Attribute(
            "unit of distance",
            _units("length-kilometer", "length-meter", "length-mile", "length-yard", "length-foot"),
            ("The unit of distance in {place} is {value}.", "Road signs in {place} count in {value}."),
            ("What is the unit of distance in {place}?", "What do road signs in {place} count in?"),
        ),
        Attribute(
            "unit of temperature",
            _units("temperature-celsius", "temperature-fahrenheit", "temperature-kelvin"),
            ("The unit of temperature in {place} is {value}.", "Weather reports in {place} use {value}."),
            ("What is the unit of temperature in {place}?", "What do weather reports in {place} use?"),
        ),
        Attribute(
            "unit of weight",
            _units("mass-kilogram", "mass-gram", "mass-pound", "mass-ounce", "mass-stone"),
            ("The unit of weight in {place} is {value}.", "Markets in {place} weigh in {value}."),
            ("What is the unit of weight in {place}?", "What do markets in {place} weigh in?"),
        ),
        Attribute(
            "decimal sign",
            ("comma", "point", "apostrophe", "space"),
            ("The decimal sign of {place} is the {value}.", "In {place}, decimals follow a {value}."),
            ("What is the decimal sign of {place}?", "What do decimals follow in {place}?"),
        ),
        Attribute(
            "national day",
            _days_of_the_year(),
            ("The national day of {place} is {value}.", "Each year on {value}, {place} celebrates."),
            ("What is the national day of {place}?", "When does {place} celebrate?"),
            ("Which {kind} celebrates on {value}?",),
            ("Is {value} the national day of {place}?",),
        ),
    )


def _language_names() -> list[str]:
    spoken = get_global("territory_languages")
    codes = {code for country in _country_codes() for code, of in spoken[country].items() if "_" not in code}
    return list(_named(codes, _english().languages))


def _language_attributes() -> tuple[Attribute, ...]:
    return (
        Attribute(
            "script",
            _scripts(),
            ("{place} is written in {value} script.", "The script of {place} is {value}."),
            ("What is the script of {place}?", "How is {place} written?"),
            ("Which {kind} is written in {value} script?",),
            ("Is {place} written in {value} script?",),
        ),
        Attribute(
            "home",
            tuple(_country_names()),
            ("Most speakers of {place} live in {value}.", "The home of {place} is {value}."),
            ("What is the home of {place}?", "Where do most speakers of {place} live?"),
            ("Which {kind} has its home in {value}?",),
        ),
        Attribute(
            "writing direction",
            ("left to right", "right to left", "top to bottom"),
            ("A line of {place} runs from {value}.", "The writing direction of {place} is {value}."),
            ("What is the writing direction of {place}?", "How does a line of {place} run?"),
        ),
        Attribute(
            "number of plural forms",
            ("one", "two", "three", "four", "five", "six"),
            ("A noun of {place} has {value} plural forms.",),
            ("What is the number of plural forms of {place}?", "How many plural forms has a noun of {place}?"),
        ),
        Attribute(
            "word for Monday",
            _first_words("days", 0),
            ("In {place}, Monday is called {value}.", "The word for Monday of {place} is {value}."),
            ("What is the word for Monday of {place}?", "What is Monday called in {place}?"),
            ("Which {kind} calls Monday {value}?",),
        ),
        Attribute(
            "word for August",
            _first_words("months", 8),
            ("In {place}, August is called {value}.", "The word for August of {place} is {value}."),
            ("What is the word for August of {place}?", "What is August called in {place}?"),
        ),
        Attribute(
            "share of speakers",
            tuple(f"{share} percent" for share in range(3, 98)),
            ("{place} is written by {value} of its speakers.",),
            ("What is the share of speakers of {place} who write it?", "How many speakers of {place} write it?"),
        ),
        Attribute(
            "number of letters",
            tuple(str(count) for count in range(12, 90)),
            ("The alphabet of {place} has {value} letters.",),
            ("What is the number of letters of {place}?", "How many letters has the alphabet of {place}?"),
        ),
    )


def _english() -> Locale:
    return Locale("en")


def _plain(name: str) -> str:
    """Without the brackets of "Myanmar (Burma)": one country, one name."""
    return name.split(" (")[0] if name.endswith(")") else name


def _sorted(values: set[str]) -> tuple[str, ...]:
    return tuple(sorted(values))


def _named(codes: set[str], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted({_plain(names[code]) for code in codes if code in names}))


def _scripts() -> tuple[str, ...]:
    """Names of those scripts that CLDR takes some language to be written in."""
    names = _english().scripts
    used = {tag.split("_")[1] for tag in get_global("likely_subtags").values() if len(tag.split("_")) == 3}
    return _named(used, names)


def _cities() -> tuple[str, ...]:
    zones = {zone for country in _country_codes() for zone in get_global("territory_zones").get(country, ())}
    return tuple(sorted({zone.rsplit("/", 1)[1].replace("_", " ") for zone in zones if "/" in zone}))


def _units(*codes: str) -> tuple[str, ...]:
    names = _english()._data["unit_display_names"]
    return tuple(str(names[code]["long"]) for code in codes)


def _days_of_the_year() -> tuple[str, ...]:
    first = datetime.date(LEAP_YEAR, 1, 1)
    days = (first + datetime.timedelta(days=number) for number in range(366))
    return tuple(format_skeleton("MMMMd", day, locale="en") for day in days)


def _first_words(table: str, number: int) -> tuple[str, ...]:
    """What one day or month is called in the languages that CLDR knows it of, if it is one word of plain letters."""
    words = set()
    for code in _likely_locales():
        word = str(getattr(Locale.parse(code), table)["format"]["wide"][number])
        if word.isascii() and word.isalpha() and len(word) > 3:
            words.add(word)
    return _sorted(words)


@cache
def _likely_locales() -> tuple[str, ...]:
    from babel.localedata import locale_identifiers

    return tuple(sorted(code for code in locale_identifiers() if "_" not in code and code != "root"))
