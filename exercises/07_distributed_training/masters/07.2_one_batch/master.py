# %% [markdown]
# N ranks share a batch, each has the gradient of its own rows. Together they should make the step that one machine would make
# with the whole batch. Which one number, in which place, makes that so?

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# The loss is a mean over rows. Rank 0 has three rows, rank 1 has one. A weight's gradient is 2 on each of rank 0's rows, and 10 on
# the row of rank 1: over all four rows the mean is (3 · 2 + 10) / 4 = 4.

# %%
gradients = [[torch.tensor([2.0])], [torch.tensor([10.0])]]  # of each rank, for each parameter
rows = [3, 1]
show(whole_batch=torch.tensor([2.0, 2.0, 2.0, 10.0]).mean())

# %% [markdown]
# ## Your turn
# Combine the ranks' gradients to those of the mean loss over all rows. A rank that did not use a parameter has None for it: to
# its loss that parameter makes no difference. A rank can be without any row; then all it has is None.


# %% nbgrader={"solution": true, "grade_id": "combined_gradients"}
def combined_gradients(gradients, rows):
    """The gradients of the mean loss over all ranks' rows: a list with a tensor for each parameter.

    gradients: for each rank a list, with a tensor or None for each parameter; each the gradient of the mean loss over
    that rank's rows. rows: how many rows each rank has. A parameter that no rank used stays None.
    """
    ### BEGIN SOLUTION
    combined = []
    for of_parameter in zip(*gradients, strict=True):
        parts = [part * number for part, number in zip(of_parameter, rows, strict=True) if part is not None]
        combined.append(sum(parts) / sum(rows) if parts else None)
    return combined
    ### END SOLUTION


# %% [markdown]
# Here 4 comes out. The plain mean says 6, the sum 12.

# %%
show(combined=combined_gradients(gradients, rows)[0])

# %%
check("07.2")

# %% [markdown]
# `average_gradients` in the library does so if it is told the number of `examples`. torch's DDP takes the plain mean: right for
# equal shares, a little off for others, which is one reason for `drop_last`.

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further networks and shares.

# %% nbgrader={"grade": true, "grade_id": "equal_shares", "points": 2}
check("07.2", "equal_shares")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.2").master.with_name("checks.py"), "checks_07_2")
checks.as_one_batch(combined_gradients, [checks.example([5, 5, 5, 5, 5], seed=11)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "other_shares", "points": 3}
check("07.2", "other_shares")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.2").master.with_name("checks.py"), "checks_07_2")
checks.as_one_batch(combined_gradients, [checks.example([7, 1, 2], seed=12), checks.example([1, 9], seed=13)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "unused_parameters", "points": 3}
check("07.2", "unused_parameters")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.2").master.with_name("checks.py"), "checks_07_2")
further = [checks.example([2, 0, 5, 1], used=[[0, 1], [], [1], [0]], seed=14)]
checks.as_one_batch(combined_gradients, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "gradients_stay", "points": 1}
check("07.2", "gradients_stay")
