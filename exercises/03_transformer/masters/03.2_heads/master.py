# %% [markdown]
# One attention averages what it sees; eight can look at eight things. All it takes are two reshapes, and each has a
# wrong form with the right shape, which trains without complaint.

# %%
import torch
from torch.nn.functional import scaled_dot_product_attention

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# One sentence of three places with four features, numbered so that 21 is feature 1 of place 2. Two heads share the
# features: the first should get 0, 1 of each place, the second 2, 3.

# %%
states = torch.tensor([[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0], [20.0, 21.0, 22.0, 23.0]])
show(first_head=states[:, :2], second_head=states[:, 2:], sums=False)

# %% [markdown]
# ### A wrong turn: the right shape, other numbers
# To read the twelve numbers anew as two heads of three places also gives `[2, 3, 2]`. But now the first head has place 0
# whole and half of place 1, and takes them for three places.

# %%
mixed = states.reshape(2, 3, 2)  # [head, place, size]
show(first_head=mixed[0], second_head=mixed[1], sums=False)

# %% [markdown]
# ## Your turn: split
# Cut the features of each place into equal slices, one for each head, and let the axis of the heads come before that of
# the places, where a matrix product takes it for a batch.


# %% nbgrader={"solution": true, "grade_id": "split_heads"}
def split_heads(states, heads):
    """[batch, length, embedding] → [batch, head, length, embedding / heads]; `heads` divides the embedding."""
    ### BEGIN SOLUTION
    batch, length, embedding = states.shape
    cut = states.reshape(batch, length, heads, embedding // heads)
    return cut.transpose(1, 2)  # [batch, head, length, size]
    ### END SOLUTION


# %% [markdown]
# Try it on the numbers from above: the heads should come out as they stood there at first.

# %%
first, second = split_heads(states.unsqueeze(0), heads=2)[0]
show(first_head=first, second_head=second, sums=False)

# %% [markdown]
# ## Your turn: join
# The way back: at each place, the features of the first head, then those of the second, and so on.


# %% nbgrader={"solution": true, "grade_id": "join_heads"}
def join_heads(states):
    """[batch, head, length, size] → [batch, length, head · size]."""
    ### BEGIN SOLUTION
    batch, heads, length, size = states.shape
    by_place = states.transpose(1, 2)  # [batch, length, head, size]
    return by_place.reshape(batch, length, heads * size)
    ### END SOLUTION


# %% [markdown]
# Split and joined, the sentence is what it was.

# %%
show(joined=join_heads(split_heads(states.unsqueeze(0), heads=2))[0], sums=False)

# %% [markdown]
# ## Your turn: attend in between
# Project, split, attend, join, project. Torch's `scaled_dot_product_attention(query, key, value, attn_mask=…)` does the
# middle, for any axes before the last two. Its mask is True where a place may be looked at.


# %% nbgrader={"solution": true, "grade_id": "multi_head"}
def multi_head(target, source, is_word, W_q, W_k, W_v, W_o, heads):
    """What the target places see in the source, each with several heads: [batch, target, embedding].

    target: [batch, target, embedding], the places that look. source: [batch, source, embedding], what they look at.
    is_word: True where the source has a word, [batch, source]. W_q, W_k, W_v, W_o: [embedding, embedding], used as
    `states @ W.T`: of query, key and value, each for all heads at once, and of what they saw together.
    """
    ### BEGIN SOLUTION
    query = split_heads(target @ W_q.T, heads)  # [batch, head, target, size]
    key = split_heads(source @ W_k.T, heads)  # [batch, head, source, size]
    value = split_heads(source @ W_v.T, heads)
    may_look = is_word[:, None, None, :]  # [batch, 1, 1, source]
    context = scaled_dot_product_attention(query, key, value, attn_mask=may_look)
    return join_heads(context) @ W_o.T
    ### END SOLUTION


# %% [markdown]
# Try it where you can follow it: all matrices the identity, and a target without features 0 and 1. So the first head's
# query is zero, and it sees the mean of both words, 2, 2; the second sees the second word, 1, 1.

# %%
target = torch.tensor([[[0.0, 0.0, 9.0, 9.0]]])  # [batch=1, target=1, embedding=4]
source = torch.tensor([[[4.0, 0.0, 0.0, 0.0], [0.0, 4.0, 1.0, 1.0]]])  # [batch=1, source=2, embedding=4]
same = torch.eye(4)
seen = multi_head(target, source, torch.tensor([[True, True]]), same, same, same, same, heads=2)
show(first_head=seen[0, 0, :2], second_head=seen[0, 0, 2:], sums=False)

# %%
check("03.2")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further sentences: as many heads as features, a single
# head, a single word, and as many places as heads.

# %% nbgrader={"grade": true, "grade_id": "each_head_has_its_slice", "points": 2}
check("03.2", "each_head_has_its_slice")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.2").master.with_name("checks.py"), "checks_03_2")
further = [checks.whole_states(1, 1, 3, 1), checks.whole_states(2, 5, 6, 6), checks.whole_states(3, 4, 8, 4)]
checks.split_is_right(split_heads, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "heads_lie_side_by_side", "points": 2}
check("03.2", "heads_lie_side_by_side")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.2").master.with_name("checks.py"), "checks_03_2")
further = [checks.parts(1, 1, 1, 3), checks.parts(2, 6, 5, 1), checks.parts(3, 4, 4, 2)]
checks.join_is_right(join_heads, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "join_undoes_split", "points": 1}
check("03.2", "join_undoes_split")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.2").master.with_name("checks.py"), "checks_03_2")
further = [checks.whole_states(1, 1, 3, 1), checks.whole_states(2, 5, 6, 6), checks.whole_states(3, 4, 8, 4)]
checks.join_is_the_way_back(split_heads, join_heads, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "one_head_is_plain", "points": 2}
check("03.2", "one_head_is_plain")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.2").master.with_name("checks.py"), "checks_03_2")
further = [checks.example(1, [1], 1, 1, seed=11), checks.example(5, [6, 1, 3], 7, 1, seed=12)]
checks.equals_plain_attention(multi_head, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "same_as_torch", "points": 4}
check("03.2", "same_as_torch")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.2").master.with_name("checks.py"), "checks_03_2")
further = [
    checks.example(1, [1], 2, 2, seed=13),
    checks.example(4, [3, 2], 8, 4, seed=14),
    checks.example(5, [6, 1, 3], 12, 3, seed=15, scale=3.0),
]
checks.equals_torch(multi_head, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "heads_may_change_places", "points": 1}
check("03.2", "heads_may_change_places")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.2").master.with_name("checks.py"), "checks_03_2")
further = [checks.example(4, [3, 2], 8, 4, seed=14), checks.example(5, [6, 1, 3], 12, 3, seed=15, scale=3.0)]
checks.heads_are_equals(multi_head, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_changes_no_answer", "points": 2}
check("03.2", "padding_changes_no_answer")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.2").master.with_name("checks.py"), "checks_03_2")
further = [checks.example(4, [3, 2], 8, 4, seed=14), checks.example(5, [6, 1, 3], 12, 3, seed=15, scale=3.0)]
checks.padding_is_harmless(multi_head, further)
### END HIDDEN TESTS
