"""How is a whole class graded, whatever single notebooks do, and without starting over after Ctrl-C?

Each notebook is judged in a process of its own (`forking`), which runs the student's code in yet another (`answering`)
and writes one result. A result is kept under a hash of all that it depends on: the notebook, the exercise's files, the
limits, the isolation and this library. Only one made under the same hash is used again.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

from course_lib.exercises.answering import Isolation, SessionLimits
from course_lib.exercises.grading import results
from course_lib.exercises.grading.forking import Ended, ForkServer
from course_lib.exercises.grading.judging import judge, not_judged
from course_lib.exercises.grading.papers import Paper
from course_lib.exercises.grading.reading import Notebook
from course_lib.exercises.grading.results import GRADER_ERROR, Judgement
from course_lib.exercises.grading.submissions import Submission

TRUSTED_SECONDS = 120.0  # for the checks themselves, on top of the student's time
PATIENCE = 0.5


@dataclass(frozen=True)
class Graded:
    """A submission and what it earned. paper: None where it is not known which exercise it is."""

    submission: Submission
    paper: Paper | None
    judgement: Judgement
    kept: bool = False


@dataclass(frozen=True)
class Step:
    """What happened to one submission: begun, or graded."""

    state: Literal["begun", "graded"]
    graded: Graded | Submission


@dataclass
class Outcome:
    """A graded class. broken: of each exercise, the checks that its own solution does not pass, and why.

    interrupted: by Ctrl-C; then `graded` holds what was finished before.
    """

    graded: list[Graded]
    broken: dict[str, dict[str, str]] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True)
class _Task:
    """One notebook to be judged. submission: None for the exercise's own solution."""

    paper: Paper
    sources: tuple[tuple[int, str], ...]
    key: str
    place: Path
    submission: Submission | None


def grade(
    submissions: Sequence[Submission],
    papers: Sequence[Paper],
    folder: Path,
    *,
    limits: SessionLimits,
    isolation: Isolation,
    jobs: int,
    fresh: bool = False,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Outcome:
    """Judge every submission, and the solution of every exercise among them, `jobs` at a time.

    Results are kept in `folder`; those of an earlier run are used unless `fresh`. Ctrl-C ends what is running and
    returns what is finished. Raises RuntimeError when no judge can be started at all.
    """
    by_id = {paper.exercise.id: paper for paper in papers}
    outcome = Outcome([])
    tasks: list[_Task] = []
    versions = {paper.exercise.id: _version(paper, limits, isolation) for paper in papers}
    for id in dict.fromkeys(item.exercise for item in submissions if item.notebook is not None and item.exercise):
        tasks.append(_solution_task(by_id[id], versions[id], folder))
    for item in submissions:
        paper = by_id.get(item.exercise or "")
        if item.notebook is None or paper is None:
            outcome.graded.append(Graded(item, paper, _unreadable(item, paper)))
            on_step(Step("graded", outcome.graded[-1]))
        else:
            tasks.append(_task(item, item.notebook, paper, versions[paper.exercise.id], folder))
    reference: dict[str, Judgement] = {}
    left: list[_Task] = []

    def done(task: _Task, judgement: Judgement, kept: bool) -> None:
        if task.submission is None:
            reference[task.paper.exercise.id] = judgement
        else:
            outcome.graded.append(Graded(task.submission, task.paper, judgement, kept))
            on_step(Step("graded", outcome.graded[-1]))

    for task in tasks:
        judgement = None if fresh else results.load(task.place, task.key)
        if judgement is None:
            left.append(task)
        else:
            done(task, judgement, True)
    if left:
        outcome.interrupted = _run(left, folder, limits, isolation, jobs, done, on_step)
    outcome.broken = {id: broken for id, judgement in reference.items() if (broken := _broken(judgement))}
    outcome.graded = [_not_charged(item, outcome.broken) for item in outcome.graded]
    order = {item.file: position for position, item in enumerate(submissions)}
    outcome.graded.sort(key=lambda item: order[item.submission.file])
    return outcome


def own_cells(notebook: Notebook, paper: Paper) -> tuple[tuple[int, str], ...]:
    """The student's own code cells with their places: all but those of the graded checks, which are the master's."""
    checks = {cell.name for cell in paper.graded}
    return tuple(
        (index, cell.source)
        for index, cell in enumerate(notebook.cells)
        if cell.kind == "code" and cell.source.strip() and not cell.graded and cell.grade_id not in checks
    )


def changed_checks(notebook: Notebook, paper: Paper) -> list[str]:
    """The names of graded cells that the student changed or deleted. It makes no difference to the points."""
    there = {cell.grade_id: cell.source.strip() for cell in notebook.cells if cell.kind == "code"}
    return [cell.name for cell in paper.graded if there.get(cell.name) != cell.public]


def file_name(text: str) -> str:
    """A name that any file system takes, and that stays apart from other names that look alike."""
    safe = re.sub(r"[^\w .()-]+", "_", text).strip(" .")[:80]
    return safe if safe == text and safe == safe.casefold() else f"{safe or 'unnamed'}-{_hash(text)[:6]}"


def _run(
    tasks: Sequence[_Task],
    folder: Path,
    limits: SessionLimits,
    isolation: Isolation,
    jobs: int,
    done: Callable[[_Task, Judgement, bool], None],
    on_step: Callable[[Step], None],
) -> bool:
    """Judge the tasks; True if Ctrl-C came in between."""
    seconds = limits.start_seconds + limits.seconds + TRUSTED_SECONDS
    waiting = list(enumerate(tasks))[::-1]
    running: dict[int, _Task] = {}
    try:
        with ForkServer(folder / "log.txt") as server:
            while waiting or running:
                while waiting and len(running) < jobs:
                    number, task = waiting.pop()
                    task.place.unlink(missing_ok=True)
                    server.start(
                        number, seconds, judge_into, task.paper, task.sources, limits, isolation, task.place, task.key
                    )
                    running[number] = task
                    if task.submission is not None:
                        on_step(Step("begun", task.submission))
                for ended in server.ended(PATIENCE):
                    task = running.pop(ended.number)
                    judgement = results.load(task.place, task.key) or _lost(task.paper, ended, seconds, folder)
                    done(task, judgement, False)
    except KeyboardInterrupt:
        return True
    return False


def judge_into(
    paper: Paper,
    sources: tuple[tuple[int, str], ...],
    limits: SessionLimits,
    isolation: Isolation,
    place: Path,
    key: str,
) -> None:
    """Judge one notebook and keep the result; runs in a fork of its own."""
    results.save(place, key, judge(paper, sources, limits, isolation))


def _task(item: Submission, notebook: Notebook, paper: Paper, version: str, folder: Path) -> _Task:
    place = folder / file_name(item.student) / f"{paper.exercise.id}.json"
    sources = own_cells(notebook, paper)
    return _Task(paper, sources, _hash(f"{version} {item.digest} {item.student}"), place, item)


def _solution_task(paper: Paper, version: str, folder: Path) -> _Task:
    place = folder / ".solutions" / f"{paper.exercise.id}.json"
    return _Task(paper, tuple(enumerate(paper.solution)), _hash(f"{version} solution"), place, None)


def _version(paper: Paper, limits: SessionLimits, isolation: Isolation) -> str:
    """A hash of all that a result depends on beside the notebook itself."""
    from course_lib.batch.fingerprint import code_version

    files = sorted(path for path in paper.exercise.master.parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
    content = [f"{path.name} {sha256(path.read_bytes()).hexdigest()}" for path in files]
    settings = [str(sorted(asdict(limits).items())), isolation.level, str(results.SCHEMA), code_version()]
    return _hash("\n".join([*content, *settings]))


def _unreadable(item: Submission, paper: Paper | None) -> Judgement:
    problem = item.problem
    assert problem is not None
    if paper is None:
        return Judgement([], problem=problem.error_class, ended=problem.text)
    return Judgement(not_judged(paper, problem.error_class, problem.text))


def _lost(paper: Paper, ended: Ended, seconds: float, folder: Path) -> Judgement:
    """The judge itself hung or crashed: nobody's points, and something to look into."""
    how = (
        f"judging took longer than {seconds:.0f} s"
        if ended.overdue
        else f"the judge ended with the status {ended.status}"
    )
    problem = f"{how}; see {folder / 'log.txt'}"
    cells = not_judged(paper, GRADER_ERROR, "this could not be judged; the fault is not yours")
    return Judgement(cells, problem=problem)


def _broken(reference: Judgement) -> dict[str, str]:
    """The graded cells that the exercise's own solution does not pass."""
    return {
        cell.name: f"{cell.error_class}: {cell.detail.strip().splitlines()[-1] if cell.detail.strip() else cell.found}"
        for cell in reference.cells
        if cell.verdict != "passed"
    }


def _not_charged(item: Graded, broken: dict[str, dict[str, str]]) -> Graded:
    """What a broken check says is nobody's fault: such a cell says so, instead of "wrong"."""
    if item.paper is None or not (here := broken.get(item.paper.exercise.id)) or item.submission.notebook is None:
        return item
    cells = [
        replace(
            cell,
            verdict="not judged",
            error_class=GRADER_ERROR,
            points=0,
            found="this check is broken, since the exercise's own solution does not pass it; the fault is not yours",
            detail=here[cell.name],
            example=[],
            answer=None,
            mistake=None,
            hint="",
        )
        if cell.name in here
        else cell
        for cell in item.judgement.cells
    ]
    return replace(item, judgement=replace(item.judgement, cells=cells))


def default_jobs() -> int:
    """As many as there are cores for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
