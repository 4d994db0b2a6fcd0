"""Which exercises are there, and what belongs to each?

An exercise lives in `exercises/NN_topic/masters/NN.M_name/`: `master.py` (prose, solution and hidden tests, in jupytext
percent form), `checks.py` (the public checks) and `card.toml` (what it teaches, hints, known mistakes, seeded faults).
From these the command `course exercise build` makes the notebook in `exercises/NN_topic/` and its solution.
"""

import importlib.util
import inspect
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

DIRECTORY_VARIABLE = "COURSE_EXERCISES_DIR"
NAME = re.compile(r"^(?P<id>\d\d\.\d+)_(?P<slug>[a-z0-9_]+)$")
HINT_STEPS = ("nudge", "outline", "code")


class ExerciseError(ValueError):
    """An exercise that is not there, or whose files are not whole. The message says what to do."""


@dataclass(frozen=True)
class Fault:
    """A seeded fault: `find`, once in the solution, becomes `replace`; the checks must recognise `mistake`."""

    name: str
    find: str
    replace: str
    mistake: str


@dataclass(frozen=True)
class Exercise:
    """An exercise and where its files are.

    difficulty: 1 to 5. minutes: for a learner who has read the notebook. needs: the names a learner must define.
    hints: nudge, outline, code. mistakes: key of a known mistake -> what to tell who made it.
    gaps: pieces of the solution that the "gaps" step leaves blank.
    """

    id: str
    slug: str
    master: Path
    title: str
    teaches: str
    difficulty: int
    minutes: int
    needs: tuple[str, ...]
    hints: tuple[str, str, str]
    mistakes: dict[str, str]
    faults: tuple[Fault, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Such as "02.1_masked_softmax"."""
        return f"{self.id}_{self.slug}"

    @property
    def folder(self) -> Path:
        """The notebook's folder, such as exercises/02_bahdanau_attention."""
        return self.master.parent.parent.parent

    @property
    def lesson(self) -> str:
        """The lesson it belongs to, such as "02_bahdanau_attention"."""
        return self.folder.name

    @property
    def student(self) -> Path:
        return self.folder / f"{self.name}.ipynb"

    @property
    def solution(self) -> Path:
        return self.folder / "solutions" / f"{self.name}.ipynb"

    def checks(self) -> dict[str, Callable[..., None]]:
        """The public checks by name, in order: the functions listed in CHECKS of checks.py.

        A check's docstring is its title, its parameters name what the learner must have defined.
        """
        module = load_module(self.master.parent / "checks.py", f"course_checks_{self.name.replace('.', '_')}")
        listed = getattr(module, "CHECKS", None)
        if not listed or not all(callable(check) and inspect.getdoc(check) for check in listed):
            raise ExerciseError(f"{module.__file__} needs a list CHECKS of functions, each with a docstring")
        return {check.__name__: check for check in listed}


def exercises_directory() -> Path:
    """COURSE_EXERCISES_DIR, or the nearest `exercises` above the working directory, or the one beside the library."""
    if named := os.environ.get(DIRECTORY_VARIABLE):
        if not Path(named).is_dir():
            raise ExerciseError(f"{DIRECTORY_VARIABLE} names {named}, which is no folder")
        return Path(named)
    package = Path(__file__).resolve().parents[2]
    for place in (Path.cwd(), *Path.cwd().parents, package):
        if any((place / "exercises").glob("[0-9][0-9]_*/masters")):
            return place / "exercises"
    raise ExerciseError(f"no folder `exercises` above {Path.cwd()}; go to the course or set {DIRECTORY_VARIABLE}")


def find_exercises(directory: Path | None = None) -> list[Exercise]:
    """All exercises, by number. Raises ExerciseError for one whose files are not whole, or two of one number."""
    directory = directory or exercises_directory()
    found = [read_exercise(master) for master in sorted(directory.glob("[0-9][0-9]_*/masters/*/master.py"))]
    ids = [exercise.id for exercise in found]
    if twice := {id for id in ids if ids.count(id) > 1}:
        raise ExerciseError(f"two exercises are called {', '.join(sorted(twice))}")
    return sorted(found, key=lambda exercise: tuple(map(int, exercise.id.split("."))))


def find_exercise(id: str, directory: Path | None = None) -> Exercise:
    """The exercise called `id`: "02.1", "02.1_masked_softmax" or "masked_softmax".

    Raises ExerciseError that names the nearest, or all there are.
    """
    exercises = find_exercises(directory)
    names = [name for exercise in exercises for name in (exercise.id, exercise.name, exercise.slug)]
    for exercise in exercises:
        if str(id).strip() in (exercise.id, exercise.name, exercise.slug):
            return exercise
    near = get_close_matches(str(id), names, n=2, cutoff=0.6)
    if near:
        raise ExerciseError(f"no exercise {id!r}; did you mean {' or '.join(near)}?")
    there = ", ".join(exercise.id for exercise in exercises) or "none"
    raise ExerciseError(f"no exercise {id!r}; there are: {there}")


def read_exercise(master: Path) -> Exercise:
    """The exercise of one master.py. Raises ExerciseError."""
    name = NAME.match(master.parent.name)
    if name is None:
        raise ExerciseError(f"{master.parent} should be named as NN.M_name, such as 02.1_masked_softmax")
    file = master.parent / "card.toml"
    try:
        card: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        exercise = Exercise(
            id=name["id"],
            slug=name["slug"],
            master=master,
            title=card["title"],
            teaches=card["teaches"],
            difficulty=card["difficulty"],
            minutes=card["minutes"],
            needs=tuple(card["needs"]),
            hints=tuple(card["hints"][step].strip() for step in HINT_STEPS),
            mistakes={key: text.strip() for key, text in card.get("mistakes", {}).items()},
            faults=tuple(Fault(**fault) for fault in card.get("faults", ())),
            gaps=tuple(card.get("gaps", ())),
        )
    except FileNotFoundError:
        raise ExerciseError(f"{file} is missing") from None
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ExerciseError(f"{file} is not whole: {error!r}") from error
    if exercise.difficulty not in range(1, 6):
        raise ExerciseError(f"{file}: difficulty must be 1 to 5, got {exercise.difficulty!r}")
    if unknown := [fault.name for fault in exercise.faults if fault.mistake not in exercise.mistakes]:
        raise ExerciseError(f"{file}: no mistake tells the hint of the fault {unknown[0]!r}")
    return exercise


def load_module(path: Path, name: str) -> ModuleType:
    """The module at `path`, loaded anew and not registered. Raises ExerciseError if it is not there."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ExerciseError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
