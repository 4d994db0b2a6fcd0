"""What does a document look like whose every fact was made up? Sheets of statements, and the facts behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from course_lib.data.atlas_facts import Domain

SYLLABLES = (
    *("ba", "be", "bo", "da", "dor", "du", "el", "fa", "fi", "gan", "go", "gri", "ha", "hol", "il", "ja", "ju", "ka"),
    *("ke", "kir", "la", "lem", "lo", "ma", "mi", "mon", "na", "nel", "no", "or", "pa", "per", "qui", "ra", "ri"),
    *("ros", "sa", "sel", "shi", "ta", "tem", "to", "tur", "u", "va", "ven", "wa", "xo", "ya", "zan", "ze", "zu"),
)


@dataclass(frozen=True)
class Sheet:
    """A document: its text, and for each subject what it says of it (the number of an attribute -> the value)."""

    domain: Domain
    text: str
    facts: dict[str, dict[int, str]]

    def places_with(self, attribute: int, value: str) -> list[str]:
        """The subjects of which the sheet says so."""
        return [place for place, of_place in self.facts.items() if of_place.get(attribute) == value]


def draw_sheet(
    domain: Domain,
    places: Sequence[str],
    random: Random,
    facts: tuple[int, int] = (5, 8),
    invented_values: float = 0.0,
) -> Sheet:
    """A sheet of the given subjects, each with from facts[0] to facts[1] statements in any order.

    Every statement names its subject. invented_values: the share of values that are made-up words instead, so that
    a model in training has to copy what stands there.
    Raises ValueError for no subject, the same one twice, or more facts than there are attributes.
    """
    fewest, most = facts
    if not 1 <= fewest <= most <= len(domain.attributes):
        raise ValueError(
            f"facts is {facts}; expected (fewest, most) statements of a subject, from 1 to {len(domain.attributes)}"
        )
    if not places or len(set(places)) < len(places):
        raise ValueError(f"places is {tuple(places)}; expected one or more subjects, each once")
    known: dict[str, dict[int, str]] = {}
    statements = []
    for place in places:
        of_place = {}
        for number in random.sample(range(len(domain.attributes)), random.randint(fewest, most)):
            attribute = domain.attributes[number]
            invented = attribute.free and random.random() < invented_values
            of_place[number] = value = invented_name(random) if invented else random.choice(attribute.values)
            statements.append(random.choice(attribute.statements).format(place=place, value=value))
        known[place] = of_place
    return Sheet(domain, " ".join(statements), known)


def invented_name(random: Random) -> str:
    """A word that is in no atlas, such as "Tekirlo"."""
    return "".join(random.choices(SYLLABLES, k=random.randint(2, 4))).capitalize()
