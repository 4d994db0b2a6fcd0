"""Would a finished notebook come out the same if it were run again now?"""

import json
from functools import cache
from hashlib import sha256
from pathlib import Path

import course_lib
from course_lib.batch.plan import Spec


def fingerprint(spec: Spec) -> str:
    """A hash of the notebook's code, the values handed to it, and the library's code; outputs and text don't count."""
    cells = json.loads(spec.notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    content = json.dumps([code, sorted(spec.overrides.items()), code_version()], default=repr)
    return sha256(content.encode()).hexdigest()


@cache
def code_version(package: Path | None = None) -> str:
    """A hash of the library's modules, without the runner and the command, which no notebook imports."""
    package = package or Path(course_lib.__file__).parent
    digest = sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0] in {"batch", "cli"}:
            continue
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
