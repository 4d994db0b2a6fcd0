"""What is a word? Cutting text of any language with spaces into lower-case words and single punctuation marks."""

import unicodedata
from functools import lru_cache

INNER_MARKS = frozenset(
    "-'’‐‑\u200c"
)  # kept when they stand inside a word: Guinea-Bissau, d'or, and the joiner of Persian


def lower_case(text: str, language: str = "") -> str:
    """Lower-case `text`; Turkish and Azerbaijani keep their two letters i apart."""
    if language in ("tr", "az"):
        text = text.replace("İ", "i").replace("I", "ı")
    return unicodedata.normalize("NFC", text.lower())


def tokenise(text: str, language: str = "") -> list[str]:
    """Cut `text` into lower-case words and punctuation marks, which `" ".join` puts into one sentence.

    A word is a run of letters, combining marks and digits; a hyphen or an apostrophe inside it belongs to it.
    Every other visible character is a token of its own. Spaces of any width and invisible marks only separate.

    Lower case, as in the usual tokenised Multi30k: a word should not have a second embedding because it begins
    a sentence.
    """
    return list(_tokens(text, language))


@lru_cache(maxsize=100_000)  # a generated corpus says the same few hundred names again and again
def _tokens(text: str, language: str) -> tuple[str, ...]:
    tokens: list[str] = []
    characters = lower_case(text, language)
    word = ""
    for position, character in enumerate(characters):
        follows = characters[position + 1 : position + 2]
        if _is_word_character(character) or (
            word and character in INNER_MARKS and follows and _is_word_character(follows)
        ):
            word += character
            continue
        if word:
            tokens.append(word)
            word = ""
        if not character.isspace() and unicodedata.category(character)[0] not in "CZ":
            tokens.append(character)
    if word:
        tokens.append(word)
    return tuple(tokens)


def is_punctuation(token: str) -> bool:
    """Whether a token of `tokenise` is a punctuation mark or a symbol, not a word or a number."""
    return len(token) == 1 and not _is_word_character(token)


def _is_word_character(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"
