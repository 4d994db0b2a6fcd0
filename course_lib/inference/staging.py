"""What makes an export whole or absent? It is made elsewhere, and gets its name when all of it is there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from course_lib.inference.export_manifest import MANIFEST_FILE, ExportError

_MAKING, _OLD = ".exporting-", ".replaced-"


@contextmanager
def staged(folder: Path, at_least: int) -> Iterator[Path]:
    """A new folder beside `folder`, which becomes `folder` at the end; if anything goes wrong, nothing is left of it.

    at_least: bytes that will be written; what is known to be too much is refused before any time is spent.
    An export that was there before is replaced; anything else is not. Raises ExportError.
    """
    refuse_other_files(folder)
    parent = folder.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_debris(parent)
        free = shutil.disk_usage(parent).free
        if free < at_least:
            raise ExportError(
                f"the export takes at least {_mib(at_least)}, and {parent} has {_mib(free)} free; make room, or "
                "export to another folder"
            )
        making = parent / f"{_MAKING}{os.getpid()}-{folder.name}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
    except OSError as error:
        raise ExportError(f"nothing can be written to {parent} ({error}); export to another folder") from error
    try:
        yield making
        old = parent / f"{_OLD}{os.getpid()}-{folder.name}"
        if folder.exists():
            folder.rename(old)
        making.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        free = shutil.disk_usage(parent).free
        raise ExportError(
            f"the export could not be written to {parent} ({error}); {_mib(free)} were free there. Make room, or "
            "export to another folder"
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def refuse_other_files(folder: Path) -> None:
    """Raises ExportError for a place that holds something else than an export."""
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / MANIFEST_FILE).is_file()):
        return
    if folder.exists():
        what = "holds other files" if folder.is_dir() else "is a file"
        raise ExportError(f"{folder} {what}, and an export does not overwrite them; name a new folder, or empty it")


def _remove_debris(parent: Path) -> None:
    """What a killed export left behind."""
    for prefix in (_MAKING, _OLD):
        for path in parent.glob(f"{prefix}*"):
            process = path.name.removeprefix(prefix).partition("-")[0]
            if process.isdigit() and not psutil.pid_exists(int(process)):
                shutil.rmtree(path, ignore_errors=True)


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
