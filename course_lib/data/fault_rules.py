"""How is each kind of fault in an instruction found? One function for each, which gives what shows it (notebook 12).

Rules read texts, they do not understand them; each can be wrong both ways.
"""

import re
from collections import Counter

from course_lib.data.alpaca_format import Exchange
from course_lib.data.sums import asked_sum, has_value, wrong_equation

Finding = str | None  # the part of the row that shows the fault

URL = re.compile(r"https?://[^\s)\]>\"']+|www\.[^\s)\]>\"']+")
QUOTED = re.compile(r"```.*?(```|$)|`[^`\n]*`|\"[^\"\n]*\"|'[^'\n]*'", re.S)  # in code an address is no source
READS_A_PAGE = re.compile(r"\b(article|page|site|website|link|url|post|video|paper)\b", re.I)
MERGED = re.compile(r"\b\d{1,2}\.\s*Instruction:|###\s*Instruction:", re.I)
ASKS_FOR_CODE = re.compile(
    r"\b(write|create|give|provide|show|implement|generate|construct|design)\b[^.?!\n]*\b(code|function|program|query|"
    r"regex|regular expression|html|css|sql|class|snippet|script (?=to|that|in|which|for)|(python|bash) script)\b",
    re.I,
)
CODE = re.compile(
    r"\b(write|create|give|provide|show|implement|generate|construct|design)\b[^.?!\n]*\b(code|function|script|program|"
    r"query|regex|regular expression|html|css|sql|class|snippet|algorithm in \w+)\b",
    re.I,
)
CODE = re.compile(
    r"```|\bdef \w+|\bclass \w+|\breturn\b|\bimport \w+|#include|\bSELECT\b|\bfunction\b.*[({]|=>|[;{}]\s*$|<\w+[^>]*>|"
    r"\w+\(.*\)|^\s*(for|while|if) .*:|\w+ ?[-+*/]?= ?\S+|[\[\\^$|*+?.]{3}",
    re.M,
)
IMAGE_MARK = re.compile(r"!\[.*\]\(http\S*|img ?src ?=|\bimage:", re.I)
ASKS_FOR_IMAGE = re.compile(  # as an order, at a sentence's beginning: others may tell of somebody who draws
    r"(?:^|[.!?:]\s+|\bplease |\byou )(?:(?:draw|sketch|paint|illustrate|photograph)\b|"
    r"(?:create|generate|make|design|produce|find|show)\b[^.?!\n]*"
    r"\b(?:image|picture|photo|drawing|logo|illustration|painting|poster|diagram|graphic)\b)",
    re.I,
)
NOT_APPLICABLE = re.compile(
    r"[\[(<]?\s*(n\.?/?a|not applicable|not available|none|no output|no response|no answer|null|nan)\s*[\])>]?\s*[.!]?",
    re.I,
)
NO_INPUT = re.compile(r"[\[(<]?\s*(no ?input|n/?a|none|empty|null)\s*(required|needed|given)?\s*[\])>]?\s*[.!]?", re.I)
# Everything that prints nothing, apart from line ends and tabs: control signs, bidirectional and zero-width marks.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffd]")
TABLE = re.compile(r"[|_=:-]")
WORD = re.compile(r"[^\W\d_]+")
LEAST_REPEATED, MOST_REPEATED = 6, 0.6  # times, and the share of all words


def hallucinated_url(row: Exchange) -> Finding:
    """An address that the model made up, or a task to read a page that it never saw."""
    given = f"{row.instruction} {row.input}"
    for found in URL.findall(IMAGE_MARK.sub("", QUOTED.sub("", row.output))):
        if found not in given and "example." not in found:
            return found
    # A page whose text is given, too, can be read.
    asked = URL.fullmatch(row.input.strip()) or (None if row.input.strip() else URL.search(row.instruction))
    return asked[0] if asked and READS_A_PAGE.search(row.instruction) else None


def merged_instructions(row: Exchange) -> Finding:
    """The next task of the list that the model was writing, within the answer to this one."""
    return _part(MERGED.search(row.output))


def empty_output(row: Exchange) -> Finding:
    """No answer at all."""
    return "(empty)" if not CONTROL.sub("", row.output).strip() else None


def missing_code(row: Exchange) -> Finding:
    """Code was asked for, and the answer has none."""
    asked = ASKS_FOR_CODE.search(row.instruction)
    return (
        asked[0] if asked and not CODE.search(row.output) and not NOT_APPLICABLE.fullmatch(row.output.strip()) else None
    )


def image_request(row: Exchange) -> Finding:
    """A picture was asked for, or linked: a language model draws none."""
    found = IMAGE_MARK.search(f"{row.input}\n{row.output}") or ASKS_FOR_IMAGE.search(row.instruction)
    return _part(found)


def not_applicable(row: Exchange) -> Finding:
    """An answer that says that there is none."""
    return _part(NOT_APPLICABLE.fullmatch(row.output.strip()))


def inconsistent_no_input(row: Exchange) -> Finding:
    """ "No input", "<noinput>", "N/A" and the like, where the other rows have an empty input."""
    return _part(NO_INPUT.fullmatch(row.input.strip()))


def wrong_answer(row: Exchange) -> Finding:
    """A sum of which the answer does not have the result, or an equation in the answer that does not hold."""
    asked = asked_sum(row.instruction, row.input)
    if asked and not has_value(row.output, asked):
        return asked
    return wrong_equation(row.output)


def nonsense(row: Exchange) -> Finding:
    """Words that repeat themselves over and over, or signs that are no words."""
    words = [word for word in WORD.findall(row.output.lower()) if len(word) > 1]
    for size in (1, 2, 3):
        grams = Counter(zip(*(words[start:] for start in range(size)), strict=False))
        gram, count = grams.most_common(1)[0] if grams else ((), 0)
        if count >= LEAST_REPEATED and count * size > MOST_REPEATED * len(words):
            return f"{' '.join(gram)} ({count} times)"
    for text in (row.instruction, row.output):
        plain = TABLE.sub("", text)
        letters = sum(sign.isalnum() for sign in plain)
        signs = sum(not (sign.isalnum() or sign.isspace()) for sign in plain)
        if len(plain) >= 20 and signs > letters and not CODE.search(plain):
            return text[:40]
    unspeakable = [word for word in words if len(word) > 5 and word.isascii() and not re.search("[aeiouy]", word)]
    return unspeakable[0] if len(unspeakable) > 2 and len(unspeakable) > 0.2 * len(words) else None


def control_characters(row: Exchange) -> Finding:
    """Signs that print nothing."""
    found = CONTROL.search(f"{row.instruction}{row.input}{row.output}")
    return f"U+{ord(found[0]):04X}" if found else None


def _part(found: re.Match[str] | None) -> Finding:
    return found[0].strip()[:80] if found else None
