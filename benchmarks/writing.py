"""Writes a benchmark's result where the repository keeps it, with the machine, the versions and the date."""

import datetime
import json
from pathlib import Path
from typing import Any

from course_lib.batch.hardware import describe_hardware, describe_versions

RESULTS = Path(__file__).parent / "results"


def header(command: str) -> dict[str, Any]:
    """Where and when: the command, the date, the machine and the versions."""
    return {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "hardware": describe_hardware(),
        "versions": describe_versions(),
    }


def write_result(name: str, *, command: str, settings: dict[str, Any], measured: Any) -> None:
    """Writes `results/NAME.json` and shows what was measured."""
    result = {**header(command), "settings": settings, "measured": measured}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    print(json.dumps(measured, indent=1, ensure_ascii=False))
    print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
