"""What of a docstring is worth learning from? Cleaning, cutting, and telling near-copies."""

import hashlib
import inspect
import re
import unicodedata

SHORTEST = 20  # characters; a shorter one, such as "Return self==value.", says hardly more than the name
LONGEST = 5_000
LEAST_ASCII = 0.9  # share of the characters
LICENCE = re.compile(
    r"copyright|all rights reserved|licen[cs]ed (under|to)|spdx-licen|permission is hereby granted"
    r"|redistribution and use|:licen[cs]e:|without warrant",
    re.IGNORECASE,
)
NOT_WORDS = re.compile(r"[\W\d_]+")
TELLING_LINE = 24  # letters; shorter lines, such as "Parameters" or "Examples", say nothing about copies
OPENING = 200  # letters


def clean(text: str) -> str | None:
    """The docstring as pydoc would show it, or None for one that is too short or mostly not ASCII.

    Indentation and surrounding blank lines go (inspect.cleandoc), so do control characters, lone surrogates, spaces
    at the end of a line, blank lines after a blank line, and paragraphs about copyright and licence.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").replace("\v", "\n")
    if not text.replace("\n", "").replace("\t", "").isprintable():  # else there is nothing to look for
        text = "".join(character for character in text if character in "\n\t" or not _is_control(character))
    lines = [line.rstrip() for line in inspect.cleandoc(text).split("\n")]
    paragraphs = re.split(r"\n{2,}", "\n".join(lines))
    text = "\n\n".join(paragraph for paragraph in paragraphs if not LICENCE.search(paragraph)).strip("\n")
    if len(text) < SHORTEST or sum(map(str.isascii, text)) < LEAST_ASCII * len(text):
        return None
    return text


def _is_control(character: str) -> bool:
    """Unicode's "other": control, format (zero width), lone surrogate, private use, unassigned."""
    return unicodedata.category(character)[0] == "C"


def cut(text: str, longest: int = LONGEST) -> list[str]:
    """Cut a text into parts of at most `longest` characters, at paragraphs where possible, else at lines."""
    parts = []
    while len(text) > longest:
        for border in ("\n\n", "\n", " "):
            end = text.rfind(border, 1, longest + 1)
            if end >= longest // 4:
                break
        else:
            end = longest
        parts.append(text[:end].rstrip())
        text = text[end:].strip("\n")
    return [*parts, text] if text else parts


class Copies:
    """Remembers texts and tells which later ones are copies of them, in whole or for the greater part.

    Texts are compared by their letters: case, digits, spaces and punctuation count for nothing. A copy has the same
    letters as an earlier text; or, if that was from another module, the same 200 first letters, or more than half of
    its letters in lines seen there. Packages make many docstrings from a template, and copy others with a word
    changed. Inside a module such neighbours stay, as str.find and bytes.find do: a module is in one split.
    """

    def __init__(self) -> None:
        self._whole: set[bytes] = set()
        # The module where an opening or a line was first seen.
        self._openings: dict[bytes, str] = {}
        self._lines: dict[bytes, str] = {}

    def is_new(self, text: str, module: str) -> bool:
        """Whether the text is no copy of an earlier one; if so, it is remembered."""
        lines = [normalise(line) for line in text.split("\n")]
        whole = "".join(lines)
        opening = _fingerprint(whole[:OPENING])
        if _fingerprint(whole) in self._whole:
            return False
        if len(whole) >= OPENING and self._openings.get(opening, module) != module:
            return False
        telling = {_fingerprint(line): len(line) for line in lines if len(line) >= TELLING_LINE}
        seen = sum(length for line, length in telling.items() if self._lines.get(line, module) != module)
        if 2 * seen > len(whole):
            return False
        self._whole.add(_fingerprint(whole))
        self._openings.setdefault(opening, module)
        for line in telling:
            self._lines.setdefault(line, module)
        return True

    def new_paragraphs(self, text: str) -> str:
        """The text without those paragraphs that stood in an earlier one; the others are remembered."""
        kept = []
        for paragraph in text.split("\n\n"):
            letters = normalise(paragraph)
            if len(letters) < TELLING_LINE:
                kept.append(paragraph)
            elif _fingerprint(letters) not in self._whole:
                self._whole.add(_fingerprint(letters))
                kept.append(paragraph)
        return "\n\n".join(kept)


def normalise(text: str) -> str:
    """The letters of a text, in lower case."""
    return NOT_WORDS.sub("", text).lower()


def _fingerprint(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
