"""How does one language write a date, a country, three kilometres? One locale's CLDR data, cut into pieces."""

import difflib
import re
import unicodedata
from functools import cached_property
from typing import NamedTuple

from babel import Locale, UnknownLocaleError, localedata
from babel.numbers import get_currency_name, get_currency_unit_pattern
from babel.units import UnknownUnitError, format_unit

from course_lib.data.words import is_punctuation, tokenise

YEARS = range(1950, 2050)
COMMAS = frozenset(",،、")
SCRIPTS_WITHOUT_SPACES = frozenset(["CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"])
DATE_PART = re.compile(r"'(?P<quoted>[^']*)'|(?P<letters>(?P<letter>[A-Za-z])(?P=letter)*)|(?P<literal>[^'A-Za-z]+)")
WIDTHS = {3: "abbreviated", 4: "wide"}


class Piece(NamedTuple):
    """One token, and the role that says which tokens of the other language mean the same (None: none does)."""

    token: str
    role: str | None


class Field(NamedTuple):
    """A part of a date that varies: its role and the words of each value."""

    role: str
    words: dict[int, list[str]]


class LocaleText:
    """Writes dates, names and amounts of one locale as pieces, straight from CLDR's patterns.

    All digits are Western ones, also where the language has its own, so that numbers look alike on both sides.
    """

    def __init__(self, identifier: str) -> None:
        """Raises ValueError for a locale that CLDR lacks, or one whose script has no spaces between words."""
        self.locale = parse_locale(identifier)
        self.name = f"{self.locale.english_name} ({identifier})"
        self._refuse_script_without_spaces()

    def date(self, weekday: int, day: int, month: int, year: int) -> list[Piece]:
        """A full date; `weekday` counts from Monday = 0, `month` from January = 1, `year` is one of YEARS."""
        values = {"weekday": weekday, "day": day, "month": month, "year": year}
        pieces: list[Piece] = []
        for part in self._date_pattern:
            if isinstance(part, Field):
                pieces += [Piece(token, part.role) for token in part.words[values[part.role]]]
            else:
                pieces += part
        return pieces

    def territory(self, code: str) -> list[Piece]:
        """A country's name; no pieces where the locale has none."""
        return self._pieces(self.locale.territories.get(code, ""), "territory")

    def language(self, code: str) -> list[Piece]:
        """A language's name; no pieces where the locale has none."""
        return self._pieces(self.locale.languages.get(code, ""), "language")

    def unit(self, code: str, amount: int) -> list[Piece]:
        """An amount of a CLDR unit such as `length-kilometer`, in its plural form; no pieces if the locale lacks it."""
        try:
            text = format_unit(amount, code, "long", locale=self.locale)
        except UnknownUnitError:
            return []
        if code in text:  # what Babel falls back to when the locale has no words for the unit
            return []
        return self._amount(text.replace(str(amount), "{0}", 1), amount, "unit")

    def currency(self, code: str, amount: int) -> list[Piece]:
        """An amount of a currency by its name, in its plural form; no pieces where the locale has none."""
        if code not in self.locale.currencies:
            return []
        pattern = get_currency_unit_pattern(code, amount, self.locale)
        return self._amount(pattern.replace("{1}", get_currency_name(code, amount, self.locale)), amount, "currency")

    def connectors(self) -> dict[str, list[Piece]]:
        """What stands between two items of a list: "2" of two, else "start", "middle" and "end" of more.

        Raises ValueError when the locale has no list pattern, or one that also adds something around the items.
        """
        connectors = {}
        for part in ("2", "start", "middle", "end"):
            pattern = self.locale.list_patterns.get("standard", {}).get(part, "")
            if not (pattern.startswith("{0}") and pattern.endswith("{1}")):
                raise ValueError(
                    f"{self.name} joins the items of a list by {pattern!r}; this corpus needs a pattern "
                    "'{0} … {1}' with nothing before or after. Choose another locale, such as 'de', 'fr' or 'es'."
                )
            tokens = tokenise(pattern.removeprefix("{0}").removesuffix("{1}"), self.locale.language)
            connectors[part] = [Piece(token, _list_role(token)) for token in tokens]
        return connectors

    @cached_property
    def _date_pattern(self) -> list[Field | list[Piece]]:
        pattern = str(self.locale.date_formats["full"].pattern)
        parts: list[Field | list[Piece]] = []
        literal, role = "", "beginning"
        # A quoted text may go on in an unquoted one, as in "('e')", so literals are collected up to the next field.
        for match in DATE_PART.finditer(pattern):
            if match["letters"] is None:
                literal += match["quoted"] if match["literal"] is None else match["literal"]
                continue
            parts.append(self._literal(literal, role))
            literal = ""
            field = self._date_field(match["letter"], len(match["letters"]))
            if field is None:
                raise ValueError(self._unusable_dates(pattern, f"cannot fill in {match['letters']!r}"))
            parts.append(field)
            role = field.role
        parts.append(self._literal(literal, role))
        missing = {"weekday", "day", "month", "year"} - {part.role for part in parts if isinstance(part, Field)}
        if missing:
            raise ValueError(self._unusable_dates(pattern, f"needs the {' and the '.join(sorted(missing))} too"))
        return [part for part in parts if part]

    def _unusable_dates(self, pattern: str, reason: str) -> str:
        return (
            f"{self.name} writes full dates as {pattern!r}; this corpus {reason}. "
            "Leave 'dates' out of kinds, or choose another locale, such as 'de', 'fr' or 'es'."
        )

    def _literal(self, text: str, previous_role: str) -> list[Piece]:
        # A comma answers to the other language's comma after the same field; words such as Spanish "de" to nothing.
        return [
            Piece(token, f"comma after {previous_role}" if token in COMMAS else None)
            for token in tokenise(text, self.locale.language)
        ]

    def _date_field(self, letter: str, width: int) -> Field | None:
        """The field that CLDR's date pattern letters stand for, or None for one that this corpus does not know."""
        if letter in "Ec" and width in WIDTHS:
            return self._named_field("weekday", "days", "format" if letter == "E" else "stand-alone", WIDTHS[width])
        if letter in "ML" and width in WIDTHS:
            return self._named_field("month", "months", "format" if letter == "M" else "stand-alone", WIDTHS[width])
        if letter == "d":
            return Field("day", {day: [f"{day:0{width}d}"] for day in range(1, 32)})
        if letter == "y":
            return Field("year", {year: [str(year)] for year in YEARS})
        return None

    def _named_field(self, role: str, table: str, use: str, width: str) -> Field:
        names = getattr(self.locale, table)[use][width]
        if names[1] == localedata.load("root")[table]["format"]["wide"][1]:
            raise ValueError(
                f"CLDR has no names of {table} in {self.name}. "
                "Leave 'dates' out of kinds, or choose another locale, such as 'de', 'fr' or 'es'."
            )
        return Field(role, {number: tokenise(name, self.locale.language) for number, name in names.items()})

    def _amount(self, pattern: str, amount: int, role: str) -> list[Piece]:
        before, number, after = pattern.partition("{0}")
        middle = [Piece(str(amount), "number")] if number else []  # some languages' "one" needs no numeral
        return self._pieces(before, role) + middle + self._pieces(after, role)

    def _pieces(self, text: str, role: str) -> list[Piece]:
        return [Piece(token, role) for token in tokenise(text, self.locale.language)]

    def _refuse_script_without_spaces(self) -> None:
        scripts = {unicodedata.name(character, "").split(" ")[0] for character in self.locale.display_name or ""}
        if scripts & SCRIPTS_WITHOUT_SPACES:
            raise ValueError(
                f"{self.name} is written without spaces between words, and this corpus counts in words. "
                "Choose a language with spaces, such as 'de', 'fr', 'es' or 'ko'."
            )


def parse_locale(identifier: str) -> Locale:
    """The Babel locale of `de`, `pt_BR` or `pt-BR`. Raises ValueError, with the nearest names, for an unknown one."""
    try:
        return Locale.parse(identifier.replace("-", "_"))
    except (UnknownLocaleError, ValueError) as error:
        english = Locale("en").languages
        known = {identifier: identifier for identifier in localedata.locale_identifiers()}
        known |= {name.lower(): code for code, name in english.items() if code in known}
        nearest = difflib.get_close_matches(identifier.lower(), known, n=3, cutoff=0.6)
        suggestion = (
            f" Did you mean {' or '.join(dict.fromkeys(repr(known[name]) for name in nearest))}?" if nearest else ""
        )
        raise ValueError(
            f"{identifier!r} is not a locale of CLDR.{suggestion} Expected a code such as 'de', 'fr' or 'pt_BR'."
        ) from error


def _list_role(token: str) -> str | None:
    if token in COMMAS:
        return "list comma"
    return None if is_punctuation(token) else "list word"
