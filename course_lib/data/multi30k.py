"""How well does it translate real sentences? Multi30k, captions of pictures in German and English (gpu profile).

Source: Elliott, Frank, Sima'an, Specia 2016, "Multi30K: Multilingual English-German Image Descriptions". For
research and teaching only; the project carries no part of it.
"""

import json
from pathlib import Path

import huggingface_hub
from datasets import Dataset, DatasetDict, DatasetInfo, Features, List, Value

from course_lib.data import mirror
from course_lib.data.words import tokenise

LANGUAGES = ("de", "en")
HUB_REPOSITORY = "bentrevett/multi30k"
HUB_FILES = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}
MIRROR_FILES = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
ROWS = {"train": 29_000, "validation": 1_014, "test": 1_000}
# The tokenised files of github.com/multi30k/dataset at a3d2e0d26b56f3846f66a952536ffed4e401d05a, data/task1/tok.
MIRROR_SHA256 = {
    "test_2016_flickr.lc.norm.tok.de": "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
    "test_2016_flickr.lc.norm.tok.en": "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
    "train.lc.norm.tok.de": "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505",
    "train.lc.norm.tok.en": "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119",
    "val.lc.norm.tok.de": "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00",
    "val.lc.norm.tok.en": "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec",
}
FEATURES = Features({"source": Value("string"), "target": Value("string"), "alignment": List(List(Value("int32")))})

Sides = dict[str, list[str]]


def load_multi30k(
    source_language: str = "de", target_language: str = "en", online: bool = False, revision: str | None = None
) -> DatasetDict:
    """Load Multi30k from the first of: the mirror, the Hugging Face cache, the hub (only with `online`).

    The mirror has the corpus as its authors tokenised it (Moses, lower-cased); cache and hub have plain text, which
    is tokenised here by `words.tokenise`, so results of the two differ slightly. The `description` of each split's
    `info` says where it came from. There are no gold alignments: the column's lists are empty.

    `revision` is a commit (or its beginning) of the hub's repository; without one the newest cached commit or the
    hub's `main` is taken. Whatever it is, the numbers of rows have to be those published.

    Raises ValueError for other languages than German and English, a damaged file, or wrong numbers of rows;
    FileNotFoundError, with what was looked at and all remedies, when no place serves.
    """
    if {source_language, target_language} != set(LANGUAGES):
        raise ValueError(
            f"Multi30k was asked for from {source_language!r} to {target_language!r}; "
            "available are 'de' to 'en' and 'en' to 'de'."
        )
    looked_at = []
    try:
        sides, origin = _from_mirror(), "mirror"
    except FileNotFoundError as error:
        looked_at.append(f"mirror: {error}")
        snapshot = _cached_snapshot(revision)
        if snapshot is None:
            looked_at.append(f"Hugging Face cache: {HUB_REPOSITORY} {revision or ''} is not in it.".replace("  ", " "))
            if not online:
                looked_at.append("hub: not asked, since online=False.")
                raise FileNotFoundError(_unavailable(looked_at)) from None
            try:
                snapshot = _download(revision)
            except (OSError, ValueError) as hub_error:
                looked_at.append(f"hub: {type(hub_error).__name__}: {hub_error}")
                raise FileNotFoundError(_unavailable(looked_at)) from hub_error
        sides, origin = _from_snapshot(snapshot), f"{HUB_REPOSITORY} at {snapshot.name}"
    description = f"Multi30k, {source_language} to {target_language}, from {origin}"
    return DatasetDict(
        {
            split: _dataset(split, languages[source_language], languages[target_language], description)
            for split, languages in sides.items()
        }
    )


def _from_mirror() -> dict[str, Sides]:
    def lines(name: str) -> list[str]:
        path = mirror.locate(f"multi30k/{name}", MIRROR_SHA256[name])
        # Not splitlines(), which also cuts at rare separators inside a line.
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")

    return {
        split: {language: lines(f"{stem}.lc.norm.tok.{language}") for language in LANGUAGES}
        for split, stem in MIRROR_FILES.items()
    }


def _cached_snapshot(revision: str | None) -> Path | None:
    """The folder of the cached commit that was fetched last and has all files."""
    try:
        cache = huggingface_hub.scan_cache_dir(huggingface_hub.constants.HF_HUB_CACHE)
    except huggingface_hub.errors.CacheNotFound:
        return None
    cached = [
        commit
        for repository in cache.repos
        if (repository.repo_type, repository.repo_id) == ("dataset", HUB_REPOSITORY)
        for commit in repository.revisions
        if set(HUB_FILES.values()) <= {file.file_name for file in commit.files}
        and (revision is None or commit.commit_hash.startswith(revision))
    ]
    newest = max(cached, key=lambda commit: (commit.last_modified, commit.commit_hash), default=None)
    return None if newest is None else newest.snapshot_path


def _download(revision: str | None) -> Path:
    paths = [
        huggingface_hub.hf_hub_download(HUB_REPOSITORY, name, repo_type="dataset", revision=revision)
        for name in HUB_FILES.values()
    ]
    return Path(paths[0]).parent


def _from_snapshot(snapshot: Path) -> dict[str, Sides]:
    sides: dict[str, Sides] = {}
    for split, name in HUB_FILES.items():
        rows = [json.loads(line) for line in (snapshot / name).read_text(encoding="utf-8").split("\n") if line.strip()]
        sides[split] = {
            language: [" ".join(tokenise(row[language], language)) for row in rows] for language in LANGUAGES
        }
    return sides


def _dataset(split: str, source: list[str], target: list[str], description: str) -> Dataset:
    if not len(source) == len(target) == ROWS[split]:
        raise ValueError(
            f"{description}: {split} has {len(source)} source and {len(target)} target rows, expected {ROWS[split]:,}. "
            "The data is incomplete or another version: fetch it anew."
        )
    columns = {"source": source, "target": target, "alignment": [[] for _ in source]}
    return Dataset.from_dict(columns, features=FEATURES, info=DatasetInfo(description=description, features=FEATURES))


def _unavailable(looked_at: list[str]) -> str:
    return "\n".join(
        [
            # The first line says it all: a batch's summary shows no more.
            f"Multi30k is not on this machine: set {mirror.VARIABLE} to a mirror, fill the Hugging Face cache, or ask "
            "for the download with online=True. Looked at:",
            *(f"  - {place}" for place in looked_at),
            "Any one of these helps:",
            f"  1. set {mirror.VARIABLE} to a mirror folder whose folder multi30k holds train.lc.norm.tok.de and the "
            "other files of github.com/multi30k/dataset, data/task1/tok",
            "  2. fill the Hugging Face cache, here or in a folder copied here that HF_HOME names: "
            f"hf download --repo-type dataset {HUB_REPOSITORY}",
            "  3. on a machine with network, ask for the download: online=True",
            "Or take data='cldr', which is generated and needs nothing.",
        ]
    )
