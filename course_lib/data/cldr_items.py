"""What can a sentence of the CLDR corpus list? Dates, countries, languages, units and currencies, in two languages."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from babel.core import get_global

from course_lib.data.cldr_locale import YEARS, LocaleText, Piece

KINDS = ("dates", "territories", "languages", "units", "currencies")
KINDS_WITH_AMOUNT = ("units", "currencies")
FIRST_DAY = datetime.date(YEARS.start, 1, 1).toordinal()
LAST_DAY = datetime.date(YEARS.stop - 1, 12, 31).toordinal()
AMOUNTS = range(100)
SHARE_OF_ONE = 0.1  # how often an amount is 1, so that singular forms are no rarity
FEWEST_NAMES = 10
UNITS = (
    *("duration-second", "duration-minute", "duration-hour", "duration-day", "duration-week", "duration-month"),
    *("duration-year", "length-millimeter", "length-centimeter", "length-meter", "length-kilometer", "length-inch"),
    *("length-foot", "length-yard", "length-mile", "mass-milligram", "mass-gram", "mass-kilogram", "mass-tonne"),
    *("mass-pound", "mass-ounce", "area-square-meter", "area-hectare", "volume-milliliter", "volume-liter"),
    *("volume-cubic-meter", "volume-teaspoon", "temperature-celsius", "speed-kilometer-per-hour"),
    *("speed-meter-per-second", "energy-kilocalorie", "energy-joule", "energy-kilowatt-hour", "power-watt"),
    *("power-kilowatt", "electric-volt", "electric-ampere", "frequency-hertz", "digital-bit", "digital-byte"),
    *("digital-megabyte", "digital-gigabyte"),
)

Key = tuple[str | int, ...]


class Item(NamedTuple):
    """One thing said in both languages: its identity, the tokens of each side, and the pairs of positions."""

    key: Key
    source: tuple[str, ...]
    target: tuple[str, ...]
    alignment: tuple[tuple[int, int], ...]


def pair_pieces(key: Key, source: Sequence[Piece], target: Sequence[Piece]) -> Item:
    """Align each token with all tokens of the other side that have its role."""
    source, target = _share_out_number(source, target), _share_out_number(target, source)
    positions = defaultdict(list)
    for position, (_, role) in enumerate(target):
        positions[role].append(position)
    alignment = tuple(
        (position, counterpart)
        for position, (_, role) in enumerate(source)
        if role is not None
        for counterpart in positions.get(role, ())
    )
    return Item(key, _tokens(source), _tokens(target), alignment)


def _share_out_number(pieces: Sequence[Piece], counterparts: Sequence[Piece]) -> Sequence[Piece]:
    """Where the other language says "one" by the noun's form alone (Arabic), the numeral answers to that noun."""
    if not counterparts or any(piece.role == "number" for piece in counterparts):
        return pieces
    noun = counterparts[0].role
    return [Piece(piece.token, noun) if piece.role == "number" else piece for piece in pieces]


class ItemPool:
    """All items that sentences of one language pair can list, by kind.

    The closed lists are capped by rules that need no judgement: territories by the number of languages that CLDR
    records in them, languages by the number of territories that use them, currencies by the number of languages in
    the territories that use them; the greatest first. A name that reads the same in the source as an earlier one
    is left out: every item has exactly one translation.
    """

    def __init__(
        self,
        source: LocaleText,
        target: LocaleText,
        kinds: Sequence[str],
        caps: dict[str, int | None],
    ) -> None:
        """`caps` bounds the number of names of a kind (None: all). Raises ValueError when a locale lacks a kind."""
        self.source, self.target = source, target
        self.kinds = tuple(kinds)
        self._items: dict[Key, Item] = {}
        self._names: dict[str, list[str]] = {}
        taken: set[tuple[str, ...]] = set()
        for kind in self.kinds:
            if kind == "dates":
                self.item((kind, FIRST_DAY))  # a locale whose date pattern cannot be filled is refused here
            else:
                self._names[kind] = self._choose_names(kind, caps[kind], taken)

    def draw_key(self, random: Random) -> Key:
        """Draw a kind, then one of its items. Uses `random.random()` alone, whose sequence Python promises to keep."""
        kind = self.kinds[int(random.random() * len(self.kinds))]
        if kind == "dates":
            return (kind, FIRST_DAY + int(random.random() * (LAST_DAY - FIRST_DAY + 1)))
        names = self._names[kind]
        name = names[int(random.random() * len(names))]
        if kind not in KINDS_WITH_AMOUNT:
            return (kind, name)
        amount = 1 if random.random() < SHARE_OF_ONE else AMOUNTS[int(random.random() * len(AMOUNTS))]
        return (kind, name, amount)

    def item(self, key: Key) -> Item:
        """The item of a key that `draw_key` or `all_keys` gave."""
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = self._make_item(key)
        return item

    def all_keys(self, kind: str) -> Iterator[Key]:
        """Every key of a kind."""
        if kind == "dates":
            yield from ((kind, day) for day in range(FIRST_DAY, LAST_DAY + 1))
        elif kind not in KINDS_WITH_AMOUNT:
            yield from ((kind, name) for name in self._names[kind])
        else:
            yield from ((kind, name, amount) for name in self._names[kind] for amount in AMOUNTS)

    def _choose_names(self, kind: str, cap: int | None, taken: set[tuple[str, ...]]) -> list[str]:
        """The first `cap` names that both locales have and no earlier one reads like; adds them to `taken`."""
        chosen: list[str] = []
        for name in ranking(kind):
            if len(chosen) == cap:
                break
            keys: list[Key] = [(kind, name, *amount) for amount in self._amounts_of_every_form(kind)]
            sides = [(_write(self.source, key), _write(self.target, key)) for key in keys]
            if not all(source and target for source, target in sides):
                continue
            tokens = {_tokens(source) for source, _ in sides}
            if taken.isdisjoint(tokens):
                taken |= tokens
                chosen.append(name)
        if len(chosen) < min(FEWEST_NAMES, cap or FEWEST_NAMES):
            raise ValueError(self._too_few(kind, len(chosen)))
        return chosen

    def _amounts_of_every_form(self, kind: str) -> list[tuple[int, ...]]:
        if kind not in KINDS_WITH_AMOUNT:
            return [()]
        forms = {
            (self.source.locale.plural_form(amount), self.target.locale.plural_form(amount)): (amount,)
            for amount in reversed(AMOUNTS)
        }
        return list(forms.values())

    def _too_few(self, kind: str, found: int) -> str:
        lacking = [
            text.name
            for text in (self.source, self.target)
            if sum(bool(_write(text, (kind, name, *self._amounts_of_every_form(kind)[0]))) for name in ranking(kind))
            < FEWEST_NAMES
        ]
        return (
            f"CLDR has too few {kind} in {' and '.join(lacking) or f'{self.source.name} and {self.target.name}'}: "
            f"{found} could be used, at least {FEWEST_NAMES} are needed. "
            f"Leave {kind!r} out of kinds, raise its cap, or choose another locale, such as 'de', 'fr' or 'es'."
        )

    def _make_item(self, key: Key) -> Item:
        return pair_pieces(key, _write(self.source, key), _write(self.target, key))


@cache
def ranking(kind: str) -> tuple[str, ...]:
    """All codes of a kind, those first that CLDR's supplemental data connects with most others."""
    languages_of = {
        territory: [language for language in languages if language.isalpha() and language != "und"]
        for territory, languages in get_global("territory_languages").items()
    }
    if kind == "units":
        return UNITS
    counts: Counter[str] = Counter()
    if kind == "territories":
        counts.update({territory: len(languages) for territory, languages in languages_of.items()})
    elif kind == "languages":
        counts.update(language for languages in languages_of.values() for language in languages)
    else:
        for territory, currencies in get_global("territory_currencies").items():
            for code, _, end, is_tender in currencies:
                if is_tender and end is None:
                    counts[code] += len(languages_of.get(territory, ()))
    return tuple(sorted(counts, key=lambda code: (-counts[code], code)))


def _write(text: LocaleText, key: Key) -> list[Piece]:
    """The pieces of one item in one language; none when the locale lacks it."""
    match key:
        case ("dates", int(ordinal)):
            date = datetime.date.fromordinal(ordinal)
            return text.date(date.weekday(), date.day, date.month, date.year)
        case ("territories", str(code)):
            return text.territory(code)
        case ("languages", str(code)):
            return text.language(code)
        case ("units", str(code), int(amount)):
            return text.unit(code, amount)
        case ("currencies", str(code), int(amount)):
            return text.currency(code, amount)
    raise KeyError(key)


def _tokens(pieces: Sequence[Piece]) -> tuple[str, ...]:
    return tuple(piece.token for piece in pieces)
