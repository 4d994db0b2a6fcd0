"""Fixtures of the lesson's tests: a fresh course in batch mode, and notebooks that run in a real kernel."""

import nbformat
import pytest


@pytest.fixture
def course(monkeypatch, tmp_path, capsys):
    """A started course in batch mode, with its first line already read away."""
    from course_lib import lesson

    (tmp_path / "07_trial.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_MODE", "batch")
    monkeypatch.setenv("COURSE_RECORD_FILE", str(tmp_path / "record.jsonl"))
    started = lesson.start("07_trial", profile="cpu", seed=0)
    capsys.readouterr()
    return started


@pytest.fixture
def run_cells(tmp_path):
    """Run code cells in a real kernel, live or in batch mode, and return the executed cells."""
    import asyncio
    import os

    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    from course_lib.batch.refresh import ThisPython

    def run(*sources, live=False):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        (tmp_path / "07_trial.ipynb").touch()
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_spec_manager=ThisPython()),
            timeout=60,
            allow_errors=True,
            store_widget_state=False,
            resources={"metadata": {"path": str(tmp_path)}},
        )
        asyncio.run(client.async_execute(env={**os.environ, "COURSE_MODE": "live" if live else "batch"}))
        nbformat.validate(notebook)
        return notebook.cells

    return run
