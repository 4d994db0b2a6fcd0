"""Is a committed notebook fit to be read, run and compared? Each check returns its complaints; none is good.

The checks take the notebook as nbformat reads it (version 4) and look at nothing else: no kernel, no library.
"""

import ast
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LONGEST_CODE_CELL = 30
LONGEST_TEXT_CELL = 120
LEAST_COMPARED = 0.60
FEWEST_PREDICTIONS = 2
LARGEST_FILE = 500 * 1024

# What nbval does not compare of an output (without --nbdime), and the tags and comments that keep it from comparing.
UNCOMPARED_KEYS = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
MEASURED_NUMBER = re.compile(r"≈ ?[-+]?[\d.,]*(?:e[-+]?\d+)?(?: ?(?:ms|s|min|h|[kMG]i?B)\b)?")

Notebook = Any


def problems(notebook: Notebook, name: str) -> list[str]:
    """All complaints about a notebook, `name` being its file name without ".ipynb". Empty if it may be committed."""
    found = [complaint for check in CHECKS for complaint in check(notebook)]
    if not name.startswith("00"):
        found += missing_predictions(notebook) + missing_retrieval(notebook)
    return found


def title_first(notebook: Notebook) -> list[str]:
    """The site and the report take the title from the first cell."""
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not re.match(r"# \S", first.source):
        return ["the first cell must be text that begins with '# Title'"]
    return []


def counted_without_gaps(notebook: Notebook) -> list[str]:
    """Counts 1, 2, 3, ... prove that the outputs come from one run from top to bottom."""
    counts = [cell.get("execution_count") for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        return [f"execution counts must be 1 to {len(counts)} without gaps, got {counts}; refresh the notebook"]
    return []


def no_errors_or_stderr(notebook: Notebook) -> list[str]:
    """A committed page shows no traceback and no warning."""
    found = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"code cell {number} ends with an error: {output.ename}: {output.evalue}")
            elif output.output_type == "stream" and output.name == "stderr":
                found.append(f"code cell {number} writes to stderr: {first_line(output.text)!r}")
    return found


def no_widget_state(notebook: Notebook) -> list[str]:
    """Widget state is large, random, and dead without its kernel."""
    found = ["the notebook's metadata holds widget state"] if "widgets" in notebook.metadata else []
    for number, cell in enumerate(code_cells(notebook), start=1):
        if any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in cell.outputs):
            found.append(f"code cell {number} shows a widget; in a batch run show a static picture or text")
    return found


def python_kernel(notebook: Notebook) -> list[str]:
    """Any other kernel name is that of one person's machine."""
    name = notebook.metadata.get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"the kernel must be named python3, got {name!r}"]


def annotated_parameters(notebook: Notebook) -> list[str]:
    """One cell tagged `parameters`, each line `name: type = default  # what it is`, with the three that all have."""
    tagged = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    found = [
        f"the notebook holds a cell tagged {tag!r}, left over from a run"
        for tag in ("injected-parameters",)
        if any(tag in cell.metadata.get("tags", []) for cell in notebook.cells)
    ]
    if len(tagged) != 1:
        return [*found, f"exactly one code cell must be tagged 'parameters', got {len(tagged)}"]
    defaults = {}
    lines = tagged[0].source.splitlines()
    for statement in ast.parse(tagged[0].source).body:
        line = lines[statement.lineno - 1]
        if not isinstance(statement, ast.AnnAssign) or statement.value is None:
            found.append(f"a parameter is written 'name: type = default  # what it is', got {line!r}")
        else:
            defaults[ast.unparse(statement.target)] = ast.unparse(statement.value)
            if "#" not in lines[(statement.end_lineno or statement.lineno) - 1]:
                found.append(f"the parameter needs a comment that says what it is: {line!r}")
    expected = {"profile": "'cpu'", "seed": "0", "weights": "'bundled'"}
    for name, default in expected.items():
        if defaults.get(name) != default:
            found.append(f"the parameters need {name} = {default} by default, got {defaults.get(name)}")
    return found


def finish_last(notebook: Notebook) -> list[str]:
    """Without `course.finish()` at the end a claim that fails would pass unseen."""
    cells = code_cells(notebook)
    if not cells or cells[-1].source.strip() != "course.finish()":
        return ["the last code cell must be 'course.finish()'"]
    return []


def enough_compared(notebook: Notebook) -> list[str]:
    """Most outputs must be held against a new run, or the page drifts from the code."""
    share = compared_share(notebook)
    if share < LEAST_COMPARED:
        return [
            f"only {share:.0%} of the code cells have an output that nbval really compares, "
            f"expected at least {LEAST_COMPARED:.0%}"
        ]
    return []


def stable_under_nbval(notebook: Notebook) -> list[str]:
    """What nbval cannot follow: cleared and captured outputs, and a trailing semicolon."""
    found = []
    for number, cell in enumerate(code_cells(notebook), start=1):
        for banned in ("clear_output", "Output("):
            if re.search(rf"\b{re.escape(banned)}", cell.source):
                found.append(f"code cell {number} uses {banned.rstrip('(')}, which nbval does not follow")
        if cell.source.rstrip().endswith(";"):
            found.append(f"code cell {number} ends with ';', which nbval does not follow; use '_ = ...'")
    return found


def no_paths_of_one_machine(notebook: Notebook) -> list[str]:
    """A path that exists on one machine means nothing to a reader, and differs in the next run."""
    here = {str(Path.home()), sys.prefix, os.getcwd()} - {"/"}
    known = [r"(?:home|Users|root|tmp|mnt|var|private)/[\w.]", *(re.escape(path.lstrip("/")) for path in here)]
    pattern = re.compile(rf"(?<![\w.:/~-])/(?:{'|'.join(known)})[^\s'\"<>]*|\b[A-Z]:\\\\?\w+")
    found = []
    for number, cell in enumerate(notebook.cells):
        texts = [cell.source, *output_texts(cell, compared_only=False)]
        hit = next(filter(None, map(pattern.search, texts)), None)
        if hit:
            found.append(f"cell {number} holds the path of one machine: {hit.group()!r}")
    return found


def short_cells(notebook: Notebook) -> list[str]:
    """Long code belongs into the library, long text into several cells. Tables and code blocks are not counted."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and len(cell.source.splitlines()) > LONGEST_CODE_CELL:
            found.append(
                f"cell {number} has {len(cell.source.splitlines())} lines of code, at most {LONGEST_CODE_CELL}"
            )
        if cell.cell_type == "markdown" and (words := count_words(cell.source)) > LONGEST_TEXT_CELL:
            found.append(f"cell {number} has {words} words of text, at most {LONGEST_TEXT_CELL}")
    return found


def alt_text_everywhere(notebook: Notebook) -> list[str]:
    """Every picture says what it shows, in outputs and in text cells."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            for kind in output.get("data", {}):
                alt = output.get("metadata", {}).get(kind, {})
                if kind.startswith("image/") and not (isinstance(alt, dict) and alt.get("alt", "").strip()):
                    found.append(f"cell {number} shows a picture without alt text; use course.figure(fig, alt=...)")
        if cell.cell_type == "markdown" and (
            re.search(r"!\[\s*\]\(", cell.source)
            or any("alt=" not in tag for tag in re.findall(r"<img\b[^>]*>", cell.source))
        ):
            found.append(f"cell {number} embeds a picture without alt text")
    return found


def small_file(notebook: Notebook) -> list[str]:
    """A repository keeps every version of a notebook for ever."""
    import nbformat

    size = len(nbformat.writes(notebook).encode())
    if size > LARGEST_FILE:
        return [f"the file has {size // 1024} KiB, at most {LARGEST_FILE // 1024} KiB"]
    return []


def missing_predictions(notebook: Notebook) -> list[str]:
    """A learner who guesses first learns more from the result."""
    asked = sum(len(re.findall(r"\bcourse\.predict\(", cell.source)) for cell in code_cells(notebook))
    return [] if asked >= FEWEST_PREDICTIONS else [f"{asked} predictions asked, at least {FEWEST_PREDICTIONS} expected"]


def missing_retrieval(notebook: Notebook) -> list[str]:
    """Questions on earlier notebooks, with folded answers, under a heading of their own."""
    heading = re.compile(r"^#+ .*(retriev|recall|remember|from memory|before you (start|begin))", re.I | re.M)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    folded = sum(text.count("<details") for text in texts)
    if not any(heading.search(text) for text in texts) or folded < 3:
        return [
            "retrieval questions are missing: a heading such as '## What do you remember?' "
            f"and three answers folded in <details> (found {folded})"
        ]
    return []


def compared_share(notebook: Notebook) -> float:
    """The share of code cells with an output that nbval holds against a new run, from 0 to 1."""
    cells = code_cells(notebook)
    return sum(map(is_compared, cells)) / len(cells) if cells else 0.0


def is_compared(cell: Any) -> bool:
    """Whether nbval would notice a change in what this cell puts out.

    Not so for cells tagged out of the comparison, never run, without output, with pictures or widgets alone, and
    where nothing is left once measured numbers are blurred.
    """
    if cell.get("execution_count") is None or UNCOMPARED_TAGS & set(cell.metadata.get("tags", [])):
        return False
    comments = {line.strip().lstrip("#").strip().lower().replace("_", "-") for line in _comment_lines(cell.source)}
    if UNCOMPARED_TAGS & comments:
        return False
    return any(re.search(r"\w", MEASURED_NUMBER.sub("", text)) for text in output_texts(cell, compared_only=True))


def output_texts(cell: Any, *, compared_only: bool) -> Iterator[str]:
    """The texts that a code cell puts out; pictures are left out, and with `compared_only` all that nbval skips."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text
        elif output.output_type == "error":
            yield "\n".join([output.ename, output.evalue, *([] if compared_only else output.traceback)])
        for kind, content in output.get("data", {}).items():
            if kind not in UNCOMPARED_KEYS and not kind.startswith("image/"):
                yield content if isinstance(content, str) else repr(content)


def count_words(text: str) -> int:
    """Words of running text in Markdown: without code blocks, tables, HTML tags and the addresses of links."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"^\s*\|.*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text)
    return len([word for word in text.split() if re.search(r"\w", word)])


def code_cells(notebook: Notebook) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _comment_lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip().startswith("#")]


CHECKS: list[Callable[[Notebook], list[str]]] = [
    title_first,
    counted_without_gaps,
    no_errors_or_stderr,
    no_widget_state,
    python_kernel,
    annotated_parameters,
    finish_last,
    enough_compared,
    stable_under_nbval,
    no_paths_of_one_machine,
    short_cells,
    alt_text_everywhere,
    small_file,
]
