"""Where in a run directory does each file of a run stand?

run.json  report.html                    the record, and the page made of it
notebooks/KEY.ipynb  KEY.html            executed notebooks
notebooks/KEY.attempt1.partial.ipynb     one that is running, or was cut off
logs/KEY.log  KEY.attempt2.log           what its processes printed
.jobs/KEY/done.json  attempt1/…          the done-marker, and the files between runner and job
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The paths of one notebook's run, all under `directory`."""

    directory: Path
    key: str

    @property
    def output(self) -> Path:
        return self.directory / "notebooks" / f"{self.key}.ipynb"

    @property
    def html(self) -> Path:
        return self.output.with_suffix(".html")

    @property
    def done(self) -> Path:
        return self.job / "done.json"

    @property
    def job(self) -> Path:
        return self.directory / ".jobs" / self.key

    def partial(self, attempt: int) -> Path:
        return self.directory / "notebooks" / f"{self.key}.attempt{attempt}.partial.ipynb"

    def log(self, attempt: int) -> Path:
        return self.directory / "logs" / (f"{self.key}.log" if attempt == 1 else f"{self.key}.attempt{attempt}.log")

    def exchange(self, attempt: int) -> Path:
        return self.job / f"attempt{attempt}"

    def relative(self, path: Path) -> str:
        return path.relative_to(self.directory).as_posix()
