import json

import pytest

from course_lib.batch.publish import publish


@pytest.fixture
def partial(tmp_path, write_notebook):
    return write_notebook(tmp_path, "a.partial", "print(1)", "hang()", "print(3)")


def outputs_of(path):
    return [cell.get("outputs") for cell in json.loads(path.read_text())["cells"]]


def test_a_finished_notebook_is_moved_as_it_is(partial, tmp_path):
    before = partial.read_text()
    assert publish(partial, tmp_path / "a.ipynb")
    assert (tmp_path / "a.ipynb").read_text() == before
    assert not partial.exists()


def test_the_cell_that_was_running_shows_the_error(partial, tmp_path):
    publish(partial, tmp_path / "a.ipynb", cell_index=3, error="Timeout: took longer than 2 s")
    outputs = outputs_of(tmp_path / "a.ipynb")
    assert outputs[3][0]["ename"] == "Timeout"
    assert outputs[3][0]["evalue"] == "took longer than 2 s"
    assert outputs[1] == outputs[2] == outputs[4] == []


def test_a_notebook_cut_off_before_its_first_cell_shows_the_error_there(partial, tmp_path):
    publish(partial, tmp_path / "a.ipynb", error="LostProcess: signal 9")
    assert outputs_of(tmp_path / "a.ipynb")[1][0]["ename"] == "LostProcess"


def test_without_a_saved_notebook_there_is_nothing_to_publish(tmp_path):
    assert not publish(tmp_path / "missing.partial.ipynb", tmp_path / "a.ipynb", error="x")
