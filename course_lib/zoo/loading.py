"""How does one get a trained model, wherever it is? One call for the course's own, a folder, the cache and the hub."""

import os
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerFast

from course_lib.data.byte_pairs import BYTES, load_byte_pairs, train_byte_pairs
from course_lib.models.bert import BERTConfig
from course_lib.models.checkpoint_files import CONFIG_FILE, UnsuitableCheckpoint, read_json
from course_lib.models.gpt import GPTConfig
from course_lib.zoo import hub
from course_lib.zoo.cards import CARD_FILE, CHECKPOINTS, LOADED_FILES, ZooError, bundled_folder, names, verify
from course_lib.zoo.kinds import Kind, kind_of_config, kind_of_folder

# The full sizes of the models that the course names; for weights="random".
FULL_SIZES: dict[str, Any] = {
    "distilgpt2": GPTConfig(blocks=6),
    "gpt2": GPTConfig(),
    "bert-base-uncased": BERTConfig(),
}


def load(
    name: str | Path,
    *,
    device: str | torch.device | None = None,
    weights: Literal["bundled", "random"] = "bundled",
    revision: str | None = None,
    online: bool = False,
) -> tuple[Any, PreTrainedTokenizerFast]:
    """A model in evaluation mode (float32, on the CPU or `device`) and its tokenizer.

    `name` is looked up in this order: the models that come with the course (`zoo.names()`); a folder, with files as
    Hugging Face's GPT-2 and BERT have them; COURSE_DATA_DIR/models/NAME; the Hugging Face cache; and, with
    `online=True`, the hub. Models of the hub are taken at one commit: those in `hub.PINNED` at the one given there,
    others at `revision`. Where there is a card, each file is compared with it. Only safetensors are read, and no code
    that comes with a model is ever run.

    weights="random" makes the model in its full size without trained weights, to measure speed and memory where there
    are no files. If its tokenizer is not here either, one that makes each byte a token stands in for it.

    Loading draws no random numbers (except for random weights). Raises DamagedCheckpoint for files that are missing,
    cut off or changed; ZooError if the model is not found, with all ways to get it; UnsuitableCheckpoint for a model
    of another architecture.
    """
    if weights not in ("bundled", "random"):
        raise ZooError(f"weights must be 'bundled' (the trained ones) or 'random', got {weights!r}")
    place = usable_device(device)
    if weights == "random":
        return _random(name, place, revision)
    folder = locate(name, revision=revision, online=online)
    if (folder / CARD_FILE).exists() or folder.parent == CHECKPOINTS:
        verify(folder)
    model, tokenizer = read_model(folder)
    return model.to(place), tokenizer


def read_model(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """The model and the tokenizer in a folder, whatever its card says. Raises UnsuitableCheckpoint."""
    kind = kind_of_folder(folder)
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, only to be replaced
        model = kind.load(folder)
    return model, _tokenizer(folder, kind, kind.config_of(model))


def locate(name: str | Path, *, revision: str | None = None, online: bool = False) -> Path:
    """The folder of a model, fetched if need be and `online`. Raises ZooError, with all ways to get it."""
    if isinstance(name, str) and name in names():
        return bundled_folder(name)
    folder = Path(name).expanduser()
    if (folder / CONFIG_FILE).is_file():
        return folder
    text = str(name)
    if isinstance(name, Path) or text.startswith(("/", ".", "~")) or folder.is_dir() or os.sep * 2 in text:
        what = f"has no {CONFIG_FILE}" if folder.is_dir() else "is no folder"
        raise ZooError(f"{folder} {what}; expected a folder with {', '.join(LOADED_FILES)}")
    if (mirrored := hub.in_mirror(text)) is not None:
        return mirrored
    if not hub.IDENTIFIER.fullmatch(text):
        raise ZooError(f"{text!r} is no name of a model; {_remedies(text)}")
    if revision is None and "/" not in text and text not in hub.PINNED:
        raise ZooError(f"there is no model {text!r}; {_remedies(text)}")
    model = hub.pinned(text, revision)
    cached = hub.in_cache(text, model)
    if cached is not None:
        return cached
    if online:
        return hub.fetch(model)
    raise ZooError(f"{text!r} at revision {model.revision[:12]} is not on this machine; {_remedies(text)}")


def _remedies(name: str) -> str:
    known = name if name in FULL_SIZES else "NAME"
    return (
        f"take one that comes with the course ({', '.join(names()) or 'none yet: course zoo train pydoc-gpt'}), or a "
        f"folder with {', '.join(LOADED_FILES)}, or put that folder into COURSE_DATA_DIR/models/{known} or the Hugging "
        f"Face cache ({hub.cache_folder()}, set by HF_HOME), or fetch a hub model ({', '.join(hub.PINNED)}, or "
        "OWNER/NAME with revision=COMMIT) by online=True; weights='random' needs no files"
    )


def _random(name: str | Path, device: torch.device, revision: str | None) -> tuple[Any, PreTrainedTokenizerFast]:
    folder: Path | None
    try:
        folder = locate(name, revision=revision)
        kind = kind_of_folder(folder)
        config = kind.config_from(read_json(folder / CONFIG_FILE), folder)
    except ZooError:
        folder, config = None, _full_size(str(name))
        if config is None:
            raise
        kind = kind_of_config(config)
    with device:
        model = kind.fresh(config)
    model.eval()
    if folder is not None and (folder / LOADED_FILES[2]).is_file():
        return model, _tokenizer(folder, kind, config)
    bytes_alone = train_byte_pairs(["-"], BYTES + len(kind.special_tokens), kind.special_tokens)
    return model, kind.wrap(bytes_alone, config.context_size)


def _full_size(name: str) -> Any:
    for short, model in hub.PINNED.items():
        if name in (short, model.repository):
            return FULL_SIZES[short]
    from course_lib.zoo.recipes import RECIPES

    return RECIPES[name].config if name in RECIPES else None


def _tokenizer(folder: Path, kind: Kind, config: Any) -> PreTrainedTokenizerFast:
    file = folder / LOADED_FILES[2]
    if not file.is_file():
        raise UnsuitableCheckpoint(f"{file} is missing; save the tokenizer there with save_pretrained")
    tokenizer = kind.wrap(load_byte_pairs(file), config.context_size)
    if len(tokenizer) > config.vocabulary_size:
        raise UnsuitableCheckpoint(
            f"{file} knows {len(tokenizer)} tokens, but the model {config.vocabulary_size}: they do not belong together"
        )
    return tokenizer


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device, the CPU for None. Raises ZooError for one that is not here."""
    try:
        place = torch.device("cpu" if device is None else device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        raise ZooError(
            f"device={str(device)!r} cannot be used here ({str(error).splitlines()[0]}); leave it out for the CPU"
        ) from None
    return place
