"""How does the runner write files so that a kill, a full disk or a second runner cannot spoil them?"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from course_lib.batch.errors import UsageError


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace `path` by `text`: readers see the old content or the new, never a part.

    `durable` also waits until the disk has it (fsync). Raises OSError, with the old file intact and no rest left.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            error.filename = str(path)  # the temporary name tells nobody anything
        raise


def new_run_directory(runs: Path, profile: str, now: datetime | None = None) -> Path:
    """Make and return `runs/<UTC time>-<profile>`; two runners that ask in the same second get two folders."""
    stem = f"{(now or datetime.now(UTC)).strftime('%Y%m%dT%H%M%SZ')}-{profile}"
    runs.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 1000):
        directory = runs / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise FileExistsError(f"{runs} already holds 999 runs named {stem}")


def point_latest(link: Path, directory: Path) -> None:
    """Let `link` (runs/latest) name `directory`: a symbolic link, or a text file where links are impossible."""
    target = os.path.relpath(directory.resolve(), link.parent.resolve())
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        temporary.symlink_to(target)
    except (OSError, NotImplementedError):
        temporary.write_text(target + "\n", encoding="utf-8")
    os.replace(temporary, link)


def resolve_latest(path: Path) -> Path:
    """The run directory that `path` names, also when it is the text file that stands in for a link."""
    if path.is_file() and path.suffix == "":
        with contextlib.suppress(OSError, ValueError):  # then it is some other file
            directory = path.parent / path.read_text(encoding="utf-8").strip()
            if directory.is_dir():
                return directory
    return path


@contextlib.contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold `directory` for one runner. The system drops the lock with its process, so none is ever left over.

    Raises UsageError when another runner holds it.
    """
    with open(directory / ".lock", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise UsageError(
                f"{directory} is in use by another runner (process {owner}); wait or use another --out"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
