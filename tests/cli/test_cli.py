import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

import course_lib
from course_lib import cli
from course_lib.batch.record import Claim, NotebookRecord, RunRecord, save_run

PARAMETERS = 'profile: str = "cpu"  # smoke, cpu or gpu\nseed: int = 0  # of chance\nwidth: int = 3  # of the network'
WRITE = (
    "import json, os, time\n"
    "def write(**entry):\n"
    "    with open(os.environ['COURSE_RECORD_FILE'], 'a') as file:\n"
    "        print(json.dumps(entry), file=file, flush=True)"
)
CLAIM = "write(kind='claim', text='it is so', measured=1.0, bound='≥ 0.5', paper=None, holds={holds})"


def write_notebook(name, *cells, title="A title"):
    tagged = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    content = new_notebook(cells=[new_markdown_cell(f"# {title}"), tagged, *map(new_code_cell, [WRITE, *cells])])
    Path("notebooks").mkdir(exist_ok=True)
    nbformat.write(content, f"notebooks/{name}.ipynb")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a series of three notebooks, in which the command is called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_notebook("01_good", CLAIM.format(holds=True), "write(kind='record', name='bleu', value=20.0 + seed)")
    write_notebook("02_raises", "1 / 0", title="Two: what if it raises?")
    write_notebook("03_untrue", CLAIM.format(holds=False))
    return tmp_path


def course(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def save(directory, *, profile="cpu", **notebook):
    directory.mkdir(parents=True, exist_ok=True)
    record = NotebookRecord(**{"key": "01_good", "name": "01_good", "status": "ok", "seconds": 2.0} | notebook)
    save_run(RunRecord(profile=profile, notebooks=[record], state="finished", directory=directory))
    return directory


def test_help_and_version_are_there_and_load_nothing_heavy():
    assert course("--version").output.strip() == f"course {course_lib.__version__}"
    script = (
        "import sys; sys.argv = ['course', '--help']\n"
        "from course_lib.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'papermill', 'nbformat', 'nbconvert', 'jinja2', 'psutil', 'jupyter_client'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "report", "compare", "list", "doctor", "refresh"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "04"], "unknown notebook '04'; there are: 01_good"),
        (["run", "01_god"], "did you mean 01_good"),
        (["run", "--profile", "cpuu"], "unknown profile 'cpuu'; did you mean cpu"),
        (["run", "--param", "widht=3"], "unknown parameter 'widht'; did you mean width"),
        (["run", "--param", "width=three"], "width must be int, got 'three'"),
        (["run", "--sweep", "widht=3,4"], "unknown sweep key 'widht'; did you mean width"),
        (["run", "--sweep", "width="], "--sweep width needs values"),
        (["run", "--seeds", "a"], "--seeds needs whole numbers"),
        (["run", "--timeout", "soon"], "--timeout needs a time"),
        (["run", "--memory", "much"], "--memory needs a size"),
        (["run", "--jobs", "0"], "--jobs must be 1 or more"),
        (["run", "--retries", "-1"], "--retries must be 0 or more"),
        (["run", "--notebooks", "nowhere"], "no folder nowhere"),
        (["run", "--out", "notebooks/01_good.ipynb"], "is a file; --out needs a directory"),
        (["run", "--resume"], "nothing to resume"),
        (["run", "--resume", "notebooks"], "nothing to resume"),
        (["run", "01", "--resume", "notebooks"], "nothing to resume: there is no run at"),
        (["run", "--resume", "no/where"], "nothing to resume: there is no run at no/where"),
        (["run", "--write-reference", "--param", "width=4"], "default settings"),
        (["run", "--write-reference"], "add --jobs 1"),
        (["list", "--profile", "gpuu"], "unknown profile 'gpuu'; did you mean gpu"),
        (["report", "nowhere"], "no run at nowhere"),
        (["report", "latest"], "no run at"),
        (["compare", "nowhere", "latest"], "no run at nowhere"),
        (["refresh", "04"], "unknown notebook '04'"),
        (["rnu"], "Did you mean 'run'?"),
        (["run", "--job", "1"], "--job"),
    ],
)
def test_bad_usage_is_told_in_a_line_with_exit_status_2_and_leaves_nothing(project, arguments, message):
    result = course(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not list(project.glob("runs/*"))


def test_a_folder_that_was_there_before_a_refusal_is_there_afterwards(project):
    (project / "mine").mkdir()
    assert course("run", "01", "--resume", "mine/").exit_code == 2
    assert course("run", "01", "--jobs", "0", "--out", "mine").exit_code == 2
    assert (project / "mine").is_dir()
    assert course("run", "01", "--jobs", "0", "--out", "new").exit_code == 2
    assert not (project / "new").exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}', '{"schema": 1, "profile": "cpu"}']
)
@pytest.mark.parametrize("command", [["report"], ["compare", "good"]])
def test_a_damaged_run_file_is_one_clear_line(project, content, command):
    save(project / "good")
    (project / "bad").mkdir()
    (project / "bad" / "run.json").write_text(content)
    result = course(*command, "bad/run.json")
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    assert "run.json" in result.output


def test_a_report_is_made_from_a_directory_a_file_or_the_newest_run(project):
    save(project / "runs" / "one")
    (project / "runs" / "latest").symlink_to("one")
    for run in ("runs/one", "runs/one/run.json", "latest"):
        (project / "runs" / "one" / "report.html").unlink(missing_ok=True)
        result = course("report", run)
        assert result.exit_code == 0
        assert (project / "runs" / "one" / "report.html").exists()
        assert result.output.strip().endswith("report.html")


def test_a_report_that_cannot_be_written_is_one_line_and_exit_status_1(project, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("course_lib.batch.report.write_atomically", full)
    result = course("report", save(project / "one"))
    assert (result.exit_code, result.output.strip()) == (1, "course: report.html: No space left on device")


def test_two_runs_are_compared_on_the_terminal_and_on_a_page(project):
    save(project / "a", records={"bleu": 20.0})
    save(project / "b", records={"bleu": 25.0}, seconds=4.0)
    result = course("compare", "a", "b", "--html", "both.html")
    assert result.exit_code == 0
    assert "× 2.00" in result.output
    assert "+5; one run only" in result.output
    assert "record bleu" in (project / "both.html").read_text()


def test_runs_that_are_not_comparable_are_said_to_be_so(project):
    save(project / "a", profile="smoke")
    save(project / "b")
    result = course("compare", "a", "b")
    assert result.exit_code == 0
    assert "not comparable: the profiles differ" in result.output


def test_the_series_is_listed_with_titles_and_parameters(project):
    result = course("list")
    assert result.exit_code == 0
    assert re.search(r"02 +Two: what if it raises\? .*width = 3", result.output)


def test_the_list_predicts_for_this_machine_only_after_a_calibration(project, monkeypatch):
    from course_lib.batch import calibrate, reference

    def measured(scale, machine):
        return calibrate.Calibration(dict.fromkeys(calibrate.CPU_PIECES, scale), machine, "the quick one", "2026", 1)

    file = project / "reference.json"
    record = NotebookRecord(key="01_good", name="01_good", status="ok", seconds=120.0, peak_ram_bytes=2**30)
    reference.update_reference(RunRecord("cpu", notebooks=[record]), measured(1.0, "there"), file)
    monkeypatch.setattr(reference, "REFERENCE_FILE", file)
    text = course("list").output
    assert "2 min  1 GiB" in text
    assert "Measured on the quick one" in text
    assert "course doctor" in text
    calibrate.save_calibration(measured(3.0, calibrate.machine_fingerprint()))
    text = course("list").output
    assert "6 min  1 GiB" in text
    assert "Minutes here" in text


def test_the_doctor_names_the_remedy_and_ends_with_1_when_something_essential_fails(project):
    result = course("doctor", "--quick", "--notebooks", "nowhere")
    assert result.exit_code == 1
    [line] = [line for line in result.output.splitlines() if line.startswith("✗")]
    assert "nowhere" in line
    assert "→" in line


def test_a_mistake_in_this_program_is_not_hidden(project, monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("course_lib.batch.report.render_report", broken)
    assert isinstance(course("report", save(project / "one")).exception, ZeroDivisionError)


@pytest.mark.slow
def test_a_run_reports_on_every_notebook_and_fails_when_one_fails(project):
    result = course("run")
    assert result.exit_code == 1
    assert "[1/3] 01_good: ✓ ok" in result.output
    assert "02_raises: ZeroDivisionError: division by zero" in result.output
    assert "03_untrue: fails: it is so: 1, bound ≥ 0.5" in result.output
    assert "1 of 2 claims hold" in result.output
    page = (project / "runs" / "latest" / "report.html").read_text()
    assert "ZeroDivisionError" in page
    run = json.loads((project / "runs" / "latest" / "run.json").read_text())
    assert [notebook["status"] for notebook in run["notebooks"]][:2] == ["ok", "failed"]
    assert run["command"][0] == "course"
    assert course("list").exit_code == 0
    again = course("run", "01", "--out", "runs/latest")
    assert again.exit_code == 2
    assert "--resume" in again.output


@pytest.mark.slow
def test_seeds_and_sweeps_run_each_and_end_well(project):
    result = course("run", "01", "--seeds", "0,1", "--sweep", "width=1,2", "--jobs", "2", "--out", "here")
    assert result.exit_code == 0, result.output
    assert "4 runs of 1 notebook, all ran, 4 of 4 claims hold" in result.output
    assert "20.50 ± 0.71" in (project / "here" / "report.html").read_text()
    assert (project / "runs" / "latest").resolve() == (project / "here").resolve()


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_goes_on_where_it_stopped(project):
    write_notebook("02_raises", f"if not os.path.exists({str(project / 'go')!r}): time.sleep(120)")
    command = [sys.executable, "-c", "from course_lib.cli import main; main()", "run", "01", "02", "--jobs", "1"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert running.stdout is not None
    seen = ""
    while "02_raises: started" not in seen:
        line = running.stdout.readline()
        assert line, seen
        seen += line
    time.sleep(1)
    os.kill(running.pid, signal.SIGINT)
    rest, _ = running.communicate(timeout=60)
    assert running.returncode == 130, rest
    assert "course run --resume runs/" in rest
    assert "interrupted" in (project / "runs" / "latest" / "report.html").read_text()
    (project / "go").touch()
    result = course("run", "--resume")
    assert result.exit_code == 0, result.output
    assert "01_good: ✓ ok, kept from the earlier run" in result.output
    assert "2 notebooks ran" in result.output


@pytest.mark.slow
def test_reference_times_come_from_a_run_and_a_calibration(project, monkeypatch):
    from course_lib.batch import calibrate, reference
    from course_lib.cli import running

    file = project / "reference.json"
    monkeypatch.setattr(reference, "REFERENCE_FILE", file)
    monkeypatch.setattr(running, "calibrate", lambda: calibrate.calibrate(0.5))
    result = course("run", "01", "--jobs", "1", "--write-reference")
    assert result.exit_code == 0, result.output
    assert reference.load_reference().time_of("01_good", "cpu").seconds > 0
    assert "Predicted for this machine" in course("list").output


def test_claims_that_fail_make_the_command_fail_even_when_the_notebook_did_not(project):
    from course_lib.batch.engine import RunResult
    from course_lib.cli.running import conclude

    directory = save(project / "one", claims=[Claim("it is so", 0.0, "≥ 1", None, False)])
    from course_lib.batch.record import load_run

    assert conclude(RunResult(load_run(directory), exit_code=0), open_report=False) == 1
