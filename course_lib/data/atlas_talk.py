"""How do people ask on? Single questions about a sheet, and conversations whose questions lean on earlier ones.

"What is the currency of Chad?" stands alone; "And its script?" needs to know whom we speak of; "And Peru?" needs to
know what was asked. Each turn says how many pairs back the missing part is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from course_lib.data.atlas_sheets import Sheet

UNKNOWN = "unknown"  # CoQA's answer to what the document does not say
SAME_PLACE = ("And its {noun}?", "What is its {noun}?", "What about its {noun}?")
SAME_ATTRIBUTE = ("And {place}?", "What about {place}?", "And for {place}?")
KINDS = ("full", "reverse", "check", "same place", "same attribute")


@dataclass(frozen=True)
class Turn:
    """A question and its answer. needs: how many pairs back one must read to understand it, 0 if it stands alone.

    place and attribute: what it is about (attribute: its number in the sheet's domain).
    """

    question: str
    answer: str
    kind: str
    needs: int
    place: str
    attribute: int

    @property
    def answerable(self) -> bool:
        return self.answer != UNKNOWN


@dataclass(frozen=True)
class Manner:
    """How often what is asked. unknown: share of questions that the sheet does not answer. follow_up: share of later
    turns that lean on earlier ones. reverse and check: shares of the questions that stand alone. reach: how many
    pairs back a question may lean. outsiders: subjects to ask in vain about.
    """

    unknown: float = 0.15
    follow_up: float = 0.75
    reverse: float = 0.1
    check: float = 0.0
    reach: int = 2
    outsiders: tuple[str, ...] = ()


def single_question(sheet: Sheet, random: Random, manner: Manner) -> Turn:
    """A question that stands alone."""
    place, attribute = _draw_fact(sheet, random, manner)
    return _alone(sheet, place, attribute, random, manner)


def draw_conversation(sheet: Sheet, turns: int, random: Random, manner: Manner) -> list[Turn]:
    """So many questions, asked one after the other; the first stands alone."""
    talk: list[Turn] = []
    while len(talk) < turns:
        follow_up = _follow_up(sheet, talk, random, manner) if talk and random.random() < manner.follow_up else None
        turn = follow_up or single_question(sheet, random, manner)
        if all(turn.question != earlier.question for earlier in talk[-3:]):
            talk.append(turn)
    return talk


def _draw_fact(sheet: Sheet, random: Random, manner: Manner, place: str | None = None) -> tuple[str, int]:
    """A subject and an attribute that the sheet speaks of, or (as often as `unknown` says) does not."""
    everything = range(len(sheet.domain.attributes))
    if random.random() < manner.unknown:
        if place is None and manner.outsiders and random.random() < 0.3:
            outsider = random.choice(manner.outsiders)
            if outsider not in sheet.facts:
                return outsider, random.choice(everything)
        place = place or random.choice(list(sheet.facts))
        unsaid = [number for number in everything if number not in sheet.facts[place]]
        if unsaid:
            return place, random.choice(unsaid)
    place = place or random.choice(list(sheet.facts))
    return place, random.choice(list(sheet.facts[place]))


def _alone(sheet: Sheet, place: str, number: int, random: Random, manner: Manner) -> Turn:
    attribute = sheet.domain.attributes[number]
    value = sheet.facts.get(place, {}).get(number)
    lot = random.random()
    if value is not None and lot < manner.reverse:
        if attribute.reverse_questions and len(sheet.places_with(number, value)) == 1 and len(sheet.facts) > 1:
            question = random.choice(attribute.reverse_questions).format(kind=sheet.domain.kind, value=value)
            return Turn(question, place, "reverse", 0, place, number)
    elif value is not None and attribute.checks and lot < manner.reverse + manner.check:
        supposed = value if random.random() < 0.5 else random.choice(attribute.values)
        question = random.choice(attribute.checks).format(place=place, value=supposed)
        return Turn(question, "yes" if supposed == value else "no", "check", 0, place, number)
    question = random.choice(attribute.questions).format(place=place)
    return Turn(question, value or UNKNOWN, "full", 0, place, number)


def _follow_up(sheet: Sheet, talk: Sequence[Turn], random: Random, manner: Manner) -> Turn | None:
    """A question that leans on the last turn, and through it perhaps on earlier ones; None if none is possible."""
    last = talk[-1]
    others = [place for place in sheet.facts if place != last.place]
    if others and random.random() < 0.5 and last.kind not in ("check", "reverse"):
        needs = 1 + _turns_since_named(talk, "same attribute")
        place = random.choice(others)
        value = sheet.facts[place].get(last.attribute)
        if value is None and random.random() > manner.unknown:
            return None
        question = random.choice(SAME_ATTRIBUTE).format(place=place)
        turn = Turn(question, value or UNKNOWN, "same attribute", needs, place, last.attribute)
    else:
        if last.place not in sheet.facts:
            return None
        needs = 1 + _turns_since_named(talk, "same place")
        place, number = _draw_fact(sheet, random, manner, last.place)
        if number == last.attribute:
            return None
        noun = sheet.domain.attributes[number].noun
        question = random.choice(SAME_PLACE).format(noun=noun)
        turn = Turn(question, sheet.facts[place].get(number, UNKNOWN), "same place", needs, place, number)
    return turn if turn.needs <= manner.reach else None


def _turns_since_named(talk: Sequence[Turn], kind: str) -> int:
    """How many turns at the end do not name the thing themselves, because they are of this kind."""
    count = 0
    for turn in reversed(talk):
        if turn.kind != kind:
            break
        count += 1
    return count
