"""Do the course's own exercises give an untouched notebook nothing, and each solution everything?"""

from pathlib import Path

import pytest

from course_lib.exercises.answering import SessionLimits, choose
from course_lib.exercises.catalogue import find_exercises
from course_lib.exercises.grading.engine import grade
from course_lib.exercises.grading.papers import read_paper
from course_lib.exercises.grading.submissions import find_submissions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Every exercise's student notebook and solution, graded as two students' work."""
    papers = [read_paper(exercise) for exercise in find_exercises(Path(__file__).parents[3] / "exercises")]
    folder = tmp_path_factory.mktemp("class")
    for paper in papers:
        for student, file in (("untouched", paper.exercise.student), ("solved", paper.exercise.solution)):
            place = folder / "submitted" / student / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    found = find_submissions(folder / "submitted", papers).submissions
    options = {"limits": SessionLimits(seconds=120), "isolation": choose(), "jobs": 2}
    return grade(found, papers, folder / "results", **options), len(papers)


def test_no_check_is_broken(graded):
    assert graded[0].broken == {}


def test_solutions_get_all_points_and_untouched_notebooks_none(graded):
    outcome, exercises = graded
    told = [
        (item.submission.student, item.submission.exercise, item.judgement.points, item.judgement.error_class)
        for item in outcome.graded
    ]
    assert len(told) == 2 * exercises
    points = {paper.exercise.id: paper.points for paper in (item.paper for item in outcome.graded)}
    assert [item for item in told if item[0] == "solved" and (item[2:] != (points[item[1]], "ok"))] == []
    assert [item for item in told if item[0] == "untouched" and (item[2:] != (0, "not written"))] == []
