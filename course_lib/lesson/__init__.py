"""The notebooks' side of the library: begin a lesson, guess, record, claim, and show.

    from course_lib import lesson
    course = lesson.start("02_bahdanau_attention", profile=profile, seed=seed)

Importing this package loads no torch; `start` does.
"""

from course_lib.lesson.claims import ClaimFailed
from course_lib.lesson.course import Course, start
from course_lib.lesson.heat_maps import heat_map
from course_lib.lesson.numbers import about, seconds
from course_lib.lesson.predictions import Prediction
from course_lib.lesson.recall import recall
from course_lib.lesson.shipped_results import ShippedResults, shipped
from course_lib.lesson.tables import table
from course_lib.lesson.tensors import show
from course_lib.lesson.timelines import message_timeline, turn_timeline

__all__ = [
    "ClaimFailed",
    "Course",
    "Prediction",
    "ShippedResults",
    "about",
    "heat_map",
    "message_timeline",
    "recall",
    "seconds",
    "shipped",
    "show",
    "start",
    "table",
    "turn_timeline",
]
