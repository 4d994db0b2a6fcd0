# %% [markdown]
# A batch holds sentences of several lengths, so short ones are filled up with padding. Attention must not look there:
# whatever weight goes to padding is taken from the words, and the answer depends on the neighbours in the batch.

# %%
import torch

from course_lib.exercises import check, hint, step

# %% [markdown]
# ## With numbers
# The energies 2 and 1 give the weights e² / (e² + e¹) = 7.39 / 10.11 = 0.731 and 0.269. A place of padding with the
# energy 3 beside them would take most of it: 0.665 of the whole.

# %%
print(torch.tensor([2.0, 1.0]).softmax(dim=-1), torch.tensor([2.0, 1.0, 3.0]).softmax(dim=-1))

# %% [markdown]
# ## Your turn
# Write the softmax that gives padding no weight at all, and the words of each sentence what they would get by themselves.
# `energies` are `[batch, source]`; `is_word` is True where there is a word. The result has the same shape.


# %% nbgrader={"solution": true, "grade_id": "masked_softmax"}
def masked_softmax(energies, is_word):
    """Weights over the words of each sentence: [batch, source], 0 where there is padding."""
    ### BEGIN SOLUTION
    struck_out = energies.masked_fill(~is_word, float("-inf"))
    return struck_out.softmax(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Try it on the words from above before you ask for the check: 0.731, 0.269, 0.

# %%
masked_softmax(torch.tensor([[2.0, 1.0, 3.0]]), torch.tensor([[True, True, False]]))

# %%
check("02.1")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further sentences: a single word, no padding at all, mostly
# padding, and energies in the thousands.

# %% nbgrader={"grade": true, "grade_id": "words_share_one", "points": 2}
check("02.1", "words_share_one")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.1").master.with_name("checks.py"), "checks_02_1")
further = [
    checks.example(1, 1, [1], seed=11),
    checks.example(3, 2, [2, 2, 2], seed=12),
    checks.example(4, 7, [7, 1, 6, 2], seed=13),
    checks.example(3, 4, [4, 1, 3], seed=15, scale=2_000.0),
]
checks.weights_share_one(masked_softmax, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_gets_nothing", "points": 2}
check("02.1", "padding_gets_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.1").master.with_name("checks.py"), "checks_02_1")
further = [
    checks.example(4, 7, [7, 1, 6, 2], seed=13),
    checks.example(2, 6, [3, 2], seed=14),
    checks.example(3, 4, [4, 1, 3], seed=15, scale=2_000.0),
]
checks.padding_has_no_weight(masked_softmax, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "words_as_if_alone", "points": 2}
check("02.1", "words_as_if_alone")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.1").master.with_name("checks.py"), "checks_02_1")
further = [
    checks.example(1, 1, [1], seed=11),
    checks.example(3, 2, [2, 2, 2], seed=12),
    checks.example(4, 7, [7, 1, 6, 2], seed=13),
    checks.example(2, 6, [3, 2], seed=14),
]
checks.equals_torch(masked_softmax, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "large_energies", "points": 1}
check("02.1", "large_energies")
### BEGIN HIDDEN TESTS
import torch

from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.1").master.with_name("checks.py"), "checks_02_1")
further = [
    checks.example(3, 4, [4, 1, 3], seed=15, scale=2_000.0),
    {
        "energies": torch.full((2, 3), -90.0),
        "is_word": torch.tensor([[True, True, True], [True, False, False]]),
    },
]
checks.equals_torch(masked_softmax, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "same_in_any_batch", "points": 2}
check("02.1", "same_in_any_batch")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.1").master.with_name("checks.py"), "checks_02_1")
further = [
    checks.example(1, 1, [1], seed=11),
    checks.example(4, 7, [7, 1, 6, 2], seed=13),
    checks.example(2, 6, [3, 2], seed=14),
]
checks.batches_do_not_matter(masked_softmax, further)
### END HIDDEN TESTS
