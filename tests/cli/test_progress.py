import io
from pathlib import Path

import pytest
from rich.console import Console

from course_lib.batch.events import CellStarted, JobFinished, JobRetried, JobStarted, Notice
from course_lib.batch.plan import Spec
from course_lib.batch.record import Claim, NotebookRecord
from course_lib.cli.progress import Watcher


class Scene:
    """A batch, the clock and the screen that its watcher sees."""

    def __init__(self, names, predicted=None, jobs=1, terminal=False, height=30):
        self.now = 1000.0
        self.screen = io.StringIO()
        console = Console(file=self.screen, force_terminal=terminal, width=100, height=height, color_system=None)
        specs = [Spec(key=name, name=name, notebook=Path(name), profile="cpu") for name in names]
        self.watcher = Watcher(specs, predicted or {}, jobs, console, clock=lambda: self.now)

    def start(self, name):
        self.watcher.on_event(JobStarted(name, 1, None, self.now))

    def cell(self, name, number, total, source):
        self.watcher.on_event(CellStarted(name, number, total, source, self.now))

    def finish(self, name, status="ok", seconds=10.0, resumed=False, **changed):
        record = NotebookRecord(key=name, name=name, status=status, seconds=seconds, **changed)
        self.watcher.on_event(JobFinished(name, record, resumed, self.now))

    def table(self):
        console = Console(file=io.StringIO(), width=100, height=self.watcher.console.height, color_system=None)
        console.print(self.watcher.table())
        return console.file.getvalue()


def test_the_table_tells_each_notebooks_state_cell_and_time():
    scene = Scene(["01_a", "02_b", "03_c"], {"02_b": 60.0}, terminal=True)
    scene.start("01_a")
    scene.finish("01_a", seconds=12.0, claims=[Claim("x", 1.0, "≥ 0", None, True)])
    scene.start("02_b")
    scene.cell("02_b", 7, 30, "model = train(batches)")
    scene.now += 25
    first, second, third, last = scene.table().splitlines()[1:5]
    assert "✓ ok" in first
    assert "claims: 1 of 1 hold" in first
    assert "12 s" in first
    assert "7/30  model = train(batches)" in second
    assert second.split()[-4:] == ["25", "s", "35", "s"]
    assert "waiting" in third
    assert last.startswith("1 of 3 finished, about")


def test_what_is_left_follows_from_the_predictions():
    scene = Scene(["a", "b", "c"], {"a": 60.0, "b": 100.0, "c": 20.0})
    assert scene.watcher.seconds_left() == 180.0
    scene.start("a")
    scene.now += 50
    assert scene.watcher.seconds_left() == 130.0
    scene.now += 50
    assert scene.watcher.seconds_left() == 120.0


def test_predictions_are_corrected_by_what_the_finished_notebooks_took():
    scene = Scene(["a", "b"], {"a": 60.0, "b": 100.0})
    scene.finish("a", seconds=120.0)
    assert scene.watcher.seconds_left() == 200.0


def test_notebooks_side_by_side_take_no_longer_than_the_longest_or_their_share():
    scene = Scene(["a", "b", "c"], {"a": 60.0, "b": 60.0, "c": 60.0}, jobs=2)
    assert scene.watcher.seconds_left() == 90.0
    assert Scene(["a", "b"], {"a": 100.0, "b": 1.0}, jobs=2).watcher.seconds_left() == 100.0


def test_nothing_is_promised_when_nothing_is_known():
    scene = Scene(["a", "b"])
    assert scene.watcher.seconds_left() is None
    assert "about" not in scene.table()


def test_a_notebook_that_overruns_is_expected_soon_and_not_in_negative_time():
    scene = Scene(["a"], {"a": 10.0})
    scene.start("a")
    scene.now += 60
    assert "soon" in scene.table()
    assert scene.watcher.seconds_left() == 0.0


def test_without_a_terminal_there_are_plain_lines():
    scene = Scene(["01_a", "02_b"])
    with scene.watcher:
        scene.start("01_a")
        scene.finish("01_a", "failed", 3.0, error="ValueError: too bad [/x]")
        scene.finish("02_b", resumed=True)
    assert scene.screen.getvalue().splitlines() == [
        "[1/2] 01_a: started",
        "[1/2] 01_a: ✗ failed in 3.0 s; ValueError: too bad [/x]",
        "[2/2] 02_b: ✓ ok, kept from the earlier run",
    ]


def test_plain_lines_tell_of_cells_only_now_and_then():
    scene = Scene(["01_a"])
    scene.start("01_a")
    for number in range(1, 101):
        scene.now += 1
        scene.cell("01_a", number, 100, f"cell_{number}()")
    lines = scene.screen.getvalue().splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["30/100", "60/100", "90/100"]


def test_notices_and_lost_attempts_are_told_on_a_terminal_too():
    scene = Scene(["01_a"], terminal=True)
    scene.watcher.on_event(Notice("run.json was rebuilt", scene.now))
    scene.watcher.on_event(JobRetried("01_a", 1, "the kernel died", scene.now))
    assert "run.json was rebuilt" in scene.screen.getvalue()
    assert "01_a: attempt 1 was lost (the kernel died); trying again" in scene.screen.getvalue()


def test_a_long_batch_fits_on_the_terminal_and_shows_what_runs():
    names = [f"{number:02}_x" for number in range(40)]
    scene = Scene(names, height=12)
    for name in names[:20]:
        scene.finish(name)
    scene.start("20_x")
    table = scene.table()
    assert len(table.splitlines()) < 12
    assert "20_x" in table
    assert "33 more not shown" in table


def test_text_of_a_notebook_is_not_taken_for_markup():
    scene = Scene(["01_a"], terminal=True)
    scene.start("01_a")
    scene.cell("01_a", 1, 2, "x = y[/bold] + z[red]")
    assert "x = y[/bold] + z[red]" in scene.table()


@pytest.mark.parametrize("status", ["timeout", "killed", "skipped"])
def test_every_status_has_its_words(status):
    scene = Scene(["01_a"])
    scene.finish("01_a", status, error="because")
    assert "because" in scene.screen.getvalue()
