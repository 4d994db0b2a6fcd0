"""Where do numbers come from that one live run cannot give? Results of several seeds, kept with the project."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import course_lib

RESULTS = Path(course_lib.__file__).parent.parent / "benchmarks" / "results"


@dataclass(frozen=True)
class ShippedResults:
    """What a batch run measured: `origin` says where and when; each row has a run's parameters and its records."""

    origin: str
    rows: list[dict[str, Any]]

    def values(self, record: str, **parameters: Any) -> list[float]:
        """A record of every run with these parameters, such as `values("bleu_4", score="additive")`.

        Raises KeyError, naming what there is, if no run has both.
        """
        rows = [row for row in self.rows if all(row.get(name) == value for name, value in parameters.items())]
        found = [row[record] for row in rows if record in row]
        if not found:
            known = sorted({name for row in self.rows for name in row})
            raise KeyError(f"no shipped run with {parameters} has {record!r}; the runs have {known}")
        return found

    def mean_and_spread(self, record: str, **parameters: Any) -> tuple[float, float, float]:
        """(mean, smallest, largest) of a record over the runs with these parameters."""
        found = self.values(record, **parameters)
        return sum(found) / len(found), min(found), max(found)


def shipped(name: str) -> ShippedResults:
    """The results kept under `benchmarks/results/NAME.json`, as `python -m benchmarks.ship_run` wrote them.

    Raises FileNotFoundError, with the names there are, for another name.
    """
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        known = sorted(file.stem for file in RESULTS.glob("*.json"))
        raise FileNotFoundError(
            f"no shipped result {name!r}; there are {known}. "
            f"Make it with `course run` and `python -m benchmarks.ship_run RUN {name}`"
        )
    content = json.loads(path.read_text(encoding="utf8"))
    hardware = content["hardware"]
    ram = hardware["ram_bytes"] / 2**30
    origin = f"{content['command']} · {hardware['cpu']}, {hardware['cores']} cores, {ram:.0f} GiB · {content['date']}"
    return ShippedResults(origin, [{**run["parameters"], **run["records"]} for run in content["runs"]])
