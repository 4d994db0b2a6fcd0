"""What was handed in, by whom, for which exercise, and when? The newest of several files counts.

Where a student handed in the whole course, their own copies in `my_exercises` count before the course's notebooks, and
the course's solutions and masters, and what was kept at a reset, do not count at all.
"""

import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from course_lib.batch.errors import UsageError
from course_lib.exercises.grading.collecting import PROGRESS_FILE, File, collect
from course_lib.exercises.grading.papers import Paper
from course_lib.exercises.grading.reading import Notebook, Unreadable, read_notebook
from course_lib.exercises.grading.students import exercise_in_name, place_of, students_of
from course_lib.exercises.workspace import FOLDER as OWN_COPIES

NOT_RECOGNISED = "unknown exercise"
MOST_EVENTS = 100_000


@dataclass(frozen=True)
class Submission:
    """One notebook of one student.

    exercise: the id, or None where it was not recognised. modified: seconds since 1970, of the file. notebook: None
    where `problem` says why it cannot be graded. digest: of the file's content. others: earlier files of the same
    student for the same exercise, which do not count.
    """

    student: str
    exercise: str | None
    file: str
    modified: float
    notebook: Notebook | None
    problem: Unreadable | None
    digest: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class HandedIn:
    """All that was found. events: of each student, what a progress file that was handed in says."""

    submissions: list[Submission]
    students: list[str]
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def find_submissions(root: Path, papers: Sequence[Paper], leave_out: Path | None = None) -> HandedIn:
    """All notebooks below `root`, sorted by student and exercise. Raises UsageError when there is none."""
    if not root.exists():
        raise UsageError(f"no submissions at {root}: there is no such folder")
    exercises = [paper.exercise for paper in papers]
    read: list[tuple[File, Submission | None, str | None]] = []
    for file in collect(root, leave_out):
        if _is_the_courses(file.parts, {exercise.lesson for exercise in exercises}):
            continue
        guessed = exercise_in_name(file.parts, exercises)
        submission = _read(file, guessed, papers)
        read.append((replace(file, content=file.content if file.name == PROGRESS_FILE else b""), submission, guessed))
    places = [
        place_of(file.parts, submission.exercise if submission else guessed, exercises)
        for file, submission, guessed in read
    ]
    names = students_of(places, root.resolve().name if root.is_dir() else "")
    found: list[Submission] = []
    events: dict[str, list[dict[str, Any]]] = {}
    # A file that is nobody's notebook still tells that there is a student, if it stands in a folder of one.
    students: set[str] = set()
    for (file, submission, _), place, name in zip(read, places, names, strict=True):
        if submission is not None:
            found.append(replace(submission, student=name))
        if submission is not None or place.folders:
            students.add(name)
        if file.name == PROGRESS_FILE and isinstance(file.content, bytes):
            events.setdefault(name, []).extend(_events(file.content))
    if not found:
        raise UsageError(f"no notebook in {root}; expected a folder for each student, or files named by student")
    newest = _newest(_without_lookalikes(found))
    return HandedIn(newest, sorted(students, key=_alphabetical), events)


def _is_the_courses(parts: Sequence[str], lessons: Collection[str]) -> bool:
    """Whether a file is the course's solution or master, or an earlier work that was put away."""
    pairs = itertools.pairwise(parts[:-1])
    return any(
        (above in lessons and folder in ("solutions", "masters")) or (above == OWN_COPIES and folder == "kept")
        for above, folder in pairs
    )


def _read(file: File, guessed: str | None, papers: Sequence[Paper]) -> Submission | None:
    """The file as a submission; None for one that is no attempt at an exercise."""
    modified, digest, notebook, problem, exercise = file.modified, "", None, None, guessed
    if isinstance(file.content, Unreadable):
        if not file.is_notebook and guessed is None and not file.name.lower().endswith(".zip"):
            return None
        problem = file.content
    elif file.is_notebook:
        digest = sha256(file.content).hexdigest()
        try:
            notebook = read_notebook(file.content)
        except Unreadable as unreadable:
            problem = unreadable
        else:
            exercise = _recognised(notebook, papers) or guessed
    elif guessed is None or file.name == PROGRESS_FILE or not exercise_in_name(file.parts[-1:], _exercises(papers)):
        return None
    else:
        kind = file.name.rpartition(".")[2]
        problem = Unreadable("not a notebook", f"this is a file of the kind .{kind}; hand in the notebook (.ipynb)")
    if exercise is None and problem is None:
        problem = Unreadable(
            NOT_RECOGNISED, "neither the notebook nor its name tells which exercise it is; name it such as 02.1_alice"
        )
    return Submission("", exercise, file.place, modified, notebook, problem, digest)


def _exercises(papers: Sequence[Paper]) -> list[Any]:
    return [paper.exercise for paper in papers]


def _recognised(notebook: Notebook, papers: Sequence[Paper]) -> str | None:
    """By the metadata, or else by nbgrader's names of the cells: the exercise with most of them."""
    for paper in papers:
        if notebook.exercise in (paper.exercise.id, paper.exercise.name):
            return paper.exercise.id
    there = {cell.grade_id for cell in notebook.cells if cell.grade_id}
    shared = Counter({paper.exercise.id: len(there & paper.cell_names) for paper in papers})
    best = shared.most_common(2)
    if not best or best[0][1] == 0 or (len(best) > 1 and best[0][1] == best[1][1]):
        return None
    return best[0][0]


def _without_lookalikes(found: Sequence[Submission]) -> list[Submission]:
    """Without the .pdf or .py that a student handed in beside the notebook itself."""
    whole = {(item.student, item.exercise) for item in found if item.notebook is not None}
    return [
        item for item in found if item.digest or item.exercise is None or (item.student, item.exercise) not in whole
    ]


def _newest(found: Iterable[Submission]) -> list[Submission]:
    groups: dict[tuple[str, str], list[Submission]] = {}
    for item in found:
        # What was not recognised stands for itself.
        groups.setdefault((item.student, item.exercise or f"?{item.file}"), []).append(item)
    newest = []
    for group in groups.values():
        first, *others = sorted(group, key=_what_counts_first)
        newest.append(replace(first, others=tuple(item.file for item in others)))
    return sorted(newest, key=lambda item: (_alphabetical(item.student), item.exercise or "~", item.file))


def _what_counts_first(item: Submission) -> tuple[bool, float, str]:
    return OWN_COPIES not in item.file.split("/"), -item.modified, item.file


def _alphabetical(name: str) -> tuple[str, str]:
    return name.casefold(), name


def _events(content: bytes) -> list[dict[str, Any]]:
    events = []
    for line in content.splitlines()[:MOST_EVENTS]:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events
