"""How is a token shown, whatever it contains? As visible text of bounded length; never as markup."""

import unicodedata
from collections.abc import Iterable

LONGEST = 24
SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
# What would turn or hide its neighbours on the page: zero-width signs, and those that set the direction of writing.
HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
JOINER = "\u200d"  # between two parts of one emoji it is seen, by its effect


def visible(token: str, longest: int = LONGEST) -> str:
    """The token in signs that can be seen: `␣the`, `⏎`, `‹U+200B›`; cut to `longest` signs with `…`.

    An empty token is `∅`.
    """
    if not token:
        return "∅"
    shown = []
    for place, sign in enumerate(token[: 4 * longest]):
        if sign in SHOWN:
            shown.append(SHOWN[sign])
        elif sign == JOINER and 0 < place < len(token) - 1:
            shown.append(sign)
        elif unicodedata.category(sign) in HIDDEN_CATEGORIES:
            shown.append(f"‹U+{ord(sign):04X}›")
        else:
            shown.append(sign)
    text = "".join(shown)
    return text if len(text) <= longest and len(token) <= 4 * longest else text[: longest - 1] + "…"


def tokens_of(tokenizer: object, numbers: Iterable[int]) -> list[str]:
    """Each token's own text, by the tokenizer; bytes that are no whole sign are written as `<0xE2>`."""
    texts = []
    for number in numbers:
        text = tokenizer.decode([number], clean_up_tokenization_spaces=False)  # type: ignore[attr-defined]
        if "\ufffd" in text:
            piece = str(tokenizer.convert_ids_to_tokens(number))  # type: ignore[attr-defined]
            text = bytes_of(piece) or text
        texts.append(text)
    return texts


def bytes_of(piece: str) -> str:
    """The bytes of a byte-level token, whose alphabet stands one sign for one byte; empty if it is none."""
    try:
        numbers = [BYTE_OF[sign] for sign in piece]
    except KeyError:
        return ""
    return "".join(chr(number) if 32 < number < 127 else f"<0x{number:02X}>" for number in numbers)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's: printable Latin-1 signs stand for themselves, all other bytes for the signs from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(number): number for number in printable}
    others = [number for number in range(256) if number not in set(printable)]
    return alphabet | {chr(256 + place): number for place, number in enumerate(others)}


BYTE_OF = _byte_alphabet()
