"""Where are models that do not come with the course? In the mirror, the Hugging Face cache, or on the hub, if asked."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib.data import mirror
from course_lib.zoo.cards import LOADED_FILES, ZooError

IDENTIFIER = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubModel:
    """A repository of the hub at one commit."""

    repository: str
    revision: str


# The models that the course names, each at the commit that it was written for.
PINNED = {
    "distilgpt2": HubModel("distilbert/distilgpt2", "2290a62682d06624634c1f46a6ad5be0f47f38aa"),
    "gpt2": HubModel("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
    "bert-base-uncased": HubModel("google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"),
}


def pinned(name: str, revision: str | None) -> HubModel:
    """The repository and commit meant by a name. Raises ZooError without a commit: what a branch holds may change."""
    for short, model in PINNED.items():
        if name in (short, model.repository):
            known = model
            break
    else:
        known = None
    if revision is None and known is None:
        raise ZooError(
            f"{name!r} needs revision=…, the 40 digits of a commit of its repository: what a branch holds may change. "
            f"Known without: {', '.join(PINNED)}"
        )
    if revision is not None and not COMMIT.fullmatch(revision):
        raise ZooError(
            f"revision={revision!r} is no commit: give its 40 hexadecimal digits (on the hub under Files and versions, "
            "History), since what a branch or a tag holds may change"
        )
    return HubModel(known.repository if known else name, revision or (known.revision if known else ""))


def in_mirror(name: str) -> Path | None:
    """The folder models/NAME of the mirror named by COURSE_DATA_DIR, its files checked against SHA256SUMS, or None."""
    if not os.environ.get(mirror.VARIABLE) or not (mirror.mirror_folder() / "models" / name).is_dir():
        return None
    first, *_ = [mirror.locate(f"models/{name}/{file}") for file in LOADED_FILES]
    return first.parent


def in_cache(name: str, model: HubModel) -> Path | None:
    """The snapshot folder of this commit in the Hugging Face cache, if all files that are loaded are there."""
    from huggingface_hub import try_to_load_from_cache

    for repository in dict.fromkeys([model.repository, name]):  # a short name has a folder of its own there
        found = [try_to_load_from_cache(repository, file, revision=model.revision) for file in LOADED_FILES]
        if all(isinstance(path, str) for path in found):
            return Path(str(found[0])).parent
    return None


def cache_folder() -> str:
    """Where the Hugging Face cache is."""
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def fetch(model: HubModel) -> Path:
    """Fetch the files that are loaded, and no others, from the hub into the cache. Raises ZooError."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    place = f"{model.repository} at {model.revision[:12]}"
    file = LOADED_FILES[0]
    try:
        for file in LOADED_FILES:
            path = hf_hub_download(model.repository, file, revision=model.revision)
    except HfHubHTTPError as error:
        what = f"has no {file} on the hub" if isinstance(error, EntryNotFoundError) else "is not given by the hub"
        raise ZooError(
            f"{place} {what} ({_first_line(error)}); check name and revision. Only {', '.join(LOADED_FILES)} are "
            "read, never pickles"
        ) from error
    except OSError as error:  # no network, HF_HUB_OFFLINE, a full disk
        raise ZooError(
            f"{place} cannot be fetched ({_first_line(error)}); check the network and HF_HUB_OFFLINE, or copy the "
            "model's folder here and give its path"
        ) from error
    return Path(path).parent


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
