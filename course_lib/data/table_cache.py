"""Where do tables stay that take long to make? In the user's cache folder, each checked when it is read again."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from platformdirs import user_cache_dir

VARIABLE = "COURSE_CACHE_DIR"
CHECKSUM_BYTES = 32  # SHA-256 of the rest of the file


def cache_folder() -> Path:
    """The folder named by COURSE_CACHE_DIR, or else the user's: ~/.cache/course on Linux."""
    return Path(os.environ.get(VARIABLE) or user_cache_dir("course", appauthor=False)).expanduser()


def cached_table(name: str, key: Any, make: Callable[[], pyarrow.Table]) -> pyarrow.Table:
    """The table that `make` returns, read from the cache where it was made before with the same `key`.

    `key` (anything that JSON can hold) is what the table depends on. A damaged file counts as none and is made anew;
    a cache that can't be written costs only time.
    """
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    file = cache_folder() / name / f"{digest}.table"
    table = _read(file)
    if table is None:
        table = make()
        with contextlib.suppress(OSError):  # a full or read-only disk
            _write(table, file)
    return table


def _read(file: Path) -> pyarrow.Table | None:
    try:
        # Read into memory at once: a file that another process replaces meanwhile is then whole, old or new.
        content = file.read_bytes()
    except OSError:
        return None
    checksum, table = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
    if hashlib.sha256(table).digest() != checksum:  # before anything looks inside
        return None
    return pyarrow.parquet.read_table(pyarrow.BufferReader(table))


def _write(table: pyarrow.Table, file: Path) -> None:
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue().to_pybytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(hashlib.sha256(content).digest() + content)
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
