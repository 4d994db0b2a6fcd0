"""A small notebook that is fit to be committed, for the tests to spoil."""

import nbformat
import pytest

SOURCES = [
    ("markdown", "# Does a trial work?\n\nA notebook of the least size."),
    ("markdown", "## What do you remember?\n" + "<details><summary>What?</summary>That.</details>\n" * 3),
    (
        "parameters",
        'profile: str = "cpu"  # smoke, cpu or gpu\nseed: int = 0  # of all random numbers\n'
        'weights: str = "bundled"  # where weights come from',
    ),
    ("code", 'from course_lib import lesson\n\ncourse = lesson.start("07_trial", profile=profile, seed=seed)'),
    ("code", 'guess = course.predict("How much is 6 times 7?")'),
    ("code", 'product = 6 * 7\nprint(f"product {product}, on this machine {lesson.about(product)}")'),
    ("code", 'course.predict("Even or odd?", ["even", "odd"])'),
    ("code", 'course.claim("the product is the answer", product, equals=42)'),
    ("code", 'course.record("product_as_float", float(product))'),
    ("code", "course.finish()"),
]


@pytest.fixture
def unrun():
    """The notebook as an author writes it, never run."""
    cells = []
    for number, (kind, source) in enumerate(SOURCES):
        new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        metadata = {"tags": ["parameters"]} if kind == "parameters" else {}
        cells.append(new(source, id=f"cell-{number}", metadata=metadata))
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def notebook(unrun):
    """The same with counts and an output everywhere but in the parameters cell, as after a run."""
    code = [cell for cell in unrun.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
        if count > 1:
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"output {count}\n")]
    unrun.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return unrun


@pytest.fixture
def trial(tmp_path, unrun):
    """The unrun notebook as a file named 07_trial.ipynb."""
    path = tmp_path / "07_trial.ipynb"
    nbformat.write(unrun, path)
    return path
