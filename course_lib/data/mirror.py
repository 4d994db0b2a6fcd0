"""Where does data come from on a machine without network? Files of a mirror folder, named by COURSE_DATA_DIR."""

import hashlib
import os
from pathlib import Path

VARIABLE = "COURSE_DATA_DIR"
SUMS = "SHA256SUMS"


def mirror_folder() -> Path:
    """The mirror folder. Raises FileNotFoundError when COURSE_DATA_DIR is not set or names no folder."""
    name = os.environ.get(VARIABLE, "")
    if not name:
        raise FileNotFoundError(
            f"{VARIABLE} is not set; set it to a mirror folder, with one folder inside per data set."
        )
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{VARIABLE} is {name!r}, which is not a folder; expected one with a folder per data set."
        )
    return folder


def locate(relative_path: str, sha256: str | None = None) -> Path:
    """The path of `multi30k/train.de` or the like in the mirror, its content checked.

    The SHA-256 is that given or else one listed in a file SHA256SUMS beside the file or at the top of the mirror;
    where there is none, the file is taken as it is. Raises FileNotFoundError for a missing folder or file, and
    ValueError for content that has another SHA-256, or a path that leads out of the mirror.
    """
    folder = mirror_folder()
    path = folder / relative_path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{relative_path!r} leads out of the mirror; expected a path inside it, such as 'multi30k/x'.")
    if not path.is_file():
        raise FileNotFoundError(f"The mirror ({VARIABLE}={folder}) has no file {relative_path}; copy it there.")
    expected = sha256 or _listed_sum(path.parent / SUMS, path.name) or _listed_sum(folder / SUMS, relative_path)
    if expected is not None:
        found = sha256_of(path)
        if found != expected.lower():
            raise ValueError(
                f"{path} is damaged or another version: its SHA-256 is {found[:12]}…, "
                f"expected {expected[:12].lower()}…. Copy it anew from its source."
            )
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed_sum(sums: Path, name: str) -> str | None:
    """The sum of `name` in a list such as `sha256sum` writes: sum, space, space or asterisk, name."""
    if not sums.is_file():
        return None
    for line in sums.read_text(encoding="utf-8").splitlines():
        listed_sum, _, listed_name = line.partition(" ")
        if listed_name[1:].removeprefix("./") == name:
            return listed_sum
    return None
