"""What is left when the runner is stopped, politely or not, and does the run go on from there?"""

import os
import signal
import subprocess
import sys
import time

import pytest

from course_lib.batch.engine import UsageError, run_batch
from course_lib.batch.events import JobFinished, Notice
from course_lib.batch.plan import make_plan
from course_lib.batch.record import load_run
from course_lib.batch.resume import load_plan
from course_lib.batch.series import find_notebooks

RUNNER = """
import sys
from pathlib import Path
from course_lib.batch import fingerprint
from course_lib.batch.engine import run_batch
from course_lib.batch.events import CellStarted
from course_lib.batch.plan import make_plan
from course_lib.batch.series import find_notebooks

def tell(event):
    if isinstance(event, CellStarted) and event.key == "02_long" and "setsid" in event.source:
        print("running", flush=True)

fingerprint.code_version = lambda: "as it was"
specs = make_plan(find_notebooks(Path(sys.argv[1])))
result = run_batch(specs, Path(sys.argv[2]), jobs=1, on_event=tell, html=False)
sys.exit(result.exit_code)
"""


@pytest.fixture(autouse=True)
def _library_stays_the_same(monkeypatch):
    """Whoever edits the library while these tests run does not change what they find."""
    monkeypatch.setattr("course_lib.batch.fingerprint.code_version", lambda: "as it was")


@pytest.fixture
def series(tmp_path, write_notebook):
    """A short notebook, one that starts a child in its own session and waits for a file, and a third."""
    count = f"open('{tmp_path}/runs-of-{{}}', 'a').write('x')"
    write_notebook(tmp_path / "series", "01_short", count.format("01"))
    write_notebook(
        tmp_path / "series",
        "02_long",
        count.format("02"),
        "__import__('subprocess').Popen(['setsid', 'sleep', '86397'])\n"
        f"import os, time\nwhile not os.path.exists('{tmp_path / 'go'}'): time.sleep(0.1)",
    )
    write_notebook(tmp_path / "series", "03_last", count.format("03"))
    return tmp_path


def start_runner(folder, living):
    """A runner whose second notebook is at its long cell, and has started its child."""
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(folder / "series"), str(folder / "run")], stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout.readline() == "running\n"
    deadline = time.monotonic() + 30
    while not living("86397"):  # the cell is said to run before it does
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return runner


def resume(folder, events):
    (folder / "go").touch()
    specs = load_plan(folder / "run", find_notebooks(folder / "series"))
    return run_batch(specs, folder / "run", resume=True, on_event=events.append, html=False)


def wait_until_gone(find, seconds=15):
    deadline = time.monotonic() + seconds
    while (left := find()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def times_run(folder):
    return [(folder / f"runs-of-{number}").read_text() for number in ("01", "02", "03")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_runner_asked_to_stop_ends_its_jobs_and_the_run_can_be_resumed(series, living, number):
    runner = start_runner(series, living)
    runner.send_signal(number)
    assert runner.wait(20) == 130
    run = load_run(series / "run")
    assert living(run.run_id) == []
    assert living("86397") == []
    assert run.state == "interrupted"
    assert [record.status for record in run.notebooks] == ["ok", "skipped", "skipped"]
    assert run.notebooks[1].error == "not finished: interrupted"
    assert run.notebooks[1].cells_done == 3
    assert list((series / "run" / "notebooks").glob("02_long.attempt1.partial.ipynb"))

    events = []
    result = resume(series, events)
    assert result.exit_code == 0
    assert times_run(series) == ["x", "xx", "x"]
    assert [event.key for event in events if isinstance(event, JobFinished) and event.resumed] == ["01_short"]
    assert load_run(series / "run").notebooks[0] == run.notebooks[0]
    assert not list((series / "run" / "notebooks").glob("*.partial.ipynb"))


@pytest.mark.slow
def test_a_second_ctrl_c_ends_everything_at_once(series, living):
    runner = start_runner(series, living)
    runner.send_signal(signal.SIGINT)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(20) == 130
    run_id = load_run(series / "run").run_id
    assert wait_until_gone(lambda: living(run_id)) == []
    assert resume(series, []).exit_code == 0
    assert times_run(series) == ["x", "xx", "x"]


@pytest.mark.slow
def test_when_the_runner_is_killed_its_kernels_and_children_die_and_nothing_finished_is_lost(series, living):
    runner = start_runner(series, living)
    runner.kill()
    runner.wait()
    run = load_run(series / "run")
    assert wait_until_gone(lambda: living(run.run_id)) == []
    assert wait_until_gone(lambda: living("86397")) == []
    assert [record.status for record in run.notebooks] == ["ok", "skipped", "skipped"]

    assert resume(series, []).exit_code == 0
    assert times_run(series) == ["x", "xx", "x"]


@pytest.mark.slow
def test_what_a_killed_runner_and_its_killed_job_left_is_ended_on_resume(series, living):
    runner = start_runner(series, living)
    run = load_run(series / "run")
    jobs = [pid for pid in living(run.run_id) if "course_lib.batch.execute" in _command(pid)]
    runner.kill()
    for pid in jobs:
        os.kill(pid, signal.SIGKILL)
    runner.wait()
    assert living("86397")
    assert resume(series, []).exit_code == 0
    assert living(run.run_id) == []
    assert living("86397") == []


def _command(pid):
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read()


@pytest.mark.slow
def test_a_damaged_record_is_put_aside_and_rebuilt(tmp_path, write_notebook):
    write_notebook(tmp_path / "series", "01_a", "print(1)")
    write_notebook(tmp_path / "series", "02_b", f"assert open('{tmp_path / 'go'}')")
    infos = find_notebooks(tmp_path / "series")
    first = run_batch(make_plan(infos), tmp_path / "run", html=False)
    assert [record.status for record in first.run.notebooks] == ["ok", "failed"]
    (tmp_path / "run" / "run.json").write_text('{"schema": 1, "noteb')
    events = []
    # Only the first is asked for; the record of the other comes back as well.
    rebuilt = run_batch(make_plan(infos[:1]), tmp_path / "run", resume=True, html=False, on_event=events.append)
    assert rebuilt.run.notebooks == first.run.notebooks
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "moved to run.json.corrupt" in notices[0]
    assert (tmp_path / "run" / "run.json.corrupt").read_text() == '{"schema": 1, "noteb'


@pytest.mark.slow
def test_only_what_changed_or_failed_is_run_again(tmp_path, write_notebook):
    count = f"open('{tmp_path}/' + name, 'a').write('x')"
    for name in ("01_a", "02_b"):
        write_notebook(tmp_path / "series", name, f"name = '{name}'", count)
    infos = find_notebooks(tmp_path / "series")
    run_batch(make_plan(infos), tmp_path / "run", html=False)
    write_notebook(tmp_path / "series", "01_a", "name = '01_a'", count, title="Only the text changed")
    write_notebook(tmp_path / "series", "02_b", "name = '02_b'", count, "print('new')")
    run_batch(make_plan(infos), tmp_path / "run", resume=True, html=False)
    assert (tmp_path / "01_a").read_text() == "x"
    assert (tmp_path / "02_b").read_text() == "xx"
    run_batch(make_plan(infos, parameters={"weights": "random"}), tmp_path / "run", resume=True, html=False)
    assert (tmp_path / "01_a").read_text() == "xx"


def test_a_directory_with_a_run_is_not_overwritten_and_a_profile_is_not_mixed(tmp_path, write_notebook):
    write_notebook(tmp_path / "series", "01_a")
    infos = find_notebooks(tmp_path / "series")
    run_batch(make_plan(infos), tmp_path / "run", html=False)
    with pytest.raises(UsageError, match="already holds a run; continue it with --resume"):
        run_batch(make_plan(infos), tmp_path / "run", html=False)
    with pytest.raises(UsageError, match="made with profile cpu, not smoke"):
        run_batch(make_plan(infos, profile="smoke"), tmp_path / "run", resume=True, html=False)
