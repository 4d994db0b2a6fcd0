"""Which package is this docstring from? A classification task made of the Python documentation (notebook 05)."""

import re
from collections.abc import Sequence

from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Value

from course_lib.data import pydocs

# Origins with much documentation, and the names that would give each away.
NAMES: dict[str, tuple[str, ...]] = {
    "stdlib": (),
    "torch": ("torch", "pytorch"),
    "transformers": ("transformers",),
    "numpy": ("numpy", "np"),
    "pandas": ("pandas", "pd"),
    "matplotlib": ("matplotlib", "pyplot", "plt", "mpl"),
    "sympy": ("sympy",),
    "networkx": ("networkx", "nx"),
    "huggingface_hub": ("huggingface_hub", "huggingface", "hugging face", "hf"),
    "IPython": ("ipython",),
}
MARK = "package"


def load_docstring_origins(
    origins: Sequence[str] = tuple(NAMES), bytes_per_origin: int | None = None, *, cache: bool = True
) -> DatasetDict:
    """Load docstrings, without the line that names them, and the origin of each, split by module as in `pydocs`.

    Columns: `text`, `label` (a ClassLabel with the origins as names) and `name` (the documented object). In `text`
    the names of all the packages, and the usual short ones such as `np`, are replaced by the word "package", so that
    the answer is not written in the question; a package's own ways of speaking remain.

    The other arguments are those of `load_pydocs`. Raises ValueError for fewer than two origins, one that is not in
    `NAMES`, and one that has no docstring on this machine.
    """
    _refuse_unknown(origins)
    return docstring_origins(pydocs.load_pydocs(origins, bytes_per_origin, cache=cache), origins)


def docstring_origins(corpus: DatasetDict, origins: Sequence[str] = tuple(NAMES)) -> DatasetDict:
    """The same task from a corpus that `load_pydocs` gave, on this machine or another. Raises ValueError likewise."""
    _refuse_unknown(origins)
    missing = set(origins) - set(corpus["train"]["origin"])
    if missing:
        raise ValueError(
            f"No docstrings of {', '.join(sorted(missing))} to train on: install it, leave it out of origins, or give "
            "more bytes_per_origin."
        )
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(origins)), "name": Value("string")})
    hidden = _pattern(origins)
    asked_about = {
        split: rows.select([number for number, origin in enumerate(rows["origin"]) if origin in origins])
        for split, rows in corpus.items()
    }
    return DatasetDict(
        {
            split: Dataset.from_dict(
                {
                    "text": [hidden.sub(MARK, text.partition("\n")[2]) for text in rows["text"]],
                    "label": [origins.index(origin) for origin in rows["origin"]],
                    "name": rows["name"],
                },
                features=features,
                info=DatasetInfo(
                    description=f"Docstrings and their origins, {rows.info.description}", features=features
                ),
            )
            for split, rows in asked_about.items()
        }
    )


def _refuse_unknown(origins: Sequence[str]) -> None:
    unknown = [origin for origin in origins if origin not in NAMES]
    if isinstance(origins, str) or unknown or len(set(origins)) < 2:
        raise ValueError(f"origins is {origins!r}; expected at least two of {tuple(NAMES)}.")


def hide_names(text: str, origins: Sequence[str] = tuple(NAMES)) -> str:
    """The text with the names of the origins replaced by `MARK`, in whatever case."""
    return _pattern(origins).sub(MARK, text)


def _pattern(origins: Sequence[str]) -> re.Pattern[str]:
    names = sorted({name for origin in origins for name in NAMES[origin]}, key=len, reverse=True)
    # An underscore ends a name: torch_dtype tells as much as torch. Without names the pattern matches nowhere.
    choice = "|".join(re.escape(name) for name in names) or "(?!)"
    return re.compile(rf"(?<![a-z0-9])(?:{choice})(?![a-z0-9])", re.IGNORECASE)
