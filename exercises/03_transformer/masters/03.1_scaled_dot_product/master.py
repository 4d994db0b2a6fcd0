# %% [markdown]
# One formula is the heart of every transformer: softmax(QKᵀ / √d) V. Write it with a mask and with heads, and each of its
# five steps is yours: multiply, divide, hide, softmax, sum.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# A query of four ones, two keys: the products are 4 and 2. Divided by √4 they are 2 and 1, which the softmax turns into
# 0.731 and 0.269. Undivided, it would be 0.881 and 0.119.

# %%
products = torch.tensor([4.0, 2.0])  # (1, 1, 1, 1) · (2, 2, 0, 0) and (1, 1, 1, 1) · (2, 0, 0, 0)
show(divided=(products / 2).softmax(dim=-1), undivided=products.softmax(dim=-1))

# %% [markdown]
# With the values 10 and 20, the context is 0.731 · 10 + 0.269 · 20 = 12.69. If the place may not look at the second key,
# the first gets all the weight, and the context is 10.

# %% [markdown]
# ## Your turn
# For a batch, with several heads. `may_look` is True where a target place may look at a source place; each may look at
# one at least. Its axis for the heads has length 1, as it holds for all heads.


# %% nbgrader={"solution": true, "grade_id": "scaled_dot_product"}
def scaled_dot_product(query, key, value, may_look):
    """What each target place sees: softmax(Q K^T / sqrt(d)) V, and the weights it was made with.

    query: [batch, head, target, size]. key: [batch, head, source, size]. value: [batch, head, source, value].
    may_look: True or False, [batch, 1, target, source], or [batch, 1, 1, source] where it is the same for all targets.
    Returns context [batch, head, target, value] and weights [batch, head, target, source].
    """
    ### BEGIN SOLUTION
    size = query.shape[-1]
    scores = query @ key.transpose(-2, -1)  # [batch, head, target, source]
    scores = scores / size**0.5
    scores = scores.masked_fill(~may_look, float("-inf"))
    weights = scores.softmax(dim=-1)
    context = weights @ value  # [batch, head, target, value]
    return context, weights
    ### END SOLUTION


# %% [markdown]
# Try it on the numbers from above, in two sentences: the first may look at both keys, the second at the first key only.
# Expected are the contexts 12.69 and 10.

# %%
query = torch.ones(2, 1, 1, 4)  # [batch=2, head=1, target=1, size=4]
key = torch.tensor([[2.0, 2.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]]).expand(2, 1, 2, 4)
value = torch.tensor([[10.0], [20.0]]).expand(2, 1, 2, 1)
may_look = torch.tensor([[True, True], [True, False]])[:, None, None, :]
context, weights = scaled_dot_product(query, key, value, may_look)
show(context=context.flatten(), weights=weights.flatten(0, 2))

# %%
check("03.1")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further sentences: a single word, many heads, wide keys,
# and scores in the hundreds.

# %% nbgrader={"grade": true, "grade_id": "context_and_weights", "points": 2}
check("03.1", "context_and_weights")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.1").master.with_name("checks.py"), "checks_03_1")
further = [
    checks.example(1, 1, [1], sizes=(1, 1), seed=11),
    checks.example(5, 3, [7, 4, 1], sizes=(6, 9), seed=12),
]
checks.shapes_are_right(scaled_dot_product, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "places_share_one", "points": 2}
check("03.1", "places_share_one")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.1").master.with_name("checks.py"), "checks_03_1")
further = [
    checks.example(1, 1, [1], sizes=(1, 1), seed=11),
    checks.example(5, 3, [7, 4, 1], sizes=(6, 9), seed=12),
    checks.example(2, 3, [4, 2], sizes=(8, 2), seed=13, scale=300.0),
]
checks.weights_share_one(scaled_dot_product, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "hidden_places_get_nothing", "points": 2}
check("03.1", "hidden_places_get_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.1").master.with_name("checks.py"), "checks_03_1")
further = [
    checks.example(5, 3, [7, 4, 1], sizes=(6, 9), seed=12),
    checks.example(2, 6, [6, 3], sizes=(3, 3), seed=14, causal=True),
]
checks.hidden_places_have_no_weight(scaled_dot_product, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "same_as_torch", "points": 4}
check("03.1", "same_as_torch")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.1").master.with_name("checks.py"), "checks_03_1")
further = [
    checks.example(1, 1, [1], sizes=(1, 1), seed=11),
    checks.example(5, 3, [7, 4, 1], sizes=(6, 9), seed=12),
    checks.example(2, 3, [4, 2], sizes=(8, 2), seed=13, scale=300.0),
    checks.example(2, 6, [6, 3], sizes=(3, 3), seed=14, causal=True),
]
checks.equals_torch(scaled_dot_product, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "scores_of_any_size", "points": 2}
check("03.1", "scores_of_any_size")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.1").master.with_name("checks.py"), "checks_03_1")
checks.scores_are_of_one_size(scaled_dot_product, sizes=(9, 100, 512), seed=15)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "hidden_places_change_nothing", "points": 2}
check("03.1", "hidden_places_change_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.1").master.with_name("checks.py"), "checks_03_1")
further = [
    checks.example(5, 3, [7, 4, 1], sizes=(6, 9), seed=12),
    checks.example(2, 6, [6, 3], sizes=(3, 3), seed=14, causal=True),
]
checks.hidden_places_are_harmless(scaled_dot_product, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "order_goes_along", "points": 1}
check("03.1", "order_goes_along")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.1").master.with_name("checks.py"), "checks_03_1")
further = [
    checks.example(5, 3, [7, 4, 1], sizes=(6, 9), seed=12),
    checks.example(2, 6, [6, 3], sizes=(3, 3), seed=14, causal=True),
]
checks.weights_follow_their_keys(scaled_dot_product, further)
### END HIDDEN TESTS
