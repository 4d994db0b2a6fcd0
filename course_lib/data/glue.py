"""How good is a fine-tuned model on the field's own tests? SST-2 and CoLA, two of GLUE's nine tasks (notebook 05).

Source: Wang et al. 2019, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding".
For research and teaching only; the project carries no part of the data.
"""

from collections.abc import Sequence
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Value

from course_lib.data import mirror

SST2_LABELS = ("negative", "positive")
COLA_LABELS = ("unacceptable", "acceptable")
# github.com/forest-snow/alps at 3c7ef2c98249fc975a897b27f275695f97d5b7a9, data/SST-2
SST2_FILES: dict[str, tuple[str, str | None]] = {
    "train": ("train.tsv", "920e317b2c52e12cd22db1da2c6708312bd7dc4f3712b9bbf1b50ee6c2c792ba"),
    "validation": ("dev.tsv", "92353770071a2a889f75d000a38a9e541ea8f0a5499e50f040b17917a5cbf66f"),
}
# github.com/nyu-mll/CoLA-baselines at dd095d3646ed05a315280aaa8ed4ec84ba435b3e, acceptability_corpus/cola_public/raw
COLA_FILES: dict[str, tuple[str, str | None]] = {
    "train": ("in_domain_train.tsv", "f320a10f92d3bce6b29152fde322a362eac39238e50d8de0c8815457fdf4fc12"),
    "in_domain": ("in_domain_dev.tsv", "77176f6a03faa5a1c4f23c69971fc1bff565931112fb65af47b2d6e24b7f42f7"),
    "out_of_domain": ("out_of_domain_dev.tsv", "201b9c57b2a20f1282242eec0ed8995729e3be19c29a46c047b3727338836c05"),
}


def load_sst2() -> DatasetDict:
    """Load SST-2, phrases of film reviews that are negative or positive, from the mirror's folder `glue_sst2`.

    Columns: `text` and `label`. This carrier's validation split is a tenth of GLUE's *training* phrases, drawn at
    random, and phrases of one review stand on both sides: a score on it is higher than one on GLUE's own 872
    sentences and may not be set beside published ones.

    Raises FileNotFoundError without the mirror, ValueError for a damaged file.
    """
    rows = {}
    for split, (name, sha256) in SST2_FILES.items():
        path = _located(f"glue_sst2/{name}", sha256)
        header, *lines = _lines(path)
        if header != "sentence\tlabel":
            raise ValueError(f"{path} begins with {header!r}; expected the header 'sentence\\tlabel'.")
        rows[split] = [_row(path, number, line, 2, text=0, label=1) for number, line in enumerate(lines, start=2)]
    return _dataset(rows, SST2_LABELS, "SST-2 (a tenth of its training phrases held out)")


def load_cola() -> DatasetDict:
    """Load CoLA, sentences from linguistics that are acceptable or not, from the mirror's folder `glue_cola`.

    Columns: `text` and `label`. Splits: train; in_domain and out_of_domain (from books that train does not know);
    and validation, both together: GLUE's validation set of 1,043 sentences. Its measure is Matthews' correlation.

    Raises FileNotFoundError without the mirror, ValueError for a damaged file.
    """
    rows = {}
    for split, (name, sha256) in COLA_FILES.items():
        path = _located(f"glue_cola/{name}", sha256)
        rows[split] = [
            _row(path, number, line, 4, text=3, label=1) for number, line in enumerate(_lines(path), start=1)
        ]
    rows["validation"] = rows["in_domain"] + rows["out_of_domain"]
    return _dataset(rows, COLA_LABELS, "CoLA 1.1, public part")


def _located(path: str, sha256: str | None) -> Path:
    try:
        return mirror.locate(path, sha256)
    except FileNotFoundError as error:
        folder = path.partition("/")[0]
        raise FileNotFoundError(f"{error} (GLUE is read from the mirror's folder {folder} alone.)") from error


def _lines(path: Path) -> list[str]:
    # Not splitlines(), which also cuts at rare separators inside a line.
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _row(path: Path, number: int, line: str, columns: int, *, text: int, label: int) -> tuple[str, int]:
    cells = line.split("\t")
    if len(cells) != columns or cells[label] not in ("0", "1") or not cells[text].strip():
        raise ValueError(f"{path}, line {number}: expected {columns} columns, a label 0 or 1 and a text, got {line!r}")
    return cells[text].strip(), int(cells[label])


def _dataset(rows: dict[str, list[tuple[str, int]]], names: Sequence[str], description: str) -> DatasetDict:
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(names))})
    info = DatasetInfo(description=f"{description}, from the mirror", features=features)
    return DatasetDict(
        {
            split: Dataset.from_dict(
                {"text": [text for text, _ in pairs], "label": [label for _, label in pairs]},
                features=features,
                info=info,
            )
            for split, pairs in rows.items()
        }
    )
