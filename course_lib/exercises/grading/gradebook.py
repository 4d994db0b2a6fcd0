"""How does nbgrader go on from here? Enters the points into its gradebook, for `nbgrader export` and formgrader."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from course_lib.batch.errors import UsageError
from course_lib.exercises.building.release import scripts_on_path
from course_lib.exercises.grading.rows import Line


def enter(database: Path, lines: Sequence[Line]) -> int:
    """Enter every graded exercise as nbgrader's autograde would; returns how many submissions were entered.

    An assignment is a lesson, a notebook an exercise. What is there of other students and exercises stays. Raises
    UsageError without nbgrader, or if a graded cell was added or removed since answers to it were entered.
    """
    try:
        from nbgrader.api import Gradebook
    except ModuleNotFoundError:
        raise UsageError("--gradebook needs nbgrader: pip install 'course-lib[exercises]'") from None
    entered = 0
    database.parent.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{database.resolve()}"
    with scripts_on_path(), warnings.catch_warnings(), Gradebook(url) as gradebook:
        warnings.simplefilter("ignore")  # of SQLAlchemy, about the order in which nbgrader fills its tables
        for paper in {line.paper.exercise.id: line.paper for line in lines if line.paper is not None}.values():
            lesson, name = paper.exercise.lesson, paper.exercise.name
            gradebook.update_or_create_assignment(lesson)
            notebook = gradebook.update_or_create_notebook(name, lesson)
            known, asked = {cell.name for cell in notebook.grade_cells}, {cell.name for cell in paper.graded}
            if known and known != asked and notebook.submissions:
                raise UsageError(f"{database}: the graded cells of {name} have changed; use a new gradebook")
            for cell in paper.graded:
                options = {"max_score": cell.points, "cell_type": "code"}
                gradebook.update_or_create_grade_cell(cell.name, name, lesson, **options)
        for line in lines:
            if line.graded is None or line.paper is None:
                continue
            lesson, name = line.paper.exercise.lesson, line.paper.exercise.name
            gradebook.update_or_create_student(line.row.student)
            time = datetime.fromtimestamp(line.graded.submission.modified, UTC).replace(tzinfo=None)
            gradebook.update_or_create_submission(lesson, line.row.student, timestamp=time)
            for result in line.graded.judgement.cells:
                grade = gradebook.find_grade(result.name, name, lesson, line.row.student)
                grade.auto_score, grade.manual_score, grade.needs_manual_grade = float(result.points), None, False
            gradebook.db.commit()
            entered += 1
    return entered
