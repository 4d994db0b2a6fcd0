"""How often is a cleaning rule right? Rows into which each fault was put on purpose, and rows without (notebook 12).

The faults come in several forms, some of which no rule here can see: recall is to be measured, not to be perfect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from course_lib.data.alpaca_format import Exchange
from course_lib.data.cleaning import RULES

Spoil = Callable[[Exchange, Random], Exchange]


@dataclass(frozen=True)
class RuleScore:
    """Of what a rule found, the share that was there (precision); of what was there, the share it found (recall)."""

    found: int
    there: int
    right: int

    @property
    def precision(self) -> float:
        """1 if it found nothing: then nothing was wrong."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """1 if there was nothing to find."""
        return self.right / self.there if self.there else 1.0


def _url(row: Exchange, random: Random) -> Exchange:
    address = random.choice(("https://www.pythonfacts.org/a/81", "http://bit.ly/2xQ", "www.nature-of-lists.net/page"))
    if random.random() < 0.5:
        return replace(row, output=f"{row.output} (see {address})")
    return Exchange(f"Summarise this article. {address}", "", "The article says that lists are useful.")


def _merged(row: Exchange, random: Random) -> Exchange:
    number = random.randint(2, 20)
    forms = ("\n\n{0}. Instruction: Name three birds.", "\n###\n{0}. Instruction:\nSay it.", "\n{0}) Task: Sing.")
    return replace(row, output=row.output + random.choice(forms).format(number))


def _empty(row: Exchange, random: Random) -> Exchange:
    return replace(row, output=random.choice(("", " ", "\n\n", "\t")))


def _code(row: Exchange, random: Random) -> Exchange:
    asked, answer = random.choice(
        (
            ("Write a Python function that adds two numbers.", "The function takes two numbers and adds them."),
            ("Create a SQL query for all users.", "You can find all users in the table of users."),
            ("Generate a regular expression for dates.", "Dates have a day, a month and a year."),
            ("Sort a list in Java.", "You can sort it with the library."),  # no word asks for code
        )
    )
    return Exchange(asked, "", answer)


def _image(row: Exchange, random: Random) -> Exchange:
    forms = ("Draw a cat.", "Create an image of a lion.", "Please design a logo for a shop.", "I want a moon in oil.")
    return Exchange(random.choice(forms), "", "Here is what you asked for.")


def _not_applicable(row: Exchange, random: Random) -> Exchange:
    forms = ("N/A", "n/a.", "[Not applicable]", "None", "There is no answer to that.")
    return replace(row, output=random.choice(forms))


def _no_input(row: Exchange, random: Random) -> Exchange:
    forms = ("No input", "<noinput>", "[no input]", "N/A", "no input required", "nothing")
    return replace(row, input=random.choice(forms))


def _wrong(row: Exchange, random: Random) -> Exchange:
    first, second = random.randint(2, 90), random.randint(2, 90)
    wrong = first + second + random.choice((-10, -1, 1, 10))
    asked, answer = random.choice(
        (
            (f"What is {first} + {second}?", str(wrong)),
            (f"Add {first} and {second}.", f"{first} + {second} = {wrong}"),
            (f"Lea has {first} pens and gets {second}. How many are there?", f"{wrong} pens"),
        )
    )
    return Exchange(asked, "", answer)


def _nonsense(row: Exchange, random: Random) -> Exchange:
    letters = "Xkcdfg qwrtzp plmknb bvcxsd are hjklmn."
    forms = ("very good " * 12, "##@@ !!%% ~~^^ ((*& $$", letters, "Green ideas sleep furiously.")
    return replace(row, output=random.choice(forms))


def _control(row: Exchange, random: Random) -> Exchange:
    sign = random.choice("\x00\x08\x1b\u200b\u202e\ufffd")
    part = random.choice(("instruction", "output"))
    text = getattr(row, part)
    place = random.randint(0, len(text))
    return replace(row, **{part: text[:place] + sign + text[place:]})


SPOILERS: dict[str, Spoil] = {
    "control characters": _control,
    "inconsistent no input": _no_input,
    "merged instructions": _merged,
    "empty output": _empty,
    "N/A output": _not_applicable,
    "image request": _image,
    "hallucinated URL": _url,
    "missing code": _code,
    "wrong answer": _wrong,
    "nonsense": _nonsense,
}


def with_known_faults(
    rows: Sequence[Exchange], share: float = 0.5, seed: int = 0
) -> tuple[list[Exchange], list[str | None]]:
    """The rows, each with one fault at this probability, and the names of the faults; None where there is none.

    The rows given are taken to be without fault. Raises ValueError for a share that is none.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    random = Random(f"faults {seed}")
    spoiled, names = [], []
    for row in rows:
        name = random.choice(list(SPOILERS)) if random.random() < share else None
        spoiled.append(SPOILERS[name](row, random) if name else row)
        names.append(name)
    return spoiled, names


def rule_scores(rows: Sequence[Exchange], faults: Sequence[str | None]) -> dict[str, RuleScore]:
    """Each rule's precision and recall on rows whose faults are known, whatever other rules say of them.

    Raises ValueError for another number of faults than of rows.
    """
    if len(rows) != len(faults):
        raise ValueError(f"needs a fault, or None, for each row; got {len(rows)} rows and {len(faults)}")
    scores = {}
    for rule in RULES:
        found = [rule.find(row) is not None for row in rows]
        there = [fault == rule.name for fault in faults]
        right = sum(one and other for one, other in zip(found, there, strict=True))
        scores[rule.name] = RuleScore(sum(found), sum(there), right)
    return scores
