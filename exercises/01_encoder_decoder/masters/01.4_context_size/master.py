# %% [markdown]
# The lesson tried four widths and drew a cliff. Here you plan the experiment: decide what to vary, what to measure, and when
# to believe it. What counts in the end is a claim that somebody else can repeat.

# %%
from course_lib.exercises import check, hint, step
from course_lib.exercises.experiments import SENTENCES, context_experiment
from course_lib.lesson import about

# %% [markdown]
# ## The experiment
# `context_experiment(context_size)` trains the lesson's model on lists of one to three languages, such as *polnisch , suaheli
# und kroatisch*. It takes about two seconds, and a result is kept, so asking again is free. With 8 numbers:

# %%
result = context_experiment(8)
for name, sentences in SENTENCES.items():
    right = round(result[name] * sentences)
    print(f"{name:20} {about(right)} of {sentences} sentences, {about(result[name])}")

# %% [markdown]
# Two of the three results come from sentences that the model has never seen, one from sentences of its training, where it
# does better. Eight numbers often hold two languages, rarely three.
#
# ## Predict first
# The encoder has to tell 24 · 23 · 22 = 12,144 lists apart. Which power of two is the smallest context with which 9 in 10
# lists of three come out right? Put your guess into `prediction`; there is a point for having one, none for being right.

# %% nbgrader={"solution": true, "grade_id": "prediction"}
### BEGIN SOLUTION
prediction = 16  # 12,144 lists need 14 bits; a number surely holds one
### END SOLUTION

# %% [markdown]
# ## Your turn
# Find the smallest power of two that reaches an exact match of 0.9 on unseen sentences of three items. Keep each result in
# the dict `measured`, from context size to exact match, and your answer in `context_size`.

# %% nbgrader={"solution": true, "grade_id": "experiment"}
### BEGIN SOLUTION
measured = {}
for size in (8, 16, 32, 64):
    measured[size] = context_experiment(size)["exact_match_3"]
context_size = min(size for size in measured if measured[size] >= 0.9)
### END SOLUTION

# %% [markdown]
# Read your record before you hand it in. Does exact match rise with the context? How far is the answer from your prediction?

# %%
for size in sorted(measured):
    print(f"context of {size:3}: exact match at 3 items {about(measured[size])}")
print(f"predicted {prediction}, found {context_size}")

# %%
check("01.4")

# %% [markdown]
# ## Graded
# The check judges your record; it trains nothing. When a class is graded, the experiment is repeated at your `context_size`
# and at half of it, and has to give what you recorded, within what another machine may change.

# %% nbgrader={"grade": true, "grade_id": "prediction_is_made", "points": 1}
check("01.4", "prediction_is_made")

# %% nbgrader={"grade": true, "grade_id": "results_are_recorded", "points": 2}
check("01.4", "results_are_recorded")
### BEGIN HIDDEN TESTS
from course_lib.exercises.experiments import context_experiment as repeat_experiment

again = repeat_experiment(context_size)["exact_match_3"]
recorded = measured[context_size]
assert abs(again - recorded) <= 0.06, f"repeated at {context_size}: {again:.3f} instead of {recorded:.3f}"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "goal_is_reached", "points": 2}
check("01.4", "goal_is_reached")
### BEGIN HIDDEN TESTS
from course_lib.exercises.experiments import context_experiment as repeat_experiment

again = repeat_experiment(context_size)["exact_match_3"]
assert again >= 0.87, f"repeated at {context_size}: {again:.3f}, not 0.9"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "it_is_the_smallest", "points": 2}
check("01.4", "it_is_the_smallest")
### BEGIN HIDDEN TESTS
from course_lib.exercises.experiments import context_experiment as repeat_experiment

again = repeat_experiment(context_size)["exact_match_3"]
assert again >= 0.87, f"repeated at {context_size}: {again:.3f}, not 0.9"
half = context_size // 2
again = repeat_experiment(half)["exact_match_3"]
assert again < 0.9, f"repeated at {half}: {again:.3f}, so {context_size} is not the smallest"
assert abs(again - measured[half]) <= 0.25, f"repeated at {half}: {again:.3f} instead of {measured[half]:.3f}"
### END HIDDEN TESTS
