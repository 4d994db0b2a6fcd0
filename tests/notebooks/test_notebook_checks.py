"""Each check finds its fault in a notebook that is otherwise fine."""

import nbformat
import pytest

from course_lib.batch.notebook_checks import compared_share, count_words, is_compared, problems


def code(notebook, number):
    """Code cell `number`, counted from 1 as in the complaints."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"][number - 1]


def display(data, **metadata):
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def add_text(notebook, source):
    notebook.cells.insert(2, nbformat.v4.new_markdown_cell(source))


def test_a_good_notebook_has_no_problems(notebook):
    assert problems(notebook, "07_trial") == []


def no_title(notebook):
    notebook.cells[0].source = "Welcome\n# Title"


def code_first(notebook):
    notebook.cells.reverse()


def gap_in_counts(notebook):
    code(notebook, 3).execution_count = 7


def stripped_count(notebook):
    code(notebook, 8).execution_count = None


def error_output(notebook):
    code(notebook, 3).outputs = [nbformat.v4.new_output("error", ename="KeyError", evalue="'x'", traceback=[])]


def stderr_output(notebook):
    code(notebook, 3).outputs.append(stream("UserWarning: something\n", "stderr"))


def widget_state(notebook):
    notebook.metadata["widgets"] = {}


def widget_view(notebook):
    code(notebook, 3).outputs.append(display({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}))


def strange_kernel(notebook):
    notebook.metadata.kernelspec.name = "my-venv"


def no_kernel(notebook):
    del notebook.metadata["kernelspec"]


def no_parameters_cell(notebook):
    code(notebook, 1).metadata.tags = []


def two_parameters_cells(notebook):
    code(notebook, 3).metadata.tags = ["parameters"]


def parameter_without_type(notebook):
    code(notebook, 1).source += "\ntemperature = 0.9  # how bold"


def parameter_without_comment(notebook):
    code(notebook, 1).source += "\ntemperature: float = 0.9"


def parameter_missing(notebook):
    code(notebook, 1).source = code(notebook, 1).source.replace("weights", "weight")


def other_default_profile(notebook):
    code(notebook, 1).source = code(notebook, 1).source.replace('"cpu"', '"smoke"')


def injected_parameters(notebook):
    code(notebook, 3).metadata.tags = ["injected-parameters"]


def no_finish(notebook):
    code(notebook, 8).source = "pass"


def finish_not_last(notebook):
    notebook.cells.append(nbformat.v4.new_code_cell("1", execution_count=9, outputs=[stream("1")]))


def few_compared(notebook):
    for number in (2, 3, 4, 5):
        code(notebook, number).outputs = []


def clears_output(notebook):
    code(notebook, 3).source = "from IPython.display import clear_output\nclear_output()"


def captures_output(notebook):
    code(notebook, 3).source = "box = ipywidgets.Output()"


def semicolon(notebook):
    code(notebook, 3).source = "axes.plot(x);\n"


def home_path_in_output(notebook):
    code(notebook, 3).outputs = [stream("saved in /home/somebody/model.pt")]


def windows_path_in_source(notebook):
    code(notebook, 3).source = 'open("C:\\\\data")'


def path_of_this_environment(notebook):
    import sys

    code(notebook, 3).outputs = [display({"text/html": f"<b>{sys.prefix}/lib</b>"})]


def long_code(notebook):
    code(notebook, 3).source = "\n".join(["x = 1"] * 31)


def long_text(notebook):
    add_text(notebook, "word " * 121)


def picture_without_alt(notebook):
    code(notebook, 3).outputs = [display({"image/png": "iVBO", "text/plain": "<Figure>"})]


def picture_with_empty_alt(notebook):
    code(notebook, 3).outputs = [display({"image/png": "iVBO"}, **{"image/png": {"alt": " "}})]


def markdown_picture_without_alt(notebook):
    add_text(notebook, "![](picture.png)")


def html_picture_without_alt(notebook):
    add_text(notebook, '<img src="picture.png">')


def too_large(notebook):
    code(notebook, 3).outputs = [stream("x" * 500 * 1024)]


def one_prediction(notebook):
    code(notebook, 3).source = "pass"


def no_retrieval_heading(notebook):
    notebook.cells[1].source = notebook.cells[1].source.replace("What do you remember?", "Something else")


def answers_not_folded(notebook):
    notebook.cells[1].source = notebook.cells[1].source.replace("<details>", "")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (no_title, "first cell must be text"),
        (code_first, "first cell must be text"),
        (gap_in_counts, "execution counts must be 1 to 8 without gaps"),
        (stripped_count, "execution counts must be 1 to 8 without gaps"),
        (error_output, "code cell 3 ends with an error: KeyError"),
        (stderr_output, "code cell 3 writes to stderr: 'UserWarning: something'"),
        (widget_state, "widget state"),
        (widget_view, "code cell 3 shows a widget"),
        (strange_kernel, "must be named python3, got 'my-venv'"),
        (no_kernel, "must be named python3, got None"),
        (no_parameters_cell, "exactly one code cell must be tagged 'parameters', got 0"),
        (two_parameters_cells, "exactly one code cell must be tagged 'parameters', got 2"),
        (parameter_without_type, "a parameter is written"),
        (parameter_without_comment, "needs a comment"),
        (parameter_missing, "need weights = 'bundled' by default, got None"),
        (other_default_profile, "need profile = 'cpu' by default, got 'smoke'"),
        (injected_parameters, "left over from a run"),
        (no_finish, "last code cell must be 'course.finish()'"),
        (finish_not_last, "last code cell must be 'course.finish()'"),
        (few_compared, "only 38% of the code cells"),
        (clears_output, "code cell 3 uses clear_output"),
        (captures_output, "code cell 3 uses Output"),
        (semicolon, "code cell 3 ends with ';'"),
        (home_path_in_output, "path of one machine: '/home/somebody/model.pt'"),
        (windows_path_in_source, "path of one machine"),
        (path_of_this_environment, "path of one machine"),
        (long_code, "has 31 lines of code, at most 30"),
        (long_text, "has 121 words of text, at most 120"),
        (picture_without_alt, "picture without alt text"),
        (picture_with_empty_alt, "picture without alt text"),
        (markdown_picture_without_alt, "embeds a picture without alt text"),
        (html_picture_without_alt, "embeds a picture without alt text"),
        (too_large, "at most 500 KiB"),
        (one_prediction, "1 predictions asked, at least 2"),
        (no_retrieval_heading, "retrieval questions are missing"),
        (answers_not_folded, "retrieval questions are missing"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_fault_is_found(notebook, spoil, complaint):
    spoil(notebook)
    found = problems(notebook, "07_trial")
    assert any(complaint in problem for problem in found), found


def test_the_first_notebook_needs_neither_retrieval_nor_predictions(notebook):
    del notebook.cells[1]
    one_prediction(notebook)
    assert problems(notebook, "00_start_here") == []
    assert len(problems(notebook, "01_trial")) == 2


def test_addresses_and_relative_paths_are_no_paths_of_a_machine(notebook):
    add_text(notebook, "See https://example.org/home/page, runs/latest/report.html, ~/notes and and/or.")
    assert problems(notebook, "07_trial") == []


def test_code_blocks_tables_tags_and_addresses_are_not_counted_as_words():
    text = "Two words\n```python\nx = 1 + 2\n```\n| a | b |\n|---|---|\n<details>three</details> [link](https://a b)"
    assert count_words(text) == 4


class TestComparedCells:
    """A cell counts as compared only if nbval would notice a change."""

    @pytest.fixture
    def cell(self):
        return nbformat.v4.new_code_cell("x", execution_count=1, outputs=[stream("loss 3\n")])

    def test_text_is_compared(self, cell):
        assert is_compared(cell)

    def test_a_cell_without_output_is_not(self, cell):
        cell.outputs = []
        assert not is_compared(cell)

    def test_a_cell_that_never_ran_is_not(self, cell):
        cell.execution_count = None
        assert not is_compared(cell)

    @pytest.mark.parametrize("tag", ["nbval-ignore-output", "nbval-skip"])
    def test_a_cell_tagged_out_is_not(self, cell, tag):
        cell.metadata.tags = ["other", tag]
        assert not is_compared(cell)

    @pytest.mark.parametrize("comment", ["# NBVAL_IGNORE_OUTPUT", "#NBVAL_SKIP"])
    def test_a_cell_commented_out_is_not(self, cell, comment):
        cell.source = f"x = 1\n{comment}\nx"
        assert not is_compared(cell)

    def test_a_picture_alone_is_not(self, cell):
        cell.outputs = [display({"image/png": "iVBO"})]
        assert not is_compared(cell)

    def test_a_widget_alone_is_not(self, cell):
        cell.outputs = [display({"application/vnd.jupyter.widget-view+json": {}})]
        assert not is_compared(cell)

    def test_the_text_beside_a_picture_is(self, cell):
        cell.outputs = [display({"image/png": "iVBO", "text/plain": "Figure: a line that falls"})]
        assert is_compared(cell)

    @pytest.mark.parametrize("text", ["≈0.97", "≈12 s\n", " ≈1,200 ≈3e-05 ", "≈3.2 GB"])
    def test_measured_numbers_alone_are_not(self, cell, text):
        cell.outputs = [stream(text)]
        assert not is_compared(cell)

    def test_the_words_around_a_measured_number_are(self, cell):
        cell.outputs = [stream("loss ≈0.97")]
        assert is_compared(cell)

    def test_the_share_is_over_all_code_cells(self, notebook):
        assert compared_share(notebook) == 7 / 8
        assert compared_share(nbformat.v4.new_notebook()) == 0
