"""How are instructions read that others wrote? JSON, JSONL and parquet in Alpaca's schema, row by row (notebook 12).

Files are read as a stream, so that a gigabyte needs no gigabyte of memory; what is wrong with a row is said with its
number, and the other rows are read all the same.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

from course_lib.data.alpaca_format import Conversation, Exchange, segments

KEYS = ("instruction", "input", "output")
CHARACTERS_AT_ONCE = 1 << 16
LONGEST_ROW = 1 << 24  # characters; what is longer is no row but a file that lost a bracket
ROWS_AT_ONCE = 1_000
SPACES, BETWEEN_ROWS = re.compile(r"[ \t\r\n]*"), re.compile(r"[ \t\r\n,]*")


class UnreadableFile(ValueError):  # noqa: N818 - it reads as what is wrong
    """A file that cannot be read on; the message says where and why."""


@dataclass(frozen=True)
class RowFault:
    """What is wrong with one row, counted from 1 (in JSONL: the line)."""

    row: int
    what: str


@dataclass(frozen=True)
class AlpacaFile:
    """What a file held: usable rows, each with its number, and the others' faults."""

    conversations: list[Conversation]
    numbers: list[int]
    faults: list[RowFault]


def read_alpaca(path: Path | str) -> AlpacaFile:
    """All rows of a .json, .jsonl or .parquet file with the columns instruction, input and output.

    The input may be missing or null. Raises UnreadableFile for another ending, and for a file that breaks off, has
    another encoding than UTF-8, or is no JSON; FileNotFoundError for none.
    """
    conversations, numbers, faults = [], [], []
    for number, row in rows_of(Path(path)):
        try:
            conversations.append(conversation_of(row))
            numbers.append(number)
        except ValueError as error:
            faults.append(RowFault(number, str(error)))
    return AlpacaFile(conversations, numbers, faults)


def rows_of(path: Path) -> Iterator[tuple[int, Any]]:
    """Each row with its number, as the file has it. Raises UnreadableFile."""
    readers = {".json": _json_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise UnreadableFile(f"{path.name} ends in {path.suffix!r}; expected {', '.join(readers)}")
    return readers[path.suffix](path)


def conversation_of(row: Any) -> Conversation:
    """The exchange in a row. Raises ValueError, saying what is missing, and UnusableInstruction for empty texts."""
    if isinstance(row, ValueError):
        raise row
    if not isinstance(row, Mapping):
        raise ValueError(f"is {_short(row)}; expected an object with the keys {', '.join(KEYS)}")
    missing = [key for key in ("instruction", "output") if row.get(key) is None]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}; its keys are {', '.join(map(str, row)) or 'none'}")
    texts: list[Any] = [row.get(key) if row.get(key) is not None else "" for key in KEYS]
    for key, text in zip(KEYS, texts, strict=True):
        if not isinstance(text, str):
            raise ValueError(f"has {_short(text)} as {key}; expected a text")
    exchange = Exchange(texts[0], texts[1], texts[2])
    segments([exchange])  # refuses what the template cannot hold
    return Conversation((exchange,), f"{exchange.instruction}\n{exchange.input}")


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                yield number, ValueError(f"is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8")
            except json.JSONDecodeError as error:
                yield number, ValueError(f"is no JSON: {error}")


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The elements of one large array, decoded one by one while the file is read."""
    decoder = json.JSONDecoder()
    text, at, number, whole = "", 0, -1, False  # what was read, up to where it is used; -1: the list has not begun
    with path.open(encoding="utf-8-sig") as file:
        while True:
            found = BETWEEN_ROWS.match(text, at) if number > 0 else SPACES.match(text, at)
            at = found.end() if found else at
            missing = "more is needed"
            if number < 0 and at < len(text):
                if text[at] != "[":
                    raise UnreadableFile(f"{path.name} begins with {text[at]!r}; expected '[', a list of rows")
                at, number = at + 1, 0
                continue
            if number >= 0 and text.startswith("]", at):
                return
            if number >= 0 and at < len(text):
                try:
                    row, end = decoder.raw_decode(text, at)
                except json.JSONDecodeError as error:
                    missing = error.msg
                else:
                    if end < len(text) or whole:  # at the very end, a number could go on
                        number, at = number + 1, end
                        yield number, row
                        continue
            if whole or len(text) - at > LONGEST_ROW:
                raise UnreadableFile(
                    f"{path.name} is no whole JSON list: after row {max(number, 0)} comes {_short(text[at:])} "
                    f"({missing}); the file is cut off or damaged"
                )
            text, at = text[at:], 0
            try:
                more = file.read(max(CHARACTERS_AT_ONCE, len(text)))
            except UnicodeDecodeError as error:
                raise UnreadableFile(
                    f"{path.name} is not UTF-8 ({error.reason}), after row {max(number, 0)}; save it as UTF-8"
                ) from None
            text, whole = text + more, not more


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        file = pyarrow.parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableFile(f"{path.name} is no whole parquet file: {error}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
