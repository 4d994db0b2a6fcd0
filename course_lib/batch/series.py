"""Which notebooks does the series have, and which parameters does each take?"""

import ast
import io
import json
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib.batch.errors import UsageError, unknown

__all__ = ["NotebookInfo", "Parameter", "UsageError", "find_notebooks", "read_notebook_info", "select"]

NUMBERED = re.compile(r"^(\d+)_.+(?<!\.partial)\.ipynb$")


@dataclass(frozen=True)
class Parameter:
    """One assignment of the cell tagged `parameters`.

    `type` is the annotation as written ("int", "str | None"), or the type of the default where there is none.
    `default` is the value itself, or None with `default_is_literal` False where the source is not a plain literal.
    `help` is the comment behind the assignment.
    """

    name: str
    type: str
    default: Any
    help: str = ""
    default_is_literal: bool = True


@dataclass(frozen=True)
class NotebookInfo:
    """A notebook as the runner knows it: a file with a number, a title and parameters.

    `tags` are all cell tags in use; `metadata` is the notebook's own metadata; `code_cells` counts the code cells.
    """

    name: str
    path: Path
    title: str
    parameters: dict[str, Parameter]
    tags: frozenset[str] = frozenset()
    metadata: dict[str, Any] = field(default_factory=dict)
    code_cells: int = 0

    @property
    def number(self) -> int:
        return int(self.name.split("_", 1)[0])


def find_notebooks(folder: Path) -> list[NotebookInfo]:
    """All notebooks named `NN_topic.ipynb` in `folder`, by number.

    Raises UsageError when the folder is missing or holds none, or when a file is not a notebook.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; give the folder that holds the notebooks, such as notebooks/")
    paths = [path for path in folder.iterdir() if NUMBERED.match(path.name)]
    if not paths:
        raise UsageError(f"no notebooks in {folder}; their names begin with a number, as in 01_topic.ipynb")
    return sorted((read_notebook_info(path) for path in paths), key=lambda info: (info.number, info.name))


def read_notebook_info(path: Path) -> NotebookInfo:
    """Title, parameters and tags of one notebook file. Raises UsageError when it cannot be read as a notebook."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = list(content["cells"])
        parameter_cells = [cell for cell in cells if "parameters" in _tags(cell)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read as a notebook: {error!r}") from error
    if len(parameter_cells) > 1:
        raise UsageError(f"{path} has {len(parameter_cells)} cells tagged 'parameters'; exactly one is expected")
    try:
        parameters = _read_parameters(_source(parameter_cells[0])) if parameter_cells else {}
    except (SyntaxError, tokenize.TokenError) as error:
        raise UsageError(f"the parameters cell of {path} is not valid Python: {error}") from error
    return NotebookInfo(
        name=path.stem,
        path=path.resolve(),
        title=_title(cells) or path.stem,
        parameters=parameters,
        tags=frozenset(tag for cell in cells for tag in _tags(cell)),
        metadata=content.get("metadata", {}),
        code_cells=sum(cell.get("cell_type") == "code" for cell in cells),
    )


def select(infos: list[NotebookInfo], names: list[str]) -> list[NotebookInfo]:
    """The notebooks asked for, in the order of the series and without repeats; no names means all.

    A name is "all", a number ("1", "01"), a full name ("01_topic") or a file name. Raises UsageError for others.
    """
    if not names:
        return list(infos)
    chosen: set[str] = set()
    for given in names:
        if given == "all":
            return list(infos)
        name = Path(given).name.removesuffix(".ipynb")
        found = [info.name for info in infos if info.name == name or (name.isdecimal() and int(name) == info.number)]
        if not found:
            raise unknown("notebook", given, [info.name for info in infos])
        chosen.update(found)
    return [info for info in infos if info.name in chosen]


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def _title(cells: list[dict[str, Any]]) -> str | None:
    for cell in cells:
        if cell.get("cell_type") == "markdown":
            for line in _source(cell).splitlines():
                if line.startswith("# "):
                    return line.removeprefix("# ").strip()
    return None


def _read_parameters(source: str) -> dict[str, Parameter]:
    comments = {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    parameters = {}
    for statement in ast.parse(source).body:
        annotation = None
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name, annotation = statement.target.id, ast.unparse(statement.annotation)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
        else:
            continue
        if statement.value is None:
            continue
        try:
            default, literal = ast.literal_eval(statement.value), True
        except (ValueError, TypeError):
            default, literal = None, False
        parameters[name] = Parameter(
            name=name,
            type=annotation or (type(default).__name__ if literal else "Any"),
            default=default,
            help=comments.get(statement.end_lineno or statement.lineno, ""),
            default_is_literal=literal,
        )
    return parameters
