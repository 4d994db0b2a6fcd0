"""What is a model tuned on to follow instructions? Exactly checkable tasks, conversations and docstrings (notebook 12).

No split knows another's content: a list of words that is reversed in training is neither sorted nor counted, in any
order, in a test. Docstrings keep the splits of `pydocs`, which go by module.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from random import Random

from datasets import Dataset, DatasetDict, Features, List, Value

from course_lib.data.alpaca_format import Conversation, Exchange
from course_lib.data.checkable_tasks import TASKS
from course_lib.data.list_conversations import draw_list_conversation
from course_lib.data.pydoc_instructions import Row, pydoc_conversations

INSTRUCTIONS_VERSION = 1  # raise it whenever the same seed gives other rows
SPLITS = ("train", "validation", "test")
HELD_OUT = {"validation": 0.05, "test": 0.1}  # shares of all contents
SHARES = {"tasks": 0.6, "conversations": 0.25, "pydocs": 0.15}
MOST_TRIES = 2_000  # drawings for one row; a task with few contents runs dry in a held-out split
FEATURES = Features(
    {
        "exchanges": List(
            {name: Value("string") for name in ("instruction", "input", "output", "task")}
            | {"checkable": Value("bool")}
        ),
        "content": Value("string"),
    }
)


def split_of(content: str) -> str:
    """The split that a content belongs to, in whatever task, on every machine and in every run."""
    digest = hashlib.blake2b(f"instructions {content}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    for split, size in HELD_OUT.items():
        if share < size:
            return split
        share -= size
    return "train"


def task_conversations(split: str, count: int, seed: int = 0) -> list[Conversation]:
    """`count` instructions of one turn, of all checkable tasks in turn; no two with the same text in a held-out split.

    A task whose contents are used up in a held-out split is left out from then on. Raises ValueError for no such split.
    """
    _refuse_unknown(split)
    random = Random(f"tasks {split} {seed}")

    def drawing(number: int) -> Callable[[], Conversation]:
        task = TASKS[number]

        def draw() -> Conversation:
            drawn = task.draw(random)
            if split_of(drawn.content) != split:
                return NOT_HERE
            return Conversation((task.exchange(drawn, random),), drawn.content)

        return draw

    return _collected([drawing(number) for number in range(len(TASKS))], split, count)


def list_conversations(split: str, count: int, seed: int = 0) -> list[Conversation]:
    """`count` conversations of two to four turns about a list. Raises ValueError for no such split."""
    _refuse_unknown(split)
    random = Random(f"conversations {split} {seed}")

    def draw() -> Conversation:
        drawn = draw_list_conversation(random)
        return drawn if split_of(drawn.content) == split else NOT_HERE

    return _collected([draw], split, count)


def mixture(split: str, count: int, documents: Iterable[Row] = (), seed: int = 0) -> list[Conversation]:
    """About `count` rows in the shares of `SHARES`, shuffled; without documents, tasks and conversations alone.

    `documents` are rows of this split of `pydocs`. Few documents give fewer rows. Raises ValueError for a count below
    1 and no such split.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    random = Random(f"mixture {split} {seed}")
    about_documents = list(pydoc_conversations(documents, random))
    random.shuffle(about_documents)
    rows = about_documents[: round(SHARES["pydocs"] * count)]
    left = count - round(SHARES["pydocs"] * count) if rows else count
    conversations = round(left * SHARES["conversations"] / (SHARES["conversations"] + SHARES["tasks"]))
    rows += list_conversations(split, conversations, seed) if conversations else []
    rows += task_conversations(split, left - conversations, seed) if left > conversations else []
    random.shuffle(rows)
    return rows


def load_instructions(
    counts: Mapping[str, int], documents: Mapping[str, Iterable[Row]] | None = None, seed: int = 0
) -> DatasetDict:
    """The mixture of each split in `counts` as a DatasetDict: columns `exchanges` and `content`.

        load_instructions({"train": 20_000, "test": 500}, pydocs.load_pydocs())

    The same counts, documents and seed give the same rows.
    """
    return DatasetDict(
        {split: as_dataset(mixture(split, n, (documents or {}).get(split, ()), seed)) for split, n in counts.items()}
    )


def as_dataset(conversations: Sequence[Conversation]) -> Dataset:
    """Conversations as rows; `conversations_of` is the way back."""
    columns = {
        "exchanges": [[asdict(exchange) for exchange in each.exchanges] for each in conversations],
        "content": [each.content for each in conversations],
    }
    return Dataset.from_dict(columns, features=FEATURES)


def conversations_of(rows: Iterable[Mapping]) -> Iterator[Conversation]:
    """The conversations in a dataset's rows."""
    for row in rows:
        yield Conversation(tuple(Exchange(**exchange) for exchange in row["exchanges"]), row["content"])


def text_hash(conversations: Iterable[Conversation]) -> str:
    """Twelve hexadecimal digits that change with any text and its place."""
    digest = hashlib.sha256()
    for conversation in conversations:
        for exchange in conversation.exchanges:
            digest.update(f"{exchange.instruction}\0{exchange.input}\0{exchange.output}\1".encode())
        digest.update(b"\2")
    return digest.hexdigest()[:12]


NOT_HERE = Conversation(())  # what was drawn belongs to another split


def _collected(drawings: Sequence[Callable[[], Conversation]], split: str, count: int) -> list[Conversation]:
    """Rows from the drawings in turn, until there are enough or all have run dry."""
    rows: list[Conversation] = []
    seen: set[tuple[Exchange, ...]] = set()
    alive = list(drawings)
    while alive and len(rows) < count:
        for draw in list(alive):
            if len(rows) == count:
                break
            for _ in range(MOST_TRIES):
                drawn = draw()
                if drawn is NOT_HERE or (split != "train" and drawn.exchanges in seen):
                    continue
                seen.add(drawn.exchanges)
                rows.append(drawn)
                break
            else:
                alive.remove(draw)
    return rows


def _refuse_unknown(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
