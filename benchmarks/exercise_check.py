"""How long does a learner wait for a check? All checks of each exercise against its solution, after the imports.

python -m benchmarks.exercise_check
"""

import os
import statistics
import time
from typing import Any

from benchmarks.writing import write_result

REPEATS = 3


def main() -> None:
    os.environ["COURSE_ANSWERING"] = "1"  # the check cells of the notebooks themselves stay silent
    from course_lib.exercises.building.master import read_master
    from course_lib.exercises.building.trial import solved_cells
    from course_lib.exercises.catalogue import find_exercises
    from course_lib.exercises.checking import run_checks

    measured: dict[str, Any] = {}
    for exercise in find_exercises():
        namespace: dict[str, Any] = {"__name__": "solution"}
        for cell in solved_cells(read_master(exercise)):
            exec(compile(cell, f"solution of {exercise.id}", "exec"), namespace)
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            report = run_checks(exercise, namespace)
            times.append(time.perf_counter() - began)
            assert report.passed, f"the solution of {exercise.id} does not pass its checks"
        measured[f"{exercise.id}, seconds"] = {
            "first": round(times[0], 2),
            "median": round(statistics.median(times), 2),
        }
    write_result(
        "exercise_check",
        command="python -m benchmarks.exercise_check",
        settings={"repeats": REPEATS, "exercises": len(measured)},
        measured=measured,
    )


if __name__ == "__main__":
    main()
