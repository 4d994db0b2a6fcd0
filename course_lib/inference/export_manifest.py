"""What does a folder of graphs hold, and is it whole? Its manifest says so, and is written last (notebook 10)."""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MANIFEST_FILE = "manifest.json"
FORMAT = 1
EXPORT_KEY = "course_export"  # in each graph's own metadata: which export it came from


class ExportError(ValueError):
    """An export that cannot be made, is not whole, or does not fit what it is asked to do."""


@dataclass(frozen=True)
class Manifest:
    """What is known of an export.

    family: "long_t5" or "gpt". precision: "fp32", "fp16" or "int8". tokens: "start" (of an encoder-decoder's answer),
    "end" (of a text; None: there is none) and "pad". context_size: what the model was trained on; of a GPT also the
    most that it can read. graphs: the file of each. files: size and SHA-256 of every file. differences: from torch, the
    largest in each graph when it was checked. identity: the same in the manifest and in each graph.
    """

    name: str
    family: str
    vocabulary_size: int
    context_size: int
    tokens: dict[str, int | None]
    opset: int
    identity: str
    precision: str = "fp32"
    graphs: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Of the graphs and their weights."""
        return sum(entry["bytes"] for name, entry in self.files.items() if ".onnx" in name)

    def write(self, folder: Path) -> None:
        """Write manifest.json, with the sizes and hashes of all files that are there by now."""
        files = {path.name: fingerprint(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST_FILE}
        content = {"format": FORMAT, **asdict(self), "files": files}
        (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of an export. Raises ExportError where there is none, or one that cannot be read."""
    file = Path(folder) / MANIFEST_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = content.pop("format")
        if found != FORMAT:
            raise ExportError(f"{file} has format {found!r}, and {FORMAT} is read; export the model again")
        return Manifest(**content)
    except (FileNotFoundError, NotADirectoryError):
        raise ExportError(
            f"{folder} is no finished export: there is no {MANIFEST_FILE}, which is written last; export the model "
            "again"
        ) from None
    except ExportError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ExportError(f"{file} cannot be read ({error}); export the model again") from error


def verify(folder: Path | str, manifest: Manifest) -> None:
    """Raises ExportError, naming it, for a file that is missing, damaged, or of another export."""
    for name, expected in manifest.files.items():
        file = Path(folder) / name
        if not file.is_file():
            raise ExportError(f"{file} is missing; export the model again")
        if fingerprint(file) == expected:
            continue
        other = _export_of(file) if name in manifest.graphs.values() else None
        if other not in (None, manifest.identity):
            raise ExportError(
                f"{file} belongs to another export than its {MANIFEST_FILE}: to {other!r}, not {manifest.identity!r}; "
                "put back the file that was there, or export the model again"
            )
        raise ExportError(
            f"{file} is damaged: it has {file.stat().st_size:,} bytes and another SHA-256 than its {MANIFEST_FILE} "
            f"says ({expected['bytes']:,} bytes); copy it again, or export the model again"
        )


def new_identity(name: str) -> str:
    """A name that no other export has."""
    return f"{name} {uuid.uuid4().hex[:12]}"


def stamp(file: Path, identity: str) -> None:
    """Write into a graph which export it is of, and take out from which lines of which files its nodes came.

    Those lines tell of the machine that it was made on, and are longer than a small model. Weights beside it stay.
    """
    import onnx

    stored = onnx.load(file, load_external_data=False)
    graph = stored.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.helper.set_model_props(stored, {EXPORT_KEY: identity})
    onnx.save(stored, file)


def fingerprint(file: Path) -> dict[str, Any]:
    """Size and SHA-256."""
    with file.open("rb") as opened:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}


def _export_of(file: Path) -> str | None:
    """Which export a graph says it is of; None if it does not say, or cannot be read at all."""
    import onnx

    try:
        graph = onnx.load(file, load_external_data=False)
    except Exception:  # onnx raises protobuf's errors, whatever they are called
        return None
    return next((entry.value for entry in graph.metadata_props if entry.key == EXPORT_KEY), None)
