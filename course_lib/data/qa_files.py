"""Where are the field's own questions? SQuAD 2.0, CoQA and TryoCoQA, from their files, with the atlas's columns.

Questions that stand alone, some without an answer (Rajpurkar, Jia & Liang 2018); conversations about a text, with
several people's answers (Reddy, Chen & Manning 2019); Tryolabs' conversations about its blog posts (2022). The project
carries none of them. Notebooks 09 and 10, gpu profile.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
from datasets import Dataset, DatasetDict, DatasetInfo, Features, List, Value

from course_lib.data import mirror

# github.com/chrischute/squad at 85623ade: half of the official development set, 16 articles.
SQUAD2_FILE = ("squad2/dev-v2.0.json", "e67e5969b6dc6c1642154740806b79263b77fc048c7c11ee60d534eb48ef81e8")
# github.com/tryolabs/TryoCoQA at 8f3bea88
TRYOCOQA_FILE = ("tryocoqa/tryocoqa_v1.json", "430bb2b06c8b6015c26a4e5043fca96a63ec6c8eeddcd8e391be2fbc9012acf1")
COQA_FILES = {"train": "coqa/coqa-train-v1.0.json", "validation": "coqa/coqa-dev-v1.0.json"}
FEATURES = Features(
    {
        "id": Value("string"),
        "context": Value("string"),
        "question": Value("string"),
        "answers": List(Value("string")),
        "history": List(List(Value("string"))),
        "domain": Value("string"),
    }
)

Row = dict[str, Any]


def load_squad2(file: Path | str | None = None) -> Dataset:
    """The questions of a SQuAD 2.0 file; without one, those of the mirror's folder `squad2`.

    Columns: `id`, `context` (the paragraph), `question`, `answers` (several people's; none if the paragraph does not
    tell it), `history` (empty), `domain` (the article's title).
    Raises FileNotFoundError without the file, ValueError for one that is cut off, or no SQuAD; it names the row.
    """
    path = mirror.locate(*SQUAD2_FILE) if file is None else Path(file)
    return _dataset(_rows_of_squad, path, "SQuAD 2.0")


def load_coqa(file: Path | str) -> Dataset:
    """The turns of a CoQA file. Columns as in `load_squad2`; the mirror's places for the files are in `COQA_FILES`.

    `answers` holds the first person's answer and then the additional ones; `history` all earlier pairs of the first
    person's, the oldest first; `domain` is the source ("mctest", "cnn", ...), as `evaluation.qa.score_coqa` wants it.
    Raises FileNotFoundError without the file, ValueError for one that is cut off, or no CoQA; it names the row.
    """
    return _dataset(_rows_of_coqa, Path(file), "CoQA")


def load_tryocoqa(file: Path | str | None = None) -> Dataset:
    """The turns of TryoCoQA; without a file, those of the mirror's folder `tryocoqa`. Columns as in `load_coqa`.

    `domain` is the number of the blog post. Raises as `load_coqa`.
    """
    path = mirror.locate(*TRYOCOQA_FILE) if file is None else Path(file)
    return _dataset(_rows_of_tryocoqa, path, "TryoCoQA")


def divided(turns: Dataset, share: float = 0.15, seed: int = 0, together: str | None = None) -> DatasetDict:
    """Splits "train" and "validation" with whole conversations, about `share` of the turns for validation.

    A conversation is what has one id before the last "-". together: instead, rows with one value in this column stay
    on one side, such as the "domain" of SQuAD, its article. Raises ValueError if either split would be empty.
    """
    talk_of = turns[together][:] if together else [_talk_of(name) for name in turns["id"]]
    talks = sorted(set(talk_of))
    Random(seed).shuffle(talks)
    chosen: set[str] = set()
    held_out: list[int] = []
    for talk in talks:
        if len(held_out) >= share * len(turns):
            break
        chosen.add(talk)
        held_out += [number for number, other in enumerate(talk_of) if other == talk]
    kept = [number for number, other in enumerate(talk_of) if other not in chosen]
    if not held_out or not kept:
        raise ValueError(
            f"a share of {share} of {len(turns)} turns in {len(talks)} groups leaves one split empty; take "
            "another share, or more conversations"
        )
    return DatasetDict({"train": turns.select(kept), "validation": turns.select(sorted(held_out))})


def _talk_of(name: str) -> str:
    return name.rpartition("-")[0]


def _rows_of_squad(content: Any) -> Iterator[Row]:
    for article in _items(_part(content, "data", list, "the file"), "article"):
        number, entry = article
        for place, paragraph in _items(_part(entry, "paragraphs", list, number), f"{number}, paragraph"):
            context = _part(paragraph, "context", str, place)
            for asked, question in _items(_part(paragraph, "qas", list, place), f"{place}, question"):
                answers = [_part(each, "text", str, asked) for each in _part(question, "answers", list, asked)]
                yield {
                    "id": str(question.get("id", asked)),
                    "context": context,
                    "question": _part(question, "question", str, asked),
                    "answers": [] if question.get("is_impossible") else answers,
                    "history": [],
                    "domain": entry.get("title", ""),
                }


def _rows_of_coqa(content: Any) -> Iterator[Row]:
    for place, talk in _items(_part(content, "data", list, "the file"), "conversation"):
        questions = [_part(each, "input_text", str, place) for each in _part(talk, "questions", list, place)]
        answers = [[_part(each, "input_text", str, place) for each in _part(talk, "answers", list, place)]]
        for others in talk.get("additional_answers", {}).values():
            answers.append([_part(each, "input_text", str, place) for each in others])
        yield from _turns(place, str(talk.get("id", place)), talk, questions, answers, str(talk.get("source", "")))


def _rows_of_tryocoqa(content: Any) -> Iterator[Row]:
    if not isinstance(content, list):
        raise ValueError(f"the file holds a {type(content).__name__}; expected a list of conversations")
    for place, talk in _items(content, "conversation"):
        questions = _part(talk, "questions", list, place)
        answers = _part(_part(talk, "answers", dict, place), "input_text", list, place)
        name = str(talk.get("conversation_id", place))
        yield from _turns(place, name, talk, questions, [answers], str(talk.get("context_id", "")))


def _turns(
    place: str, name: str, talk: Row, questions: list[str], answers: list[list[str]], domain: str
) -> Iterator[Row]:
    """One row for each question, with all people's answers to it and the first one's pairs before it."""
    story = _part(talk, "story", str, place)
    for given in answers:
        if len(given) != len(questions):
            raise ValueError(f"{place} has {len(questions)} questions and {len(given)} answers; expected one for each")
    pairs = [[question, answer] for question, answer in zip(questions, answers[0], strict=True)]
    for number, question in enumerate(questions):
        yield {
            "id": f"{name}-{number}",
            "context": story,
            "question": question,
            "answers": [given[number] for given in answers],
            "history": pairs[:number],
            "domain": domain,
        }


def _dataset(rows_of: Callable[[Any], Iterator[Row]], path: Path, name: str) -> Dataset:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # also bytes that are no UTF-8
        raise ValueError(f"{path} is no JSON, or cut off ({error}); fetch it again") from error
    try:
        rows = list(rows_of(content))
    except ValueError as error:
        raise ValueError(f"{path} is not {name}: {error}") from error
    if not rows:
        raise ValueError(f"{path} is not {name}: it holds no question")
    table = pyarrow.Table.from_pylist(rows, schema=FEATURES.arrow_schema)
    return Dataset(table, info=DatasetInfo(description=f"{name}, {path.name}", features=FEATURES))


def _items(values: list, what: str) -> Iterable[tuple[str, Any]]:
    return ((f"{what} {number}", value) for number, value in enumerate(values))


def _part(entry: Any, name: str, kind: type, place: str) -> Any:
    """The field of an entry. Raises ValueError, naming the place, if it is missing or of another type."""
    if not isinstance(entry, dict) or not isinstance(entry.get(name), kind):
        found = type(entry.get(name)).__name__ if isinstance(entry, dict) else f"in a {type(entry).__name__}"
        raise ValueError(f"{place}: expected {name!r}, a {kind.__name__}, got {found}")
    return entry[name]
