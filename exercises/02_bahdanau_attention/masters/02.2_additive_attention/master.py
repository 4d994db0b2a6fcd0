# %% [markdown]
# Everything that looks back, from Bahdanau's decoder to today's transformers, scores, weighs and sums. Write the first
# form of it yourself, for a batch of sentences, and you have the whole step in a few lines.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# One sentence of three words, two features each, with W and U the identity and v all ones: energy e_j = vᵀ tanh(W s +
# U h_j). For the first word: tanh(1.2) + tanh(0.8) = 0.834 + 0.664 = 1.498.

# %%
s = torch.tensor([0.3, 0.7])
h = torch.tensor([[0.9, 0.1], [0.2, 0.8], [-0.5, 0.4]])  # [source=3, features=2]
energies = torch.tanh(s + h).sum(dim=-1)
show(energies=energies, weights=energies.softmax(dim=-1), context=energies.softmax(dim=-1) @ h)

# %% [markdown]
# ## Your turn
# Now with a batch, with matrices, and with padding. Keep the paper's order: project, add, bend, score, strike out, softmax,
# sum. The annotations `keys` are also what is summed. The matrices are `W [attention, query]`, `U [attention, key]` and
# `v [attention]`.


# %% nbgrader={"solution": true, "grade_id": "additive_attention"}
def additive_attention(query, keys, is_word, W, U, v):
    """Where to look, and what is seen there.

    query: the decoder's state, [batch, query]. keys: the annotations, [batch, source, key].
    is_word: True where there is a word, [batch, source]; each sentence has one at least.
    Returns context [batch, key] and weights [batch, source].
    """
    ### BEGIN SOLUTION
    projected_query = query @ W.T  # [batch, attention]
    projected_keys = keys @ U.T  # [batch, source, attention]
    bent = torch.tanh(projected_query.unsqueeze(1) + projected_keys)  # [batch, source, attention]
    energies = bent @ v  # [batch, source]
    struck_out = energies.masked_fill(~is_word, float("-inf"))
    weights = struck_out.softmax(dim=-1)
    context = (weights.unsqueeze(-1) * keys).sum(dim=1)  # [batch, key]
    return context, weights
    ### END SOLUTION


# %% [markdown]
# Try it on the three words from above, once whole, and once with the third place as padding. The lesson found the weights
# 0.437, 0.384, 0.179 and 0.533, 0.467, 0.

# %%
query, keys = s.repeat(2, 1), h.repeat(2, 1, 1)  # the same sentence twice
is_word = torch.tensor([[True, True, True], [True, True, False]])
W, U, v = torch.eye(2), torch.eye(2), torch.ones(2)
context, weights = additive_attention(query, keys, is_word, W, U, v)
show(context=context, weights=weights)

# %%
check("02.2")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further sentences: wider ones, ones of a single word, and
# energies so large that a careless exp overflows.

# %% nbgrader={"grade": true, "grade_id": "context_and_weights", "points": 2}
check("02.2", "context_and_weights")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.2").master.with_name("checks.py"), "checks_02_2")
further = [
    checks.example(1, 1, [1], sizes=(1, 1, 1), seed=12),
    checks.example(4, 9, [9, 1, 5, 8], sizes=(5, 7, 3), seed=11),
]
checks.shapes_are_right(additive_attention, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "words_share_one", "points": 2}
check("02.2", "words_share_one")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.2").master.with_name("checks.py"), "checks_02_2")
further = [
    checks.example(1, 1, [1], sizes=(1, 1, 1), seed=12),
    checks.example(4, 9, [9, 1, 5, 8], sizes=(5, 7, 3), seed=11),
    checks.example(2, 4, [4, 3], sizes=(3, 3, 6), seed=13, scale=40.0),
]
checks.weights_share_one(additive_attention, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_gets_nothing", "points": 2}
check("02.2", "padding_gets_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.2").master.with_name("checks.py"), "checks_02_2")
further = [
    checks.example(4, 9, [9, 1, 5, 8], sizes=(5, 7, 3), seed=11),
    checks.example(2, 4, [4, 3], sizes=(3, 3, 6), seed=13, scale=40.0),
]
checks.padding_has_no_weight(additive_attention, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "follows_the_formula", "points": 4}
check("02.2", "follows_the_formula")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.2").master.with_name("checks.py"), "checks_02_2")
further = [
    checks.example(1, 1, [1], sizes=(1, 1, 1), seed=12),
    checks.example(4, 9, [9, 1, 5, 8], sizes=(5, 7, 3), seed=11),
    checks.example(2, 4, [4, 3], sizes=(3, 3, 6), seed=13, scale=40.0),
]
checks.equals_the_library(additive_attention, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_changes_no_answer", "points": 2}
check("02.2", "padding_changes_no_answer")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.2").master.with_name("checks.py"), "checks_02_2")
further = [
    checks.example(1, 1, [1], sizes=(1, 1, 1), seed=12),
    checks.example(4, 9, [9, 1, 5, 8], sizes=(5, 7, 3), seed=11),
    checks.example(2, 4, [4, 3], sizes=(3, 3, 6), seed=13, scale=40.0),
]
checks.padding_is_harmless(additive_attention, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "alone_as_together", "points": 2}
check("02.2", "alone_as_together")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.2").master.with_name("checks.py"), "checks_02_2")
further = [
    checks.example(4, 9, [9, 1, 5, 8], sizes=(5, 7, 3), seed=11),
    checks.example(2, 4, [4, 3], sizes=(3, 3, 6), seed=13, scale=40.0),
]
checks.alone_or_in_a_batch(additive_attention, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "order_goes_along", "points": 2}
check("02.2", "order_goes_along")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.2").master.with_name("checks.py"), "checks_02_2")
further = [
    checks.example(4, 9, [9, 1, 5, 8], sizes=(5, 7, 3), seed=11),
    checks.example(2, 4, [4, 3], sizes=(3, 3, 6), seed=13, scale=40.0),
]
checks.weights_follow_their_words(additive_attention, further)
### END HIDDEN TESTS
