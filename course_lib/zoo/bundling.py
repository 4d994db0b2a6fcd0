"""How does a trained model get among those that come with the course? Verified, small enough, and all at once."""

import shutil
import tempfile
from pathlib import Path

from course_lib.zoo import cards
from course_lib.zoo.cards import CARD_FILE, LARGEST_MODEL, README_FILE, ZooError

WEIGHTS_FILE = "model.safetensors"


def bundle(name: str, folder: Path) -> Path:
    """Put a trained model's files among those that come with the course, in place of an older one; returns where.

    The folder is one that `train_recipe` finished. Raises ZooError for another model, or one that is too large;
    DamagedCheckpoint for files that do not fit their card.
    """
    if not (folder / CARD_FILE).exists():
        raise ZooError(f"{folder} holds no finished model; finish it with: course zoo train {name} --out {folder}")
    found = cards.verify(folder)
    if found.name != name:
        raise ZooError(f"{folder} holds {found.name}, not {name}")
    size = found.files[WEIGHTS_FILE]["bytes"]
    if size > LARGEST_MODEL:
        raise ZooError(f"{folder / WEIGHTS_FILE} has {size:,} bytes, more than the {LARGEST_MODEL:,} that are bundled")
    cards.CHECKPOINTS.mkdir(exist_ok=True)
    target = cards.CHECKPOINTS / name
    with tempfile.TemporaryDirectory(dir=cards.CHECKPOINTS, prefix="_") as made:
        new = Path(made) / name
        new.mkdir()
        for file in (*found.files, CARD_FILE, README_FILE):
            shutil.copyfile(folder / file, new / file)
        cards.verify(new)
        if target.exists():
            target.rename(Path(made) / "older")
        new.rename(target)
    return target
