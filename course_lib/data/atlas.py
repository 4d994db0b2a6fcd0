"""Where do documents come from whose answers nobody can know by heart? The Atlas QA sets (notebooks 09 and 10).

Three sets, made on the spot from CLDR's names: single questions about a fact sheet, some without an answer there, in
the manner of SQuAD 2.0; conversations whose questions lean on earlier ones, in the manner of CoQA; and a small set of
conversations on a domain of its own, languages, as TryoCoQA is for Tryolabs' blog posts. All facts are drawn anew for
each sheet. Countries (languages) of the validation and test splits occur in no sheet of the train split.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import babel
import pyarrow
from babel.core import get_cldr_version
from datasets import Dataset, DatasetDict, DatasetInfo, Features, List, Value

from course_lib.data.atlas_facts import SPLITS, Domain, countries, languages
from course_lib.data.atlas_sheets import Sheet, draw_sheet
from course_lib.data.atlas_talk import Manner, Turn, draw_conversation, single_question

GENERATOR_VERSION = 1  # raise it whenever the same arguments give other sets
QUESTIONS_OF_A_SHEET = 5
FEATURES = Features(
    {
        "id": Value("string"),
        "context": Value("string"),
        "question": Value("string"),
        "answers": List(Value("string")),
        "history": List(List(Value("string"))),
        "kind": Value("string"),
        "needs": Value("int32"),
        "places": Value("int32"),
    }
)

Row = dict[str, Any]


def single_questions(
    train: int = 4_000,
    validation: int = 400,
    test: int = 400,
    seed: int = 0,
    *,
    places: Sequence[int] = (1, 2, 3),
    facts: tuple[int, int] = (5, 8),
    unknown: float = 0.2,
    reverse: float = 0.1,
) -> DatasetDict:
    """Questions that stand alone, five to a sheet; of a share `unknown` the sheet does not tell the answer.

    Columns: `id`, `context` (the sheet), `question`, `answers` (none if the sheet does not tell it), `history` (empty),
    `kind` ("full", or "reverse": which country has this value?), `needs` (0), `places` (countries of the sheet).

    places: how many countries a sheet has, drawn evenly; facts: fewest and most statements of each country.
    Deterministic by the seed. Raises ValueError for sizes or counts that are not possible.
    """
    manner = Manner(unknown=unknown, reverse=reverse)

    def ask(sheet: Sheet, count: int, random: Random, manner: Manner) -> list[Turn]:
        return [single_question(sheet, random, manner) for _ in range(count)]

    sizes = {"train": train, "validation": validation, "test": test}
    return _sets("single", countries(), sizes, seed, places, facts, manner, ask, QUESTIONS_OF_A_SHEET)


def conversations(
    train: int = 4_000,
    validation: int = 400,
    test: int = 400,
    seed: int = 0,
    *,
    places: Sequence[int] = (3, 4),
    facts: tuple[int, int] = (5, 8),
    turns: int = 8,
    unknown: float = 0.1,
    follow_up: float = 0.75,
    check: float = 0.05,
    reach: int = 2,
) -> DatasetDict:
    """Conversations of `turns` questions about a sheet; the sizes count questions.

    Columns as in `single_questions`. `answers` is ["unknown"] where the sheet does not tell it, as in CoQA; `history`
    holds all earlier pairs of question and answer, the oldest first; `needs` says how many pairs back one has to read
    to understand the question: 0 for "What is the currency of Chad?", at least 1 for "And its script?" and "And
    Peru?" (kinds "same place" and "same attribute"). reach: the most that a question may need.
    """
    manner = Manner(unknown=unknown, follow_up=follow_up, check=check, reach=reach)
    sizes = {"train": train, "validation": validation, "test": test}
    return _sets("talk", countries(), sizes, seed, places, facts, manner, draw_conversation, turns)


def own_conversations(
    train: int = 340, validation: int = 60, test: int = 120, seed: int = 0, *, places: Sequence[int] = (2, 3)
) -> DatasetDict:
    """The small set on another domain: an atlas of languages, 85 % and 15 % for training and choosing.

    As `conversations`, but about languages: their script, home, writing direction, word for Monday. None of these
    questions is in the atlas of countries.
    """
    sizes = {"train": train, "validation": validation, "test": test}
    return _sets("own", languages(), sizes, seed, places, (4, 7), Manner(unknown=0.1), draw_conversation, 6)


def version() -> str:
    """Names what the sets depend on besides the arguments: this generator, Babel and its CLDR data."""
    return f"Atlas QA {GENERATOR_VERSION} (Babel {babel.__version__}, CLDR {get_cldr_version()})"


def _sets(
    name: str,
    domain: Domain,
    sizes: dict[str, int],
    seed: int,
    places: Sequence[int],
    facts: tuple[int, int],
    manner: Manner,
    ask: Callable[[Sheet, int, Random, Manner], list[Turn]],
    questions_of_a_sheet: int,
) -> DatasetDict:
    most = min(len(domain.subjects[split]) for split in SPLITS)
    if not places or any(not 1 <= count <= most for count in places):
        raise ValueError(f"places is {tuple(places)}; expected how many subjects a sheet has, each from 1 to {most}")
    if any(size < 1 for size in sizes.values()):
        raise ValueError(f"the sizes are {sizes}; each split needs at least 1 question")
    made = {}
    for split, size in sizes.items():
        rows: list[Row] = []
        sheets = _sheets(domain, split, places, facts, Random(f"{seed} {name} {split}"))
        of_split = replace(manner, outsiders=domain.subjects[split])
        while len(rows) < size:
            sheet, random = next(sheets)
            turns = ask(sheet, questions_of_a_sheet, random, of_split)
            rows += _rows(f"{name}-{split}-{len(rows)}", sheet, turns, talk=name != "single")
        info = DatasetInfo(description=f"{domain.name}: {name}, {version()}", features=FEATURES)
        # Straight to Arrow: Dataset.from_list takes longer than all the generating.
        made[split] = Dataset(pyarrow.Table.from_pylist(rows[:size], schema=FEATURES.arrow_schema), info=info)
    return DatasetDict(made)


def _sheets(
    domain: Domain, split: str, places: Sequence[int], facts: tuple[int, int], random: Random
) -> Iterator[tuple[Sheet, Random]]:
    while True:
        chosen = random.sample(domain.subjects[split], random.choice(list(places)))
        yield draw_sheet(domain, chosen, random, facts), random


def _rows(sheet_name: str, sheet: Sheet, turns: Sequence[Turn], talk: bool) -> list[Row]:
    pairs = [[turn.question, turn.answer] for turn in turns]
    return [
        {
            "id": f"{sheet_name}-{number}",
            "context": sheet.text,
            "question": turn.question,
            "answers": [turn.answer] if talk or turn.answerable else [],
            "history": pairs[:number] if talk else [],
            "kind": turn.kind,
            "needs": turn.needs,
            "places": len(sheet.facts),
        }
        for number, turn in enumerate(turns)
    ]
