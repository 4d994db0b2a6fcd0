"""`course play` serves to this machine alone, refuses what cannot be with a line, and leaves nothing when it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

from course_lib import cli
from course_lib.batch import app
from course_lib.batch.errors import UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def series(tmp_path):
    cells = [
        new_markdown_cell("# A playground"),
        new_code_cell('model: str = "pydoc-gpt"  # its name', metadata={"tags": ["parameters"]}),
        new_code_cell("course.predict('?')", metadata={"tags": ["lesson-only"]}),
        new_code_cell("print('settings')", metadata={"tags": ["app-quiet"]}),
        new_code_cell("print('the model is', model)", outputs=[nbformat.v4.new_output("stream", text="old")]),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "15_playground.ipynb")
    return tmp_path


def play(*arguments):
    result = CliRunner().invoke(cli.app, ["play", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_a_port_in_use_is_refused(series):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = play("--port", port, "--notebooks", series, "--no-browser")
    assert status == 2
    assert f"port {port} cannot be used" in said
    assert "leave out --port" in said


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_that_is_none_is_refused(port, series):
    assert play("--port", port, "--notebooks", series) == (2, f"course: --port must be from 1 to 65535, got {port}")


def test_a_missing_notebook_is_named(tmp_path):
    status, said = play("--notebooks", tmp_path)
    assert status == 2
    assert "15_playground.ipynb; give the folder of the series by --notebooks" in said


def test_a_missing_voila_is_said_with_the_line_that_installs_it(series, monkeypatch):
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    status, said = play("--notebooks", series)
    assert status == 2
    assert 'pip install "course-lib[widgets]"' in said


@pytest.mark.parametrize("name", ["pydoc-gtp", "./nowhere"])
def test_an_unknown_model_is_refused_with_all_ways_to_get_one(name, series, monkeypatch):
    pytest.importorskip("voila")
    status, said = play("--model", name, "--notebooks", series, "--no-browser")
    assert status == 2
    assert "nowhere is no folder" in said or "there is no model 'pydoc-gtp'; take one" in said


def test_the_apps_copy_has_the_parameters_and_not_the_cells_and_outputs_for_learners(series, tmp_path):
    (tmp_path / "app").mkdir()
    copy = nbformat.read(
        app.app_notebook(series / "15_playground.ipynb", tmp_path / "app", {"model": "O'Neill"}), as_version=4
    )
    assert copy.cells[2].source == "%%capture\nprint('settings')"
    assert [cell.source.splitlines()[-1] for cell in copy.cells] == [
        "# A playground",
        'model = "O\'Neill"',
        "print('settings')",
        "print('the model is', model)",
    ]
    assert copy.cells[-1].outputs == []
    with pytest.raises(UsageError, match="unknown parameter 'modle'; did you mean model"):
        app.app_notebook(series / "15_playground.ipynb", tmp_path / "app", {"modle": "x"})


def test_a_server_that_fails_is_told_with_its_last_words(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with (
        pytest.raises(app.ServerFailed, match=r"ended at once:\nno such thing"),
        app.serving(command, 1, tmp_path / "log", dict(os.environ)),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_it_serves_this_machine_with_a_key_and_leaves_no_process(series, ending, tmp_path):
    pytest.importorskip("voila")
    command = [sys.executable, "-c", "from course_lib.cli import main; main()"]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    running = subprocess.Popen(
        [*command, "play", "--no-browser", "--notebooks", str(series)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)},
    )
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", running.stdout.readline()).group()
        page = urllib.request.urlopen(address, timeout=120).read().decode()
        assert "the model is pydoc-gpt" in page
        assert "jsdelivr" not in page
        with pytest.raises(urllib.error.HTTPError, match=r"40[134]"):
            urllib.request.urlopen(urllib.request.Request(address, headers={"Host": "elsewhere.example"}), timeout=60)
        without_key = urllib.request.urlopen(address.partition("?")[0], timeout=60).read().decode()
        assert "the model is" not in without_key
        below = psutil.Process(running.pid).children(recursive=True)
        assert any("ipykernel" in " ".join(process.cmdline()) for process in below)
    finally:
        running.send_signal(ending)
    said, _ = running.communicate(timeout=60)
    psutil.wait_procs(below, timeout=30)
    assert not [process for process in below if process.is_running()]
    if ending != signal.SIGKILL:
        assert running.returncode == 0
        assert "The playground has ended." in said
        assert not list(tmp_path.glob("course-play-*"))
