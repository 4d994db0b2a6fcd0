"""How long does it take to grade a class of 30 for one exercise, one of whom handed in a loop without end?

Grades answers to the masked softmax, right, wrong in every known way, unwritten, crashing and looping, two at a time,
and writes the wall time, start of the command to table and pages, to `results/grade_class.json`:

    python -m benchmarks.grade_class
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

from benchmarks.writing import write_result
from course_lib.exercises.catalogue import Exercise, find_exercise
from course_lib.exercises.grading.papers import read_paper

LOOP = "def masked_softmax(energies, is_word):\n    while True:\n        pass"
COMMAND = "from course_lib.cli import main; main()"


def answers(exercise: Exercise, students: int) -> list[str]:
    """What stands in each student's solution cell: one loop, one crash, and the others in turn."""
    own = read_paper(exercise).solution
    right = next(cell for cell in own if "def masked_softmax" in cell)
    stub = right.partition("    struck_out")[0] + "    raise NotImplementedError()"
    wrong = [right.replace(fault.find, fault.replace) for fault in exercise.faults]
    kinds = cycle([right, right, *wrong, right, stub])
    return [LOOP, "1 / 0", *islice(kinds, students - 2)]


def hand_in(folder: Path, exercise: Exercise, students: int) -> None:
    """Write every student's notebook: the one of the course, with an answer in it."""
    notebook = json.loads(exercise.student.read_text(encoding="utf-8"))
    for number, answer in enumerate(answers(exercise, students), start=1):
        for cell in notebook["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("solution"):
                cell["source"] = answer
        place = folder / f"student_{number:02}" / f"{exercise.name}.ipynb"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(notebook), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="Keep the class in this folder instead of a temporary one.")
    options = parser.parse_args()
    exercise = find_exercise("02.1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        hand_in(folder / "submitted", exercise, options.students)
        command = [sys.executable, "-c", COMMAND, "grade", str(folder / "submitted"), "--jobs", str(options.jobs)]
        began = time.perf_counter()
        subprocess.run([*command, "--fresh", "--out", str(folder / "grades.csv")], check=True)
        seconds = time.perf_counter() - began
        with open(folder / "grades.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    if len(rows) != options.students:
        raise RuntimeError(f"{options.students} handed in, {len(rows)} were graded")
    loop = next(row for row in rows if row["error_class"] == "time limit")
    others = [float(row["seconds"]) for row in rows if row is not loop]
    write_result(
        "grade_class",
        command=f"python -m benchmarks.grade_class --students {options.students} --jobs {options.jobs}",
        settings={"exercise": exercise.id, "students": options.students, "jobs": options.jobs},
        measured={
            "seconds_for_the_class": round(seconds, 1),
            "seconds_for_the_looping_one": float(loop["seconds"]),
            "seconds_for_another_on_average": round(sum(others) / len(others), 2),
            "error_classes": dict(Counter(row["error_class"] for row in rows)),
        },
    )


if __name__ == "__main__":
    main()
