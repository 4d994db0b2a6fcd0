"""How does a notebook that was cut off show where, instead of looking finished?"""

import json
from pathlib import Path

from course_lib.batch.files import write_atomically


def publish(partial: Path, output: Path, *, cell_index: int | None = None, error: str | None = None) -> bool:
    """Move the saved `partial` notebook to its final name; False when there is nothing to publish.

    With `error`, it is first written as an error output of the cell that was running: papermill marks that cell and
    all later ones as completed when their kernel is gone. Raises OSError when there is no room for it.
    """
    if not partial.exists():
        return False
    if error is not None:
        notebook = json.loads(partial.read_text(encoding="utf-8"))
        _show_error(notebook["cells"], cell_index, error)
        write_atomically(partial, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    partial.replace(output)
    return True


def _show_error(cells: list[dict], cell_index: int | None, error: str) -> None:
    first = next((index for index, cell in enumerate(cells) if cell["cell_type"] == "code"), 0)
    stopped = cell_index if cell_index is not None and cell_index < len(cells) else first
    name, _, text = error.partition(": ")
    outputs = cells[stopped].setdefault("outputs", [])
    if not any(output["output_type"] == "error" for output in outputs):
        outputs.append({"output_type": "error", "ename": name, "evalue": text, "traceback": [error]})
    for index, cell in enumerate(cells[stopped:]):
        cell["metadata"].setdefault("papermill", {}).update(
            status="failed" if index == 0 else "pending", exception=index == 0
        )
