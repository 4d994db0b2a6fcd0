"""How long does a maintainer wait? All student notebooks built anew, and found to be up to date, each in a new process.

python -m benchmarks.exercise_building
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.writing import write_result

EXERCISES = Path(__file__).parents[1] / "exercises"
COURSE = str(Path(sys.executable).with_name("course"))
BUILD = [COURSE, "exercise", "build", "--no-solutions"]
MEASURED = ("all student notebooks", "all again, up to date")
REPEATS = 5


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in MEASURED}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "exercises"
        shutil.copytree(EXERCISES, copy)
        for repeat in range(REPEATS + 1):  # the first fills the caches
            for notebook in copy.glob("*/*.ipynb"):
                notebook.unlink()
            for name in MEASURED:
                began = time.perf_counter()
                subprocess.run(BUILD, check=True, capture_output=True, cwd=folder)
                if repeat:
                    times[name].append(time.perf_counter() - began)
        number = len(list(copy.glob("*/*.ipynb")))
    write_result(
        "exercise_building",
        command="python -m benchmarks.exercise_building",
        settings={"repeats": REPEATS, "exercises": number},
        measured={
            f"{name}, seconds": {"median": round(statistics.median(t), 2), "fastest": round(min(t), 2)}
            for name, t in times.items()
        },
    )


if __name__ == "__main__":
    main()
