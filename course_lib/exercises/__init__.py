"""Exercises that can fail their learner and help them: checks by property, hints, progress, building, grading.

In an exercise's notebook:

    from course_lib.exercises import check, hint
    check("02.1")

Importing this package loads no torch.
"""
