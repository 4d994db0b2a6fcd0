"""How does one master become the notebook of the learner, the executed solution, and the release for nbgrader?

`build` makes them, `release` writes nbgrader's tree; the command is `course exercise build`.
"""

from course_lib.exercises.building.build import Built, build, left_over, out_of_date
from course_lib.exercises.building.release import release

__all__ = ["Built", "build", "left_over", "out_of_date", "release"]
