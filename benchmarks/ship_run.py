"""Keeps the records of a batch run with the project, for notebooks that show more seeds than they run.

course run 02 --seeds 0,1,2
python -m benchmarks.ship_run runs/latest 02_bahdanau_attention_seeds
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.writing import RESULTS
from course_lib.batch.record import load_run

KEPT = ("name", "status", "seconds", "peak_ram_bytes", "parameters", "records", "claims")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run directory, such as runs/latest")
    parser.add_argument("name", help="the result's name under benchmarks/results")
    arguments = parser.parse_args()
    run = load_run(arguments.run)
    notebooks = [asdict(notebook) for notebook in run.notebooks]
    unfinished = [notebook["name"] for notebook in notebooks if notebook["status"] not in ("ok", "failed")]
    if unfinished:
        parser.error(f"the run is not complete: {unfinished}")
    runs = [{key: notebook[key] for key in KEPT} for notebook in notebooks]
    result = {
        "command": " ".join(run.command),
        "date": (run.started or "")[:10],
        "commit": run.commit,
        "profile": run.profile,
        "hardware": run.hardware,
        "versions": run.versions,
        "runs": runs,
    }
    path = RESULTS / f"{arguments.name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    print(f"{len(runs)} runs kept in {path.name}")


if __name__ == "__main__":
    main()
