"""What is the batch doing right now, and when will it be done?"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from course_lib.batch import wording
from course_lib.batch.events import CellFinished, CellStarted, Event, JobFinished, JobRetried, JobStarted, Notice
from course_lib.batch.plan import Spec
from course_lib.batch.record import NotebookRecord
from course_lib.batch.report import claims_in_short
from course_lib.cli.output import status_text

SECONDS_BETWEEN_LINES = 30.0  # of one notebook, where there is no terminal to redraw


@dataclass
class Progress:
    """One notebook as seen from outside. `predicted`: seconds it should take, None when nothing is known."""

    spec: Spec
    predicted: float | None
    state: Literal["waiting", "running", "finished"] = "waiting"
    began: float = 0.0
    cell: int = 0
    cells: int = 0
    source: str = ""
    record: NotebookRecord | None = None
    resumed: bool = False
    last_line: float = 0.0


class Watcher:
    """Draws the running batch: a table that is redrawn on a terminal, and lines elsewhere. Use as a context manager."""

    def __init__(
        self,
        specs: list[Spec],
        predicted: dict[str, float | None],
        jobs: int,
        console: Console,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.notebooks = {spec.key: Progress(spec, predicted.get(spec.key)) for spec in specs}
        self.jobs, self.console, self.clock = max(1, jobs), console, clock
        self._live = Live(get_renderable=self.table, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Watcher":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        """Take note of `event`. Events about notebooks that are not among the specs are ignored."""
        if isinstance(event, Notice):
            self._say(event.text)
            return
        seen = self.notebooks.get(event.key)
        if seen is None:
            return
        if isinstance(event, JobStarted):
            seen.state, seen.began, seen.last_line, seen.cell = "running", event.time, event.time, 0
            self._line(seen, f"started{f' on GPU {event.gpu}' if event.gpu else ''}")
        elif isinstance(event, CellStarted):
            seen.cell, seen.cells, seen.source = event.number, event.total, event.source
            if event.time - seen.last_line >= SECONDS_BETWEEN_LINES:
                seen.last_line = event.time
                took = wording.duration(event.time - seen.began)
                self._line(seen, f"cell {event.number}/{event.total} after {took}: {event.source}")
        elif isinstance(event, CellFinished):
            seen.cells = event.total
        elif isinstance(event, JobRetried):
            self._say(f"{event.key}: attempt {event.attempt} was lost ({event.error}); trying again")
        elif isinstance(event, JobFinished):
            seen.state, seen.record, seen.resumed = "finished", event.record, event.resumed
            self._line(seen, self._how_it_went(seen))

    def seconds_left(self) -> float | None:
        """Until the whole batch is done; None while there is nothing to tell it from.

        Predictions are corrected by how the finished notebooks kept to theirs. A notebook without one is taken to
        need what the others need on average.
        """
        open_ones = [item for item in self.notebooks.values() if item.state != "finished"]
        whole = {item.spec.key: self._expected(item) for item in self.notebooks.values()}
        known = [seconds for seconds in whole.values() if seconds is not None]
        if not known:
            return None if open_ones else 0.0
        average = sum(known) / len(known)
        left = []
        for item in open_ones:
            seconds = whole[item.spec.key]
            gone = self.clock() - item.began if item.state == "running" else 0.0
            left.append(max(0.0, (average if seconds is None else seconds) - gone))
        return max([sum(left) / self.jobs, *left], default=0.0)

    def table(self) -> Group:
        """The batch as it stands, in at most as many lines as fit on the terminal."""
        table = Table(box=None, pad_edge=False, expand=True)
        for heading in ("Notebook", "State"):
            table.add_column(heading, no_wrap=True)
        table.add_column("Cell", ratio=1, no_wrap=True, overflow="ellipsis")
        for heading in ("Time", "Left"):
            table.add_column(heading, justify="right", no_wrap=True)
        items = list(self.notebooks.values())
        room = max(3, self.console.height - 5)
        if len(items) > room:
            active = [item for item in items if item.state == "running"]
            ended = [item for item in items if item.state == "finished"]
            items = (active + [item for item in items if item.state == "waiting"] + ended[::-1])[:room]
        for item in items:
            table.add_row(*self._row(item))
        hidden = len(self.notebooks) - len(items)
        return Group(table, Text(self._whole(hidden), style="dim"))

    def _row(self, item: Progress) -> tuple[Text | str, ...]:
        if item.state == "finished" and item.record:
            note = "kept from the earlier run" if item.resumed else item.record.error or claims_in_short_or_none(item)
            return item.spec.key, status_text(item.record.status), Text(note), wording.duration(item.record.seconds), ""
        if item.state == "waiting":
            return item.spec.key, Text("waiting", style="dim"), "", "", ""
        cell = Text(f"{item.cell}/{item.cells}  {item.source}" if item.cells else "starting its kernel")
        gone = self.clock() - item.began
        expected = self._expected(item)
        left = "" if expected is None else wording.duration(expected - gone) if expected > gone else "soon"
        return item.spec.key, Text("running", style="cyan"), cell, wording.duration(gone), left

    def _whole(self, hidden: int) -> str:
        finished = sum(item.state == "finished" for item in self.notebooks.values())
        left = self.seconds_left()
        parts = [f"{finished} of {len(self.notebooks)} finished"]
        parts += [f"about {wording.duration(left)} left"] if left else []
        parts += [f"{hidden} more not shown"] if hidden else []
        return ", ".join([*parts, "Ctrl-C stops and keeps what is finished"])

    def _expected(self, item: Progress) -> float | None:
        if item.predicted is None:
            return None
        told = [
            (done.record.seconds, done.predicted)
            for done in self.notebooks.values()
            if done.record and done.record.status == "ok" and done.record.seconds and done.predicted
        ]
        correction = sum(real for real, _ in told) / sum(guess for _, guess in told) if told else 1.0
        return item.predicted * correction

    def _how_it_went(self, item: Progress) -> str:
        assert item.record is not None
        word = str(status_text(item.record.status))
        if item.resumed:
            return f"{word}, kept from the earlier run"
        parts = [f"{word} in {wording.duration(item.record.seconds)}"]
        parts += [claims_in_short_or_none(item)] if item.record.claims else []
        parts += [item.record.error] if item.record.error else []
        return "; ".join(parts)

    def _line(self, item: Progress, text: str) -> None:
        if not self.console.is_terminal:
            position = 1 + list(self.notebooks).index(item.spec.key)
            self._say(f"[{position}/{len(self.notebooks)}] {item.spec.key}: {text}")

    def _say(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)


def claims_in_short_or_none(item: Progress) -> str:
    """The claims of a finished notebook, or nothing when it has none."""
    claims = item.record.claims if item.record else []
    return f"claims: {claims_in_short(claims)}" if claims else ""
