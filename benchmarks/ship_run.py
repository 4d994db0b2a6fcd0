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
    parser.add_argument("name", help="the result's name under benchmarks/results")
    parser.add_argument("runs", type=Path, nargs="+", help="run directories, all of one profile and machine")
    arguments = parser.parse_args()
    runs = [load_run(directory) for directory in arguments.runs]
    notebooks = [asdict(notebook) for run in runs for notebook in run.notebooks]
    unfinished = [notebook["name"] for notebook in notebooks if notebook["status"] not in ("ok", "failed")]
    if unfinished:
        parser.error(f"not complete: {unfinished}")
    if any((run.profile, run.hardware) != (runs[0].profile, runs[0].hardware) for run in runs):
        parser.error("the runs differ in profile or machine")
    kept = [{key: notebook[key] for key in KEPT} for notebook in notebooks]
    result = {
        "command": "; ".join(" ".join(run.command) for run in runs),
        "date": (runs[0].started or "")[:10],
        "commit": runs[0].commit,
        "profile": runs[0].profile,
        "hardware": runs[0].hardware,
        "versions": runs[0].versions,
        "runs": kept,
    }
    path = RESULTS / f"{arguments.name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    print(f"{len(kept)} runs kept in {path.name}")


if __name__ == "__main__":
    main()
