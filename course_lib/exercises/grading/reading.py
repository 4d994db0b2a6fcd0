"""What does a file that was handed in say? Whatever it holds, it is read without being trusted."""

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST_FILE = 50 * 2**20
LARGEST_CODE = 2 * 2**20
REPORTED = "application/vnd.course.exercise+json"


@dataclass
class Unreadable(Exception):  # noqa: N818 - it reads as what happened
    """A file that cannot be graded. error_class: one of the table's words; text: what is wrong, and what would help."""

    error_class: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Cell:
    """A cell as it was handed in. grade_id: nbgrader's name of it, or ""."""

    kind: str
    source: str
    grade_id: str = ""
    graded: bool = False


@dataclass(frozen=True)
class Notebook:
    """What a notebook says: its cells, the exercise its metadata names, and what its outputs report of hints."""

    cells: tuple[Cell, ...]
    exercise: str = ""
    reported: tuple[dict[str, Any], ...] = field(default=(), compare=False)


def read_bytes(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """The content of an ordinary file; no link at its end is followed. Raises Unreadable."""
    try:
        # O_NONBLOCK: a named pipe must not hold up the class.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Unreadable("not a notebook", f"the file cannot be opened: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        information = os.fstat(handle)
        if not stat.S_ISREG(information.st_mode):
            raise Unreadable("not a notebook", "this is no ordinary file")
        if information.st_size > largest:
            raise too_large(information.st_size, largest)
        try:
            content = file.read(largest + 1)
        except OSError as error:
            raise Unreadable("not a notebook", f"the file cannot be read: {error.strerror}") from None
    if len(content) > largest:
        raise too_large(len(content), largest)
    return content


def too_large(size: int, largest: int) -> Unreadable:
    """What is said of a file above the bound."""
    return Unreadable(
        "too large",
        f"the file has {size / 2**20:.0f} MiB, more than {largest / 2**20:.0f}; clear the outputs and hand it in again",
    )


def read_notebook(content: bytes) -> Notebook:
    """The notebook in `content`. Raises Unreadable for anything that is not a whole notebook of format 4."""
    document = _document(_text(content))
    version = document.get("nbformat")
    if isinstance(version, int) and not isinstance(version, bool) and version != 4:
        remedy = "open it in JupyterLab and save it again" if version < 4 else "save it in notebook format 4"
        raise Unreadable("old format", f"this is notebook format {version}, not 4; {remedy}")
    cells = document.get("cells")
    if version != 4 or not isinstance(cells, list):
        raise Unreadable("not a notebook", "this is JSON, but not a notebook: it has no nbformat 4 and list of cells")
    read = tuple(_cell(cell) for cell in cells if isinstance(cell, dict))
    size = sum(len(cell.source) for cell in read)
    if size > LARGEST_CODE:
        raise Unreadable("too large", f"the cells hold {size / 2**20:.0f} MiB of text, more than any exercise needs")
    course = _dict(_dict(document.get("metadata")).get("course"))
    exercise = course.get("exercise")
    return Notebook(read, exercise if isinstance(exercise, str) else "", tuple(_reported(cells)))


def _text(content: bytes) -> str:
    if not content.strip(b" \t\r\n\0"):
        raise Unreadable("empty file", "the file is empty; save the notebook before you hand it in")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:4]:
        raise Unreadable("wrong encoding", "the file is UTF-16 or UTF-32, not UTF-8; save it again from JupyterLab")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not content.lstrip()[:1] == b"{":
            raise Unreadable("not a notebook", "the file is not text, so it is no notebook") from None
        text = f"the file is not UTF-8 (byte {error.start}); save it again from JupyterLab"
        raise Unreadable("wrong encoding", text) from None


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        if not text.lstrip().startswith("{"):
            raise Unreadable("not a notebook", "the file is not a notebook: it does not begin with {") from None
        cut = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        what = "the file breaks off in the middle" if cut else "the file is damaged"
        raise Unreadable("damaged file", f"{what} (line {error.lineno}: {error.msg}); hand it in again") from None
    except (ValueError, RecursionError):
        raise Unreadable("damaged file", "the file is nested too deeply or holds absurd numbers") from None
    if not isinstance(document, dict):
        raise Unreadable("not a notebook", "this is JSON, but not a notebook")
    return document


def _cell(cell: dict[str, Any]) -> Cell:
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    nbgrader = _dict(_dict(cell.get("metadata")).get("nbgrader"))
    grade_id, kind = nbgrader.get("grade_id"), cell.get("cell_type")
    return Cell(
        kind if kind in ("code", "markdown", "raw") else "raw",
        # A lone surrogate can stand in JSON, but in no file that we write.
        source.encode("utf-8", "replace").decode() if isinstance(source, str) else "",
        grade_id if isinstance(grade_id, str) else "",
        nbgrader.get("grade") is True,
    )


def _reported(cells: list[Any]) -> list[dict[str, Any]]:
    found = []
    for cell in cells:
        outputs = cell.get("outputs") if isinstance(cell, dict) else None
        for output in outputs if isinstance(outputs, list) else []:
            said = _dict(_dict(output).get("data")).get(REPORTED)
            if isinstance(said, dict):
                found.append(said)
    return found[:10_000]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
