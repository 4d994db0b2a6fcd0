# %% [markdown]
# A batch holds sentences of several lengths, so short ones are filled up with padding. Attention must not look there:
# write the softmax that gives padding no weight, and the words of each sentence weights that sum to one.

# %%
import torch

from course_lib.exercises import check, hint, step

# %% [markdown]
# `energies` are the scores, `[batch, source]`; `is_word` is True where there is a word. The result has the same shape.


# %% nbgrader={"grade": false, "grade_id": "masked_softmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
def masked_softmax(energies, is_word):
    """Weights over the words of each sentence: [batch, source], 0 where there is padding."""
    ### BEGIN SOLUTION
    struck_out = energies.masked_fill(~is_word, float("-inf"))
    return struck_out.softmax(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Try it on one sentence of two words and a place of padding before you ask for the check.

# %%
masked_softmax(torch.tensor([[2.0, 1.0, 3.0]]), torch.tensor([[True, True, False]]))

# %%
check("02.1")

# %% [markdown]
# ## Graded
# The same checks one by one, each with further examples when a class is graded.

# %% nbgrader={"grade": true, "grade_id": "words_share_one", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("02.1", "words_share_one")
### BEGIN HIDDEN TESTS
from course_lib.exercises.properties.weights import weights_sum_to_one

large = torch.tensor([[60.0, 0.0, 90.0], [-80.0, -90.0, 0.0]])
words = torch.tensor([[True, True, True], [True, True, False]])
weights_sum_to_one(masked_softmax, [{"energies": large, "is_word": words}], shape_of="energies")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_gets_nothing", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("02.1", "padding_gets_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.properties.weights import padding_gets_no_weight

many = torch.linspace(-3, 3, 28).reshape(4, 7)
lengths = torch.tensor([7, 1, 6, 2]).unsqueeze(1)
padding_gets_no_weight(masked_softmax, [{"energies": many, "is_word": torch.arange(7) < lengths}], mask="is_word")
### END HIDDEN TESTS
