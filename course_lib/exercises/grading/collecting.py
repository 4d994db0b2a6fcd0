"""Which files were handed in? Walks a folder and the zip files in it, and writes nothing."""

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from course_lib.exercises.grading.reading import LARGEST_FILE, Unreadable, read_bytes, too_large

LARGEST_ZIP = 2**30  # of all that is unpacked of one zip file, zip files within it included
MOST_MEMBERS = 20_000
DEEPEST_ZIP = 2  # a class's zip of students' zips
NOTEBOOK_ENDINGS = (".ipynb", ".ipynb.txt", ".ipynb.json")  # browsers like to append the latter two
PROGRESS_FILE = "progress.jsonl"
LARGEST_PROGRESS = 5 * 2**20


@dataclass(frozen=True)
class File:
    """A file that was handed in. parts: its folders and name below the submissions, as text that can be printed."""

    parts: tuple[str, ...]
    modified: float
    content: bytes | Unreadable

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def place(self) -> str:
        return "/".join(self.parts)

    @property
    def is_notebook(self) -> bool:
        return self.name.lower().endswith(NOTEBOOK_ENDINGS)


def collect(root: Path, leave_out: Path | None = None) -> Iterator[File]:
    """All files below `root` (or `root` itself), one after another; those in zip files as if unpacked beside them.

    Notebooks, zip files and progress files come with their content, of others only the name is taken. Hidden folders,
    checkpoints, and `leave_out` (what the grader writes) are passed over. A link that leads outside comes as
    Unreadable. Zip files are read in memory, so that no name in them can point anywhere.
    """
    if not root.is_dir():
        yield from _opened((_printable(root.name),), root, root.stat().st_mtime)
        return
    inside = root.resolve()
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _passed_over(name) and not (here / name).is_symlink())
        if leave_out is not None and here.resolve() == leave_out.resolve():
            folders.clear()
            continue
        above = tuple(map(_printable, here.relative_to(root).parts))
        for name in sorted(names):
            path, parts = here / name, (*above, _printable(name))
            if _passed_over(name):
                continue
            if path.is_symlink():
                target = path.resolve()
                if not target.is_relative_to(inside) or not target.is_file():
                    reason = "this is a link to a place outside the submissions"
                    yield File(parts, path.lstat().st_mtime, Unreadable("not a notebook", reason))
                    continue
                path = target
            yield from _opened(parts, path, path.lstat().st_mtime)


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in {"__MACOSX", "__pycache__", "node_modules"}


def _printable(name: str) -> str:
    """File names may hold bytes that are no text, and line ends; these become escapes."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _opened(parts: tuple[str, ...], path: Path, modified: float) -> Iterator[File]:
    name = parts[-1].lower()
    wanted = name.endswith((*NOTEBOOK_ENDINGS, ".zip")) or name == PROGRESS_FILE
    largest = LARGEST_ZIP if name.endswith(".zip") else LARGEST_PROGRESS if name == PROGRESS_FILE else LARGEST_FILE
    if name.endswith(".zip") and path.is_file():
        yield from _unzipped(parts, path, modified)
        return
    try:
        content: bytes | Unreadable = read_bytes(path, largest) if wanted else b""
    except Unreadable as unreadable:
        content = unreadable
    yield File(parts, modified, content)


class _Budget:
    """How much may still be unpacked of one zip file."""

    def __init__(self) -> None:
        self.bytes, self.members = LARGEST_ZIP, MOST_MEMBERS

    def take(self, size: int) -> None:
        self.bytes -= size
        self.members -= 1
        if self.bytes < 0 or self.members < 0:
            reason = f"the zip file holds more than {LARGEST_ZIP // 2**20} MiB or {MOST_MEMBERS} files"
            raise Unreadable("too large", reason)


def _unzipped(parts: tuple[str, ...], file: Path | bytes, modified: float) -> Iterator[File]:
    try:
        yield from _members(parts, file, modified, _Budget(), depth=1)
    except Unreadable as unreadable:
        yield File(parts, modified, unreadable)


def _members(
    parts: tuple[str, ...], file: Path | bytes, modified: float, budget: _Budget, depth: int
) -> Iterator[File]:
    # The name without .zip takes the part of a folder.
    above = (*parts[:-1], parts[-1][: -len(".zip")])
    try:
        with zipfile.ZipFile(io.BytesIO(file) if isinstance(file, bytes) else file) as archive:
            for member in archive.infolist():
                inner = tuple(_printable(part) for part in member.filename.split("/") if part not in ("", ".", ".."))
                if member.is_dir() or not inner or any(map(_passed_over, inner)):
                    continue
                time = _time(member, modified)
                name = inner[-1].lower()
                if not name.endswith((*NOTEBOOK_ENDINGS, ".zip")) and name != PROGRESS_FILE:
                    budget.take(0)
                    yield File((*above, *inner), time, b"")
                    continue
                content = _content(archive, member, budget)
                if name.endswith(".zip") and isinstance(content, bytes):
                    if depth < DEEPEST_ZIP:
                        yield from _members((*above, *inner), content, time, budget, depth + 1)
                    continue
                yield File((*above, *inner), time, content)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, OSError, ValueError, EOFError) as error:
        raise Unreadable("damaged file", f"the zip file cannot be unpacked ({error}); hand it in again") from None


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: _Budget) -> bytes | Unreadable:
    if member.flag_bits & 1:
        return Unreadable("damaged file", "this is locked with a password in its zip file; pack it without")
    bound = LARGEST_ZIP if member.filename.lower().endswith(".zip") else LARGEST_FILE
    # What the zip says of its sizes is not trusted: only so much is unpacked.
    import zlib

    try:
        with archive.open(member) as file:
            content = file.read(min(bound, budget.bytes) + 1)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        return Unreadable("damaged file", f"this cannot be unpacked ({error}); hand it in again")
    budget.take(len(content))
    return content if len(content) <= bound else too_large(len(content), bound)


def _time(member: zipfile.ZipInfo, otherwise: float) -> float:
    """The time noted in the zip, which knows no zone: taken as local. The first date there can be means "none"."""
    try:
        return datetime(*member.date_time).timestamp() if member.date_time[0] > 1980 else otherwise
    except (ValueError, OverflowError, OSError):
        return otherwise
