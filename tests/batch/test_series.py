import json

import pytest

from course_lib.batch.series import UsageError, find_notebooks, select


@pytest.fixture
def folder(tmp_path, write_notebook):
    write_notebook(tmp_path, "10_later")
    write_notebook(tmp_path, "02_attention", title="Which word should it look at?")
    write_notebook(tmp_path, "00_start_here")
    (tmp_path / "notes.ipynb").write_text("not one of the series")
    (tmp_path / "02_attention.attempt1.partial.ipynb").write_text("{")
    return tmp_path


def test_notebooks_come_by_number_and_other_files_are_left_out(folder):
    assert [info.name for info in find_notebooks(folder)] == ["00_start_here", "02_attention", "10_later"]


def test_a_title_is_the_first_heading(folder):
    assert find_notebooks(folder)[1].title == "Which word should it look at?"


def test_parameters_have_types_defaults_and_help(tmp_path, write_notebook):
    source = (
        'profile: str = "cpu"  # which settings\n'
        "rate = 0.5  # guessed from the default\n"
        "size: int | None = None\n"
        "steps: list[int] = [\n    1,\n    2,\n]  # of training\n"
        "double = rate * 2"
    )
    write_notebook(tmp_path, "01_a", parameters=source)
    parameters = find_notebooks(tmp_path)[0].parameters
    assert {name: (item.type, item.default, item.help) for name, item in parameters.items()} == {
        "profile": ("str", "cpu", "which settings"),
        "rate": ("float", 0.5, "guessed from the default"),
        "size": ("int | None", None, ""),
        "steps": ("list[int]", [1, 2], "of training"),
        "double": ("Any", None, ""),
    }
    assert not parameters["double"].default_is_literal
    assert parameters["size"].default_is_literal


@pytest.mark.parametrize("given", ["2", "02", "02_attention", "02_attention.ipynb", "notebooks/02_attention.ipynb"])
def test_a_notebook_is_found_by_number_name_or_file(folder, given):
    assert [info.name for info in select(find_notebooks(folder), [given])] == ["02_attention"]


@pytest.mark.parametrize("names", [[], ["all"], ["10", "0", "2", "00"]])
def test_a_selection_keeps_the_series_order_without_repeats(folder, names):
    assert [info.number for info in select(find_notebooks(folder), names)] == [0, 2, 10]


def test_a_misspelt_notebook_gets_a_suggestion(folder):
    with pytest.raises(UsageError, match=r"unknown notebook '02_atention'; did you mean 02_attention\?"):
        select(find_notebooks(folder), ["02_atention"])


def test_a_number_that_is_not_there_lists_what_is(folder):
    with pytest.raises(UsageError, match="there are: 00_start_here, 02_attention, 10_later"):
        select(find_notebooks(folder), ["7"])


def test_a_missing_folder_and_an_empty_one_are_told_apart(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        find_notebooks(tmp_path / "missing")
    with pytest.raises(UsageError, match="no notebooks in"):
        find_notebooks(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"cells": 3}', '{"cells": [1]}', '{"cells": [{"metadata": null}]}']
)
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "01_broken.ipynb").write_text(content)
    with pytest.raises(UsageError, match=r"01_broken\.ipynb cannot be read as a notebook"):
        find_notebooks(tmp_path)


@pytest.mark.parametrize("source", ["width: int = (1", 'text = """abc', "  width = 1", "width: = 1"])
def test_a_parameters_cell_that_is_not_python_is_named(tmp_path, source):
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    (tmp_path / "01_broken.ipynb").write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(UsageError, match=r"the parameters cell of .*01_broken\.ipynb is not valid Python"):
        find_notebooks(tmp_path)
