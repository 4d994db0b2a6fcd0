"""Which trained models come with the course, what do their cards say, and are their files whole?

A model is a folder: model.safetensors, config.json and tokenizer.json (in Hugging Face's formats), card.json with what
was measured and the SHA-256 of each file, and README.md, the card in words.
"""

import difflib
import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

CHECKPOINTS = Path(__file__).parent / "checkpoints"
CARD_FILE, README_FILE = "card.json", "README.md"
LOADED_FILES = ("config.json", "model.safetensors", "tokenizer.json")
LARGEST_MODEL = 8_000_000  # bytes of weights that the course brings per model


class ZooError(ValueError):
    """A model that cannot be had as asked; the message says how it can."""


class DamagedCheckpoint(ZooError):  # noqa: N818 - it reads as what happened
    """A file of a model is missing, cut off, or another than its card says."""


@dataclass(frozen=True)
class Card:
    """What is known of a trained model. `files` has the bytes and the SHA-256 of each; `text()` is all in words."""

    name: str
    summary: str
    cannot: list[str]
    sizes: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    measured: dict[str, Any]
    files: dict[str, dict[str, Any]] = field(repr=False)

    def text(self) -> str:
        """The card as Markdown."""
        from course_lib.zoo.readme import card_text

        return card_text(self)

    def write(self, folder: Path) -> None:
        """Write card.json and README.md into the model's folder."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
        (folder / README_FILE).write_text(self.text(), encoding="utf-8")


def names() -> list[str]:
    """The models that come with the course."""
    if not CHECKPOINTS.is_dir():
        return []
    return sorted(path.name for path in CHECKPOINTS.iterdir() if path.is_dir() and path.name[0] not in "._")


def card(name: str) -> Card:
    """The card of a model that comes with the course. Raises ZooError for an unknown name, DamagedCheckpoint."""
    return read_card(bundled_folder(name))


def bundled_folder(name: str) -> Path:
    """Where a model of the course is. Raises ZooError for an unknown name."""
    if name in names():
        return CHECKPOINTS / name
    nearest = difflib.get_close_matches(name, names(), n=1)
    suggestion = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ZooError(f"the course brings no model {name!r}, only: {', '.join(names()) or 'none yet'}{suggestion}")


def read_card(folder: Path) -> Card:
    """The card in a model's folder. Raises DamagedCheckpoint for one that is missing or no card."""
    file = folder / CARD_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{file} is missing; {_remedy(folder)}") from None
    except (OSError, ValueError) as error:
        raise DamagedCheckpoint(f"{file} cannot be read ({error}); {_remedy(folder)}") from error
    wanted = {each.name for each in fields(Card)}
    if not isinstance(content, dict) or content.keys() != wanted or not isinstance(content["files"], dict):
        raise DamagedCheckpoint(f"{file} is no card (expected {', '.join(sorted(wanted))}); {_remedy(folder)}")
    if strange := [name for name in content["files"] if Path(name).name != name]:
        raise DamagedCheckpoint(f"{file} names a file outside its folder, {strange[0]!r}; {_remedy(folder)}")
    unlisted = [name for name in LOADED_FILES if "sha256" not in content["files"].get(name, {})]
    if unlisted:
        raise DamagedCheckpoint(f"{file} has no SHA-256 of {', '.join(unlisted)}; {_remedy(folder)}")
    return Card(**content)


def verify(name_or_folder: str | Path) -> Card:
    """Compare each file of a model with its card, which is returned.

    A string is the name of a model of the course, a Path is a folder. Raises DamagedCheckpoint with the remedy, and
    ZooError for an unknown name.
    """
    folder = name_or_folder if isinstance(name_or_folder, Path) else bundled_folder(name_or_folder)
    found = read_card(folder)
    for name, expected in found.files.items():
        try:
            actual = fingerprint(folder / name)
        except OSError as error:
            why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise DamagedCheckpoint(f"{folder / name} {why}; {_remedy(folder)}") from None
        if actual["bytes"] < expected["bytes"]:
            what = f"is cut off: {actual['bytes']:,} of {expected['bytes']:,} bytes are there"
        elif actual != expected:
            what = (
                f"is not what its card describes (SHA-256 {actual['sha256'][:12]}…, "
                f"expected {str(expected['sha256'])[:12]}…)"
            )
        else:
            continue
        raise DamagedCheckpoint(f"{folder / name} {what}; {_remedy(folder)}")
    return found


def fingerprint(file: Path) -> dict[str, Any]:
    """The bytes and the SHA-256 of a file, as they stand in a card."""
    with file.open("rb") as opened:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _remedy(folder: Path) -> str:
    if folder.parent == CHECKPOINTS:
        return (
            f"restore it (in a clone: git restore {folder}; else install course-lib anew), or make it anew: "
            f"course zoo train {folder.name}"
        )
    return f"copy the folder anew from its source; if you changed the model on purpose, remove {CARD_FILE}"
