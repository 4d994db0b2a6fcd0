import json
import os
from collections import Counter

import nbformat
import pytest

from course_lib.batch.engine import Limits, UsageError, run_batch
from course_lib.batch.events import CellFinished, CellStarted, JobFinished, JobRetried, JobStarted, Notice
from course_lib.batch.plan import make_plan
from course_lib.batch.record import load_run
from course_lib.batch.series import find_notebooks

MIB = 2**20
# One child in a session of its own, and one that also lost its parent and its environment.
LEAVES_CHILDREN = (
    "import subprocess\n"
    "subprocess.Popen(['setsid', 'sleep', '86399.1'])\n"
    "subprocess.run(['env', '-i', '/bin/sh', '-c', '(setsid sleep 86399.2 &) ; exit 0'])"
)
EATS = "import time\neaten = []\nwhile True:\n    eaten.append(b'x' * (40 * 2**20)); time.sleep(0.05)"


@pytest.fixture(scope="module")
def batch(tmp_path_factory, write_notebook, recording):
    """One batch of well and badly behaved notebooks; returns its result and the events told."""
    folder = tmp_path_factory.mktemp("series")
    claim = "write(kind='claim', text='it is {0}', measured={1}, bound='≥ 1', paper=None, holds={2})"
    write_notebook(
        folder,
        "01_good",
        recording,
        "write(kind='record', name='answer', value=seed + 41)",
        "import sys\nprint(sys.executable)\nprint(os.environ.get('OMP_NUM_THREADS'), os.environ.get('COURSE_MODE'))\n"
        "print(repr(os.environ.get('CUDA_VISIBLE_DEVICES')), os.environ.get('TQDM_DISABLE'), os.getcwd())",
        claim.format("high", 2, True).join(["", "\n"]) + claim.format("unknown", 0, None),
    )
    write_notebook(folder, "02_raises", "print('before')", "1 / 0", "print('after')")
    write_notebook(folder, "03_dies", "print('before')", "import os; os._exit(1)", "print('after')")
    write_notebook(folder, "04_hangs", "print('before')", "import time; time.sleep(10_000)")
    write_notebook(folder, "05_eats", EATS)
    write_notebook(folder, "06_children", LEAVES_CHILDREN)
    write_notebook(folder, "07_claims", recording, claim.format("high", 0, False))
    write_notebook(folder, "08_kills_runner_side", "import os; os.kill(os.getppid(), 9)", "import time; time.sleep(60)")
    events = []
    result = run_batch(
        make_plan(find_notebooks(folder), profile="smoke"),
        tmp_path_factory.mktemp("run"),
        jobs=2,
        limits=Limits(timeout=15, memory=400 * MIB, retries=1),
        on_event=events.append,
    )
    return result, events


def record_of(batch, name):
    return next(record for record in batch[0].run.notebooks if record.name == name)


def output_of(batch, name):
    return nbformat.read(batch[0].directory / record_of(batch, name).output, as_version=4)


def printed(notebook):
    return "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))


def errors_of(notebook):
    return [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "error"]


@pytest.mark.slow
class TestABatchOfGoodAndBadNotebooks:
    def test_every_notebook_gets_its_true_status_and_the_bad_do_not_stop_the_others(self, batch):
        assert {record.name: record.status for record in batch[0].run.notebooks} == {
            "01_good": "ok",
            "02_raises": "failed",
            "03_dies": "killed",
            "04_hangs": "timeout",
            "05_eats": "killed",
            "06_children": "ok",
            "07_claims": "failed",
            "08_kills_runner_side": "killed",
        }
        assert batch[0].exit_code == 1
        assert not batch[0].interrupted

    def test_the_record_on_the_disk_is_the_one_returned(self, batch):
        assert load_run(batch[0].directory) == batch[0].run
        assert batch[0].run.state == "finished"

    def test_errors_say_in_one_line_what_happened(self, batch):
        errors = {record.name: record.error for record in batch[0].run.notebooks}
        assert errors["01_good"] is None
        assert errors["02_raises"] == "ZeroDivisionError: division by zero"
        assert "the kernel died in: import os; os._exit(1)" in errors["03_dies"]
        assert "took longer than 15 s; it was in: import time" in errors["04_hangs"]
        assert "the limit is 400 MiB" in errors["05_eats"]
        assert "the notebook's process ended by signal 9" in errors["08_kills_runner_side"]
        assert errors["07_claims"] == "claim does not hold: it is high (measured 0, bound ≥ 1)"

    def test_records_and_claims_are_kept(self, batch):
        good = record_of(batch, "01_good")
        assert good.records == {"answer": 41}
        assert [(claim.text, claim.holds) for claim in good.claims] == [("it is high", True), ("it is unknown", None)]
        assert record_of(batch, "07_claims").claims[0].holds is False

    def test_a_notebook_runs_under_this_python_with_its_share_of_the_cores_and_no_gpu(self, batch):
        text = printed(output_of(batch, "01_good"))
        cores = max(1, len(os.sched_getaffinity(0)) // 2) if hasattr(os, "sched_getaffinity") else os.cpu_count() // 2
        assert os.sys.executable in text
        assert f"{cores} batch" in text
        assert "'' 1" in text

    def test_time_and_memory_are_measured(self, batch):
        for record in batch[0].run.notebooks:
            assert record.seconds > 0
            assert record.peak_ram_bytes > 20 * MIB
            assert len(record.cell_seconds) == record.cells_done
        assert record_of(batch, "05_eats").peak_ram_bytes > 400 * MIB
        assert record_of(batch, "04_hangs").seconds >= 15

    def test_a_failed_notebook_is_published_with_its_error_at_the_cell_that_stopped_it(self, batch):
        for name, error in [("02_raises", "ZeroDivisionError"), ("03_dies", "DeadKernel"), ("04_hangs", "Timeout")]:
            notebook = output_of(batch, name)
            assert [out.ename for out in errors_of(notebook)] == [error]
            assert "before" in printed(notebook)
            assert "after" not in printed(notebook)
        after = output_of(batch, "03_dies").cells[-1]
        assert after.metadata.papermill.status == "pending"

    def test_nothing_half_written_is_left(self, batch):
        assert not list(batch[0].directory.rglob("*.partial.ipynb"))
        assert not list(batch[0].directory.rglob("*.tmp"))

    def test_no_process_is_left(self, batch, living):
        assert living(batch[0].run.run_id) == []
        assert living("86399.1") == []
        assert living("86399.2") == []

    def test_only_lost_attempts_are_made_again(self, batch):
        attempts = {record.name: record.attempts for record in batch[0].run.notebooks}
        assert attempts == {
            "01_good": 1,
            "02_raises": 1,
            "03_dies": 2,
            "04_hangs": 2,
            "05_eats": 1,
            "06_children": 1,
            "07_claims": 1,
            "08_kills_runner_side": 2,
        }
        lost = {"03_dies": 1, "04_hangs": 1, "08_kills_runner_side": 1}
        assert Counter(event.key for event in batch[1] if isinstance(event, JobRetried)) == lost

    def test_each_has_a_log_and_a_page(self, batch):
        for record in batch[0].run.notebooks:
            assert (batch[0].directory / record.log).exists()
            assert (batch[0].directory / record.html).stat().st_size > 10_000
        assert "division by zero" in (batch[0].directory / record_of(batch, "02_raises").html).read_text()

    def test_events_tell_the_cells_as_they_run(self, batch):
        mine = [event for event in batch[1] if getattr(event, "key", "") == "01_good"]
        assert isinstance(mine[0], JobStarted)
        assert isinstance(mine[-1], JobFinished)
        cells = [event for event in mine if isinstance(event, CellStarted)]
        assert [cell.number for cell in cells] == list(range(1, cells[0].total + 1))
        assert "import json, os" in [cell.source for cell in cells]
        assert len([event for event in mine if isinstance(event, CellFinished)]) == len(cells)


def test_two_jobs_with_two_gpus_see_one_each(tmp_path, write_notebook, recording, monkeypatch):
    monkeypatch.setattr("course_lib.batch.hardware.find_gpus", list)
    monkeypatch.setattr("course_lib.batch.vram.vram_in_use", lambda: ({"0": 5, "1": 5}, {}))
    look = (
        "import time\nwrite(kind='record', name='gpu', value=os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "write(kind='record', name='began', value=time.time()); time.sleep(1.5)\n"
        "write(kind='record', name='ended', value=time.time())"
    )
    write_notebook(tmp_path / "series", "01_gpu", recording, look)
    specs = make_plan(find_notebooks(tmp_path / "series"), profile="gpu", seeds=[0, 1])
    result = run_batch(specs, tmp_path / "run", gpus=["0", "1"], html=False)
    first, second = result.run.notebooks
    assert result.exit_code == 0
    assert sorted([first.records["gpu"], second.records["gpu"]]) == ["0", "1"]
    assert sorted([first.gpu, second.gpu]) == ["0", "1"]
    assert max(first.records["began"], second.records["began"]) < min(first.records["ended"], second.records["ended"])


def test_a_disk_that_fills_up_in_mid_run_ends_it_with_one_error_and_keeps_what_was_done(
    tmp_path, write_notebook, monkeypatch
):
    write_notebook(tmp_path / "series", "01_small", "print(1)")
    # 20 MB of output, above the largest file that the job is allowed to write.
    write_notebook(
        tmp_path / "series",
        "02_large",
        "import base64, os\nfrom IPython.display import Image, display\n"
        "display({'image/png': base64.b64encode(os.urandom(15 * 2**20)).decode()}, raw=True)",
    )
    write_notebook(tmp_path / "series", "03_later", "print(3)")
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MIB, before[1]))
    try:
        # One at a time: the first must be done before the second fills the disk.
        result = run_batch(make_plan(find_notebooks(tmp_path / "series")), tmp_path / "run", jobs=1, html=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 1
    assert "could not save" in result.error
    assert "File too large" in result.error
    assert "--resume" in result.error
    assert [record.status for record in load_run(tmp_path / "run").notebooks] == ["ok", "failed", "skipped"]
    assert (tmp_path / "run" / "notebooks" / "01_small.ipynb").exists()
    again = run_batch(make_plan(find_notebooks(tmp_path / "series")), tmp_path / "run", resume=True, html=False)
    assert again.exit_code == 0


def test_a_disk_too_full_for_the_record_ends_in_one_error(tmp_path, write_notebook, monkeypatch):
    write_notebook(tmp_path / "series", "01_small", "print(1)")
    specs = make_plan(find_notebooks(tmp_path / "series"))
    real, calls = os.fsync, Counter()

    def full_later(handle):
        calls["fsync"] += 1
        if calls["fsync"] > 3:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full_later)
    result = run_batch(specs, tmp_path / "run", html=False)
    monkeypatch.undo()
    assert result.exit_code == 1
    assert "No space left on device" in result.error
    assert "\n" not in result.error
    json.loads((tmp_path / "run" / "run.json").read_text())
    assert run_batch(specs, tmp_path / "run", resume=True, html=False).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jobs": 0}, "--jobs must be 1 or more, got 0"),
        ({"gpus": [""]}, "--gpus needs numbers"),
        ({"resume": True}, "nothing to resume"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(tmp_path, write_notebook, arguments, message):
    write_notebook(tmp_path / "series", "01_a")
    with pytest.raises(UsageError, match=message):
        run_batch(make_plan(find_notebooks(tmp_path / "series")), tmp_path / "run", **arguments)


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"memory": -1}, {"retries": -1}])
def test_a_limit_that_makes_no_sense_is_refused(limits):
    with pytest.raises(ValueError, match="must be"):
        Limits(**limits)


@pytest.mark.parametrize(
    ("profile", "gpus", "text"), [("gpu", None, "takes many hours"), ("cpu", ["0"], "shows no GPU"), ("cpu", None, "")]
)
def test_a_machine_without_the_gpu_that_a_run_counts_on_is_told(
    tmp_path, write_notebook, monkeypatch, profile, gpus, text
):
    monkeypatch.setattr("course_lib.batch.hardware.find_gpus", list)
    write_notebook(tmp_path / "series", "01_a")
    specs = make_plan(find_notebooks(tmp_path / "series"), profile=profile)
    told = []
    run_batch(specs, tmp_path / "run", gpus=gpus, html=False, on_event=told.append)
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert [text in notice for notice in notices] == ([True] if text else [])


def test_a_gpu_that_is_not_there_is_refused(tmp_path, write_notebook, monkeypatch):
    from course_lib.batch.hardware import Gpu

    monkeypatch.setattr("course_lib.batch.hardware.find_gpus", lambda: [Gpu("0", "GPU-aa", "H200", 141 * 2**30)])
    write_notebook(tmp_path / "series", "01_a")
    with pytest.raises(UsageError, match="no GPU '3' on this machine; there are: 0"):
        run_batch(make_plan(find_notebooks(tmp_path / "series")), tmp_path / "run", gpus=["3"])
