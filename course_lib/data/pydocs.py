"""What can a language model read without a download? Python's own documentation, from what is installed here.

pydoc's topics, the standard library's docstrings, and those of the packages that the course stands on. Used by the
notebooks from 04 on: language modelling, masked language modelling, telling a docstring's package, instructions.
"""

import difflib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow
from datasets import Dataset, DatasetDict, DatasetInfo, Features, Value
from tqdm.auto import tqdm

from course_lib.data import docstring_cleaning, docstrings
from course_lib.data.docstring_cleaning import Copies, clean, cut
from course_lib.data.docstrings import Docstring
from course_lib.data.table_cache import cached_table

CORPUS_VERSION = 1  # raise it whenever the same sources give other documents
SPLITS = ("train", "validation", "test")
HELD_OUT = {"validation": 0.05, "test": 0.05}  # shares of all modules
BYTES_PER_PACKAGE = 1_600_000
SHORTEST_DOCUMENT = 40  # characters, the line with the name included
STANDARD = ("topics", "stdlib")
# What the course's own requirements bring, so that everybody has nearly the same corpus. Import names.
PACKAGES = (
    "torch", "transformers", "numpy", "pandas", "matplotlib", "sympy", "networkx", "huggingface_hub", "datasets",
    "accelerate", "IPython", "tornado", "fontTools", "mpmath", "pydantic", "PIL", "pygments", "prompt_toolkit", "rich",
    "pyarrow", "setuptools", "babel", "fsspec", "jinja2", "click", "pyparsing", "anyio", "bs4", "zmq", "lxml", "jedi",
    "urllib3", "jupyter_server", "packaging", "pexpect", "filelock", "traitlets", "jupyter_client", "dateutil", "attr",
    "requests", "psutil", "dill", "ipykernel", "ipywidgets", "nbconvert", "nbformat", "typing_extensions", "httpx",
    "parso", "tqdm", "platformdirs", "typer", "tokenizers", "jupyterlab", "jupyterlab_server", "contourpy", "sacrebleu",
    "jsonschema", "markdown_it", "regex", "papermill", "websocket", "bleach", "safetensors", "jaxtyping",
)  # fmt: skip
ORIGINS = (*STANDARD, *PACKAGES)
# Written in C, so that no source says what they do: the module, and the public name that it goes by.
COMPILED_STANDARD = {
    "builtins": "", "posix": "os", "sys": "sys", "time": "time", "math": "math", "cmath": "cmath",
    "itertools": "itertools", "_functools": "functools", "_operator": "operator", "_collections": "collections",
    "_io": "io", "_socket": "socket", "_struct": "struct", "_random": "random", "_json": "json", "_pickle": "pickle",
    "_sqlite3": "sqlite3", "_thread": "_thread", "_weakref": "weakref", "_bisect": "bisect", "_heapq": "heapq",
    "_csv": "csv", "_datetime": "datetime", "_decimal": "decimal", "_hashlib": "hashlib", "_lzma": "lzma",
    "_bz2": "bz2", "_ssl": "ssl", "_ctypes": "ctypes", "_asyncio": "asyncio", "_queue": "queue",
    "_contextvars": "contextvars", "_locale": "locale", "_signal": "signal", "_codecs": "codecs",
    "_tracemalloc": "tracemalloc", "_warnings": "warnings", "_stat": "stat", "pyexpat": "xml.parsers.expat",
    "_elementtree": "xml.etree.ElementTree", "array": "array", "binascii": "binascii", "zlib": "zlib",
    "unicodedata": "unicodedata", "select": "select", "gc": "gc", "errno": "errno", "marshal": "marshal",
    "mmap": "mmap", "atexit": "atexit", "faulthandler": "faulthandler", "fcntl": "fcntl", "grp": "grp", "pwd": "pwd",
    "resource": "resource", "syslog": "syslog", "termios": "termios",
}  # fmt: skip
COMPILED = {
    "torch": ("torch.Tensor", "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special", "torch"),
    "numpy": ("numpy.ndarray", "numpy.random", "numpy"),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow", "pyarrow.parquet", "pyarrow.csv", "pyarrow.fs"),
    "lxml": ("lxml.etree",),
}
FAMILIAR = ("str.", "list.", "dict.", "set.", "int.")
LARGE_MODULES = {"builtins", *(module for modules in COMPILED.values() for module in modules)}
FEATURES = Features({name: Value("string") for name in ("text", "name", "module", "origin")})

Document = tuple[str, str, str, str]  # in the order of FEATURES


def load_pydocs(
    origins: Sequence[str] = ORIGINS, bytes_per_origin: int | None = None, *, cache: bool = True
) -> DatasetDict:
    """Load the splits train, validation and test (90, 5 and 5 % of the modules) of the Python documentation here.

    Columns: `text` (as pydoc shows it: a line such as `pathlib.Path.exists(self)`, then the cleaned docstring),
    `name` (pathlib.Path.exists), `module` (pathlib) and `origin` ("stdlib", "topics", or a package's import name).

    `origins` are some of `pydocs.ORIGINS`; a package that isn't installed is left out. Of each origin at most
    `bytes_per_origin` bytes are taken, module by module in the order of a hash of their names; without it, 1.6 MB of a
    package, and all topics and the whole standard library. Few bytes are read fast: ("topics", "stdlib") with
    200,000 bytes need about a second, everything some 15 seconds, of one core.

    No leak: a hash of the module's name alone decides its split, whatever the origins and bytes, and near-copies of
    an earlier text are left out (`docstring_cleaning.Copies`). The texts depend on the releases of Python and the
    packages: `version` names them. The result is kept in the user's cache folder (or COURSE_CACHE_DIR), unless
    `cache` is False.

    Raises ValueError for an unknown origin, bytes below 1, or when nothing is found.
    """
    if isinstance(origins, str):
        raise TypeError(f"origins is {origins!r}; give a sequence, such as ({origins!r},).")
    unknown = [origin for origin in origins if origin not in ORIGINS]
    if unknown or not origins or len(set(origins)) < len(origins):
        nearest = difflib.get_close_matches(str(unknown[0]), ORIGINS, n=1) if unknown else []
        suggestion = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(
            f"origins is {_shortened(origins)}; expected some of pydocs.ORIGINS, each once, such as "
            f"('topics', 'stdlib', 'torch').{suggestion}"
        )
    if bytes_per_origin is not None and bytes_per_origin < 1:
        raise ValueError(f"bytes_per_origin is {bytes_per_origin}; give at least 1, or None for the usual amount.")
    releases = installed_releases(origins)
    # In the fixed order, so that of two copies the same one is kept however the origins were listed.
    ordered = [origin for origin in ORIGINS if origin in origins]

    def extract() -> pyarrow.Table:
        columns = list(zip(*_documents(ordered, bytes_per_origin), strict=True)) or [()] * len(FEATURES)
        return pyarrow.Table.from_arrays([pyarrow.array(list(c), "string") for c in columns], list(FEATURES))

    key = [_code_hash(), releases, ordered, bytes_per_origin]
    table = cached_table("pydocs", key, extract) if cache else extract()
    if not table.num_rows:
        raise ValueError(
            f"No documentation was found for {_shortened(origins)}: install one of them, or add 'stdlib' to origins."
        )
    return _split(table, f"Python documentation {CORPUS_VERSION} ({', '.join(releases)})")


def version(corpus: DatasetDict) -> str:
    """Names a corpus by a hash of its texts, and the releases of Python and the packages that they come from."""
    description = next(iter(corpus.values())).info.description or f"Python documentation {CORPUS_VERSION}"
    return f"{text_hash(corpus)} {description}"


def text_hash(corpus: DatasetDict) -> str:
    """Twelve hexadecimal digits that change with any text, its split or its place."""
    digest = hashlib.sha256()
    for split, rows in sorted(corpus.items()):
        digest.update(f"{split}\0".encode())
        for text in rows["text"]:
            digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:12]


def split_of(module: str) -> str:
    """The split that a module's documents belong to, on every machine and in every run.

    The compiled modules are always train: each has hundreds of docstrings, and would be most of a held-out split.
    """
    if module in LARGE_MODULES:
        return "train"
    share = _stable_number(f"split {module}")
    for split, size in HELD_OUT.items():
        if share < size:
            return split
        share -= size
    return "train"


def installed_releases(origins: Iterable[str]) -> list[str]:
    """Python's and the installed origins' releases: "Python 3.11.7", "torch 2.13.0", ..."""
    distributions = importlib.metadata.packages_distributions()
    releases = {
        f"{name} {importlib.metadata.version(name)}" for origin in origins for name in distributions.get(origin, ())[:1]
    }
    return [f"Python {platform.python_version()} {platform.system()}", *sorted(releases, key=str.lower)]


def _code_hash() -> str:
    """Changes with the code that makes the documents, so that no cached corpus outlives a change of it."""
    sources = (Path(str(module.__file__)) for module in (docstrings, docstring_cleaning, sys.modules[__name__]))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _documents(origins: Sequence[str], bytes_per_origin: int | None) -> Iterator[Document]:
    copies = Copies()
    silenced = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    with tqdm(origins, desc="Reading documentation", unit="package", leave=False, disable=silenced) as bar:
        for origin in bar:
            left = bytes_per_origin or (BYTES_PER_PACKAGE if origin in PACKAGES else None)
            for found, share in _parts_of(origin):
                stop_at = 0 if left is None else left - int(left * share)
                for docstring in found:
                    document = _document(docstring, origin, copies)
                    if document is None:
                        continue
                    if left is not None:
                        size = len(document[0].encode())
                        if left - size < stop_at:
                            break
                        left -= size
                    yield document


def _document(docstring: Docstring, origin: str, copies: Copies) -> Document | None:
    text = clean(docstring.text)
    if text is None or not copies.is_new(text, docstring.module):
        return None
    if docstring.heading:
        # Defaults and annotations can hold anything that a string in a source can.
        heading = "".join(character for character in docstring.heading if character.isprintable())
        text = f"{heading}\n{cut(text)[0]}"
    if len(text) < SHORTEST_DOCUMENT:
        return None
    return text, docstring.name, docstring.module, origin


def _topics() -> Iterator[Docstring]:
    """pydoc's topics, from Python's reference manual, in parts. Many repeat sections of others: each stays once."""
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some Linux distributions leave it out
        return
    paragraphs = Copies()
    for name, text in sorted(topics.items(), key=lambda item: (len(item[1]), item[0])):  # the narrow ones first
        for part in cut(paragraphs.new_paragraphs(clean(text) or "")):
            yield Docstring(name, "", part, f"topics.{name}")


def _parts_of(origin: str) -> Iterator[tuple[Iterable[Docstring], float]]:
    """Where an origin's docstrings come from, and the share of the bytes left that each may take."""
    if origin == "topics":
        yield _topics(), 1.0
        return
    # Half of the bytes, at most, for compiled modules: they document what is used most, but they are all train.
    compiled = COMPILED_STANDARD.items() if origin == "stdlib" else [(name, name) for name in COMPILED.get(origin, ())]
    if origin == "stdlib" or importlib.util.find_spec(origin):
        yield (docstring for name, shown in compiled for docstring in _in_stable_order(name, shown)), 0.5
        yield _from_sources(origin), 1.0


def _in_stable_order(module: str, shown_as: str) -> list[Docstring]:
    # Not by name, since only the first ones may be taken. Of bytes.replace and str.replace, which say the same, the
    # one that more people ask about stays.
    return sorted(
        docstrings.compiled_docstrings(module, shown_as),
        key=lambda found: (not found.name.startswith(FAMILIAR), _stable_number(found.name)),
    )


def _from_sources(origin: str) -> Iterator[Docstring]:
    """Module by module in the order of their hashes, so that files are read only as needed."""
    files = docstrings.standard_library_files() if origin == "stdlib" else docstrings.source_files(origin)
    for module, file in sorted(files, key=lambda each: _stable_number(each[0])):
        yield from docstrings.read_docstrings(file, module)


def _split(table: pyarrow.Table, description: str) -> DatasetDict:
    splits = [split_of(module) for module in table["module"].to_pylist()]
    return DatasetDict(
        {
            split: Dataset(
                table.filter(pyarrow.array([each == split for each in splits])),
                info=DatasetInfo(description=description, features=FEATURES),
            )
            for split in SPLITS
        }
    )


def _stable_number(text: str) -> float:
    """From 0 to 1, the same for a text on every machine and in every run."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def _shortened(origins: Sequence[str]) -> str:
    return repr(tuple(origins) if len(origins) < 10 else (*origins[:9], "..."))
