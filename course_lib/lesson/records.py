"""Where do a notebook's numbers and claims go, so that a batch run can collect them?"""

import json
import math
import os
import re
from collections.abc import Mapping
from typing import Any

from course_lib.lesson.numbers import APPROXIMATELY, plain_number, written

RECORD_MIME = "application/vnd.course.record.v1+json"
LONGEST_LIST = 1000


def check_name(name: str) -> str:
    """`name` itself if it is snake_case; ValueError with a suggestion otherwise."""
    if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        return name
    suggestion = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "exact_match"
    raise ValueError(f"a record's name is snake_case, got {name!r}; use {suggestion!r}")


def json_safe(name: str, value: Any) -> Any:
    """`value` as JSON can hold it: numpy and torch numbers unpacked, NaN and infinity as null.

    Not-a-number becomes null rather than an error: that a training diverged is a result, and must not cost the run
    its other records. Raises TypeError for what is not a number, text, list or mapping of those.
    """
    if hasattr(value, "tolist"):
        if math.prod(value.shape) > LONGEST_LIST:
            raise TypeError(
                f"record {name!r} is an array of shape {list(value.shape)}; records are for numbers that runs are "
                f"compared by (at most {LONGEST_LIST}), so reduce it or save it to a file"
            )
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [json_safe(name, item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): json_safe(name, item) for key, item in value.items()}
    raise TypeError(f"record {name!r} must be a number, text, list or mapping, got {type(value).__name__}")


def record_bundle(name: str, value: Any) -> dict[str, str]:
    """The display data of one record: readable text, and the exact value as JSON text for tools.

    The JSON is a string, since nbval compares other values bit by bit and could not blur a measured one.
    """
    exact = json.dumps({"course_record": name, "value": json_safe(name, value)}, ensure_ascii=False, allow_nan=False)
    return {RECORD_MIME: exact, "text/plain": f"recorded {name} = {_readable(value)}"}


def records_bundle(values: Mapping[str, Any]) -> dict[str, str]:
    """The display data of several records: their number and names' range as text, the exact values as JSON text."""
    safe = {name: json_safe(name, value) for name, value in values.items()}
    exact = json.dumps({"course_records": safe}, ensure_ascii=False, allow_nan=False)
    names = list(safe)
    text = f"recorded {len(names)} results" + (f", {names[0]} to {names[-1]}" if len(names) > 1 else "")
    return {RECORD_MIME: exact, "text/plain": text}


def append_line(line: Mapping[str, Any]) -> None:
    """Append one JSON line to the file named by COURSE_RECORD_FILE; without it nothing is written.

    Raises OSError naming the file when it cannot be written: a result must not get lost in silence.
    """
    path = os.environ.get("COURSE_RECORD_FILE")
    if not path:
        return
    text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = f"the result could not be appended to COURSE_RECORD_FILE: {error.strerror}"
        raise OSError(error.errno, reason, path) from error


def _readable(value: Any) -> str:
    value = plain_number(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_readable(item)}" for key, item in value.items()) + "}"
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_readable(item) for item in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{APPROXIMATELY}{value} (kept as null)"
    return written(value)
