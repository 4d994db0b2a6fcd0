"""How long until something is there? `import course_lib` and `course --help`, each as a process of its own.

python -m benchmarks.start_up
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.writing import write_result

COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "import course_lib": [sys.executable, "-c", "import course_lib, sys; assert 'torch' not in sys.modules"],
    "course --help": [str(Path(sys.executable).with_name("course")), "--help"],
}
REPEATS = 15


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for repeat in range(REPEATS + 1):  # in turns, so that a busy machine slows all; the first fills the caches
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if repeat:
                times[name].append(time.perf_counter() - began)
    write_result(
        "start_up",
        command="python -m benchmarks.start_up",
        settings={"repeats": REPEATS},
        measured={
            f"{name}, seconds": {"median": round(statistics.median(t), 3), "fastest": round(min(t), 3)}
            for name, t in times.items()
        },
    )


if __name__ == "__main__":
    main()
