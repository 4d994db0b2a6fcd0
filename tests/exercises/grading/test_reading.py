import json
import os

import pytest

from course_lib.exercises.grading import reading
from course_lib.exercises.grading.reading import Unreadable, read_bytes, read_notebook


def refused(content: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read_notebook(content)
    return caught.value


def test_a_notebook_gives_its_cells_and_exercise(notebook):
    read = read_notebook(notebook("x = 1", "y = 2").encode())
    assert [cell.source for cell in read.cells[:2]] == ["x = 1", "y = 2"]
    assert [cell.grade_id for cell in read.cells if cell.graded] == ["double_works", "double_of_nothing"]
    assert read.exercise == "01.1"


def test_a_mark_of_byte_order_does_no_harm(notebook):
    assert read_notebook(b"\xef\xbb\xbf" + notebook("x = 1").encode()).exercise == "01.1"


def test_sources_may_be_lists_of_lines():
    cells = [{"cell_type": "code", "source": ["a = 1\n", "b = 2"], "metadata": {}, "outputs": []}]
    content = json.dumps({"cells": cells, "nbformat": 4, "metadata": {}})
    assert read_notebook(content.encode()).cells[0].source == "a = 1\nb = 2"


@pytest.mark.parametrize(
    ("content", "error_class", "said"),
    [
        (b"", "empty file", "empty"),
        (b" \n\0", "empty file", "empty"),
        ("{}".encode("utf-16"), "wrong encoding", "UTF-16"),
        ('{"a": 1}'.encode("utf-16-le"), "wrong encoding", "UTF-16"),
        ('{"cells": ["é"]}'.encode("latin-1"), "wrong encoding", "not UTF-8 (byte 12)"),
        (b"\x89PNG\r\n\x1a\n\xff\xff", "not a notebook", "not text"),
        (b"def double(number): pass", "not a notebook", "does not begin with {"),
        (b"[1, 2]", "not a notebook", "not a notebook"),
        (b"{}", "not a notebook", "no nbformat 4"),
        (b'{"nbformat": 4, "cells": {}}', "not a notebook", "no nbformat 4"),
        (b'{"nbformat": 3, "worksheets": []}', "old format", "format 3, not 4"),
        (b'{"nbformat": 5, "cells": []}', "old format", "format 5, not 4"),
        (b'{"nbformat": 4, "cells": [', "damaged file", "breaks off"),
        (b'{"nbformat": 4, "cells": "abc', "damaged file", "breaks off"),
        (b'{"nbformat": 4,, "cells": []}', "damaged file", "is damaged"),
        (b'{"a": ' + b"[" * 200_000, "damaged file", "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "damaged file", "absurd numbers"),
    ],
)
def test_what_is_no_notebook_is_refused_and_says_why(content, error_class, said):
    found = refused(content)
    assert found.error_class == error_class
    assert said in found.text
    assert "\n" not in found.text


def test_a_cut_notebook_breaks_off(notebook):
    whole = notebook("x = 1").encode()
    assert {refused(whole[:length]).error_class for length in (10, 40, len(whole) - 1)} == {"damaged file"}


def test_odd_parts_are_passed_over():
    cells = ["text", None, 3, {"cell_type": ["code"], "source": {"a": 1}, "metadata": 7, "outputs": "x"}]
    read = read_notebook(json.dumps({"cells": cells, "nbformat": 4, "metadata": []}).encode())
    assert [(cell.kind, cell.source) for cell in read.cells] == [("raw", "")]


def test_half_a_character_in_a_source_becomes_one_that_can_be_written():
    content = b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = \\"\\ud800\\""}]}'
    assert read_notebook(content).cells[0].source.encode("utf-8")


def test_reports_of_hints_are_found_in_outputs(notebook):
    report = {"exercise": "01.1", "hints_used": 2, "steps_used": ["order"]}
    output = {"output_type": "display_data", "data": {reading.REPORTED: report}}
    assert read_notebook(notebook("1", outputs=[output, {"data": 3}, "x"]).encode()).reported == (report,)


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    with open(path, "wb") as file:
        file.truncate(reading.LARGEST_FILE + 1)
    with pytest.raises(Unreadable, match="clear the outputs") as caught:
        read_bytes(path)
    assert caught.value.error_class == "too large"


def test_a_named_pipe_does_not_hold_up_the_class(tmp_path):
    os.mkfifo(tmp_path / "a.ipynb")
    with pytest.raises(Unreadable, match="no ordinary file"):
        read_bytes(tmp_path / "a.ipynb")


def test_more_code_than_any_exercise_needs_is_refused(notebook):
    assert refused(notebook("#" * (reading.LARGEST_CODE + 1)).encode()).error_class == "too large"
