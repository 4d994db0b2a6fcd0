import asyncio
import os
import subprocess
import sys

import nbformat
import pytest

from course_lib import progress
from course_lib.exercises import CheckFailed, check, hint, step
from course_lib.exercises.catalogue import ExerciseError
from course_lib.exercises.display import EXERCISE_MIME

RIGHT = "def masked_softmax(energies, is_word):\n    return energies.masked_fill(~is_word, float('-inf')).softmax(-1)\n"
WRONG = "def masked_softmax(energies, is_word):\n    return energies.softmax(-1)\n"
IMPORT = "from course_lib.exercises import check, hint, step\n"


@pytest.fixture
def run_cells(tmp_path, own_progress):
    """Run cells in a real kernel, live unless `mode` says batch, and return them."""
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    from course_lib.batch.refresh import ThisPython

    def run(*sources, mode=""):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_spec_manager=ThisPython()),
            timeout=60,
            allow_errors=True,
            store_widget_state=False,
        )
        asyncio.run(client.async_execute(env={**os.environ, "COURSE_MODE": mode}))
        nbformat.validate(notebook)
        return notebook.cells

    return run


def test_importing_the_package_loads_no_torch():
    script = (
        "import sys, course_lib.exercises as e; assert 'torch' not in sys.modules\n"
        "from course_lib.exercises import CheckFailed, check, hint, step"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    import course_lib.exercises

    assert {"check", "hint", "step", "CheckFailed"} <= set(dir(course_lib.exercises))
    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        course_lib.exercises.chek  # noqa: B018


def test_outside_a_notebook_the_callers_names_are_checked(own_progress, capsys):
    exec(IMPORT + RIGHT + 'check("02.1")', {})
    assert "2 of 2 properties hold" in capsys.readouterr().out

    def masked_softmax(energies, is_word):
        return energies.softmax(-1)

    check("02.1")
    assert "1 of 2 properties hold" in capsys.readouterr().out
    assert progress.exercise_progress("02.1").attempts == 2


def test_a_named_check_raises_in_one_line(own_progress, capsys):
    with pytest.raises(CheckFailed, match="padding_gets_nothing: padding gets no weight") as raised:
        exec(IMPORT + WRONG + 'check("02.1", "padding_gets_nothing")', {})
    assert raised.value._render_traceback_() == [f"CheckFailed: {raised.value}"]
    assert "the property does not hold" in capsys.readouterr().out
    exec(IMPORT + WRONG + 'check("02.1", "words_share_one")', {})
    exec(IMPORT + WRONG + 'check("02.1")', {})


def test_in_a_batch_a_whole_check_raises_too(own_progress, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_MODE", "batch")
    with pytest.raises(CheckFailed):
        exec(IMPORT + WRONG + 'check("02.1")', {})
    exec(IMPORT + RIGHT + 'check("02.1")', {})
    assert not own_progress.exists()


def test_an_unknown_exercise_or_check_is_named_with_what_there_is(own_progress):
    with pytest.raises(ExerciseError, match=r"02\.1"):
        check("02.1_masked_sofmax")
    with pytest.raises(ExerciseError, match="has no check 'sums'; it has: words_share_one"):
        check("02.1", "sums")


def test_each_call_opens_one_further_hint_and_shows_those_before(own_progress, capsys):
    told = []
    for _ in range(4):
        hint("02.1")
        told.append(capsys.readouterr().out)
    assert [text.count("· hint ") for text in told] == [1, 2, 3, 3]
    assert "hint 1 of 3 (nudge)" in told[0]
    assert "hint 2 of 3 (outline)" in told[1]
    assert "hint 3 of 3 (code)" in told[2]
    assert told[2] == told[3]
    assert progress.exercise_progress("02.1").hints_used == 3
    assert len([event for event in progress.events() if event.kind == "hint"]) == 3


def test_a_hint_seen_before_is_shown_again_without_counting(own_progress, capsys):
    hint("02.1")
    hint("02.1", 1)
    assert progress.exercise_progress("02.1").hints_used == 1
    with pytest.raises(ExerciseError, match=r'hint 2 of 02\.1 was not opened yet; hint\("02\.1"\) opens the next'):
        hint("02.1", 2)
    for number in (0, 4, -1):
        with pytest.raises(ExerciseError, match="numbered 1 to 3"):
            hint("02.1", number)


def test_help_is_counted_and_told_in_the_panel(own_progress, capsys):
    step("02.1", "order")
    hint("02.1")
    exec(IMPORT + RIGHT + 'check("02.1")', {})
    assert "With help: 1 of 3 hints, the step 'order'." in capsys.readouterr().out


def test_an_unknown_step_is_not_counted(own_progress):
    with pytest.raises(ExerciseError, match="there are: order, gaps, blank"):
        step("02.1", "easy")
    assert progress.exercise_progress("02.1").steps_used == []


def test_in_a_worker_one_line_is_printed_and_nothing_done(own_progress, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_ANSWERING", "1")
    check("02.1", "padding_gets_nothing")
    hint("no such")
    step("02.1", "order")
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert not own_progress.exists()


def test_in_a_notebook_there_is_a_panel_with_text_html_and_data(run_cells):
    cells = run_cells(IMPORT + WRONG, 'check("02.1")', 'check("02.1", "padding_gets_nothing")', 'step("02.1", "gaps")')
    (shown,) = cells[1].outputs
    assert {"text/html", "text/plain", EXERCISE_MIME} <= set(shown.data)
    assert shown.data[EXERCISE_MIME]["passed"] is False
    panel, error = cells[2].outputs
    assert panel.data[EXERCISE_MIME]["check"] == "padding_gets_nothing"
    assert error.ename == "CheckFailed"
    assert len(error.traceback) == 1
    assert "it is in the next cell" in cells[3].outputs[0].text


def test_in_a_batch_notebook_the_step_is_printed(run_cells, own_progress):
    (cell,) = run_cells(IMPORT + 'step("02.1", "gaps")\nhint("02.1")', mode="batch")
    assert "energies.masked_fill(____, ____)" in cell.outputs[0].text
    assert "hint 1 of 3" in cell.outputs[1].data["text/markdown"]
    assert not own_progress.exists()


def test_progress_survives_the_kernel(run_cells):
    run_cells(IMPORT + 'hint("02.1")')
    run_cells(IMPORT + 'hint("02.1")')
    assert progress.exercise_progress("02.1").hints_used == 2
