"""How is what was typed on the command line turned into values, and what is said when it cannot be?"""

import re
from pathlib import Path

from course_lib.batch.errors import UsageError

RUNS = Path("runs")
LATEST = "latest"
SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def assignments(option: str, given: list[str]) -> dict[str, str]:
    """`name=value` each; spaces around the name are dropped. Raises UsageError for other forms and repeated names."""
    values: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"{option} needs name=value, got {text!r}")
        if name in values:
            raise UsageError(f"{option} {name} is given twice")
        values[name] = value
    return values


def sweeps(given: list[str]) -> dict[str, list[str]]:
    """`name=a,b,c` each, as name and list of values."""
    return {name: [part.strip() for part in text.split(",")] for name, text in assignments("--sweep", given).items()}


def seed_numbers(text: str | None) -> list[int] | None:
    """`0,1,2` as numbers; None stays None. Raises UsageError for all but whole numbers ≥ 0, and for repetitions."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--seeds needs whole numbers, as in --seeds 0,1,2, got {text!r}")
    seeds = [int(part) for part in parts]
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds names a seed twice: {text}")
    return seeds


def gpu_names(text: str | None) -> list[str] | None:
    """`0,1` as a list of GPU numbers or UUIDs; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",")]


def time_limit(text: str | None) -> float | None:
    """`600`, `90s`, `10m`, `1h30m` in seconds. Raises UsageError for other forms and for 0."""
    if text is None:
        return None
    form = re.compile(r"(\d+(?:\.\d+)?)\s*(h|min|m|s|)", re.IGNORECASE)
    parts = form.findall(text.strip())
    if not parts or form.sub("", text.strip()).strip():
        raise UsageError(f"--timeout needs a time such as 600, 90s, 10m or 1h30m, got {text!r}")
    seconds = sum(float(amount) * SECONDS[unit.lower()] for amount, unit in parts)
    if seconds <= 0:
        raise UsageError(f"--timeout must be more than 0, got {text!r}")
    return seconds


def memory_limit(text: str | None) -> int | None:
    """`4G`, `512M`, `1.5GiB` in bytes (powers of 1024). Raises UsageError for other forms and less than 1 MiB."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip(), re.IGNORECASE)
    if not match:
        raise UsageError(f"--memory needs a size such as 4G or 512M, got {text!r}")
    amount = int(float(match[1]) * BYTES[match[2].lower()])
    if amount < BYTES["m"]:
        raise UsageError(f"--memory {text} is {amount} bytes, too little for any notebook; write 4G for 4 GiB")
    return amount


def run_place(text: str) -> Path:
    """The run that `text` names: a directory, a run.json, or "latest"."""
    return RUNS / LATEST if text == LATEST else Path(text)


def with_resume_value(arguments: list[str]) -> list[str]:
    """`--resume` may stand without a directory, for the newest run; here it gets it, so that a parser can go on.

    What follows it counts as its directory when it is "latest", a path, or a directory that exists; else it is a
    notebook, as in `--resume 02`.
    """
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "--resume":
            following = arguments[position + 1] if position + 1 < len(arguments) else "-"
            is_place = following == LATEST or "/" in following or "\\" in following or Path(following).is_dir()
            if following.startswith("-") or not is_place:
                return [*arguments[: position + 1], LATEST, *arguments[position + 1 :]]
    return arguments


def notebook_folder(given: Path | None) -> Path:
    """The folder with the series: as given, else ./notebooks, else the one of the checkout that this code stands in."""
    if given is not None:
        return given
    here, beside_the_library = Path("notebooks"), Path(__file__).parents[2] / "notebooks"
    return beside_the_library if not here.is_dir() and beside_the_library.is_dir() else here
