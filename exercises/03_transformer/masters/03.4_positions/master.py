# %% [markdown]
# To attention a sentence is a bag of words. The transformer therefore adds a pattern to each place, made of waves: fast ones
# tell neighbours apart, slow ones the beginning from the end. Write it, and see why waves.

# %%
import math

import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show
from course_lib.models.scaled_attention import scaled_dot_product

# %% [markdown]
# ## Without positions, no order
# Three words look at each other. In another order each gets the same context as before: attention alone can't tell who
# came first. The rows below only change places.

# %%
torch.manual_seed(0)
words, order = torch.randn(3, 4), torch.tensor([2, 0, 1])
show(
    as_written=scaled_dot_product(words, words, words)[0],
    in_another_order=scaled_dot_product(words[order], words[order], words[order])[0],
    sums=False,
)

# %% [markdown]
# ## With numbers
# > *Vaswani et al. 2017, §3.5.* PE(pos, 2i) = sin(pos / 10000^(2i/d)), and a cosine of the same angle in feature 2i + 1.
#
# With d = 4 there are two pairs: i = 0 turns by 1 at each place, i = 1 by 1 / 10000^(2/4) = 0.01. So place 2 has the
# angles 2 and 0.02.

# %%
place_2 = torch.tensor([math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)])
show(place_2=place_2, sums=False)

# %% [markdown]
# ## Your turn: the table
# One row for each place, counted from 0; a sine and its cosine side by side.


# %% nbgrader={"solution": true, "grade_id": "position_table"}
def position_table(length, embedding):
    """The paper's positions: [length, embedding]; `embedding` is even."""
    ### BEGIN SOLUTION
    places = torch.arange(length).unsqueeze(1)  # [length, 1]
    exponents = torch.arange(0, embedding, 2) / embedding  # [embedding / 2]
    angles = places / 10_000**exponents  # [length, embedding / 2]
    table = torch.empty(length, embedding)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()
    return table
    ### END SOLUTION


# %% [markdown]
# Try it: the last row of the table should be the one from above. With the table added to the three words, order counts:
# in another order they now get other contexts.

# %%
table = position_table(3, 4)
first, then = words + table, words[order] + table
show(
    table=table,
    as_written=scaled_dot_product(first, first, first)[0],
    in_another_order=scaled_dot_product(then, then, then)[0],
    sums=False,
)

# %% [markdown]
# ## A shift is a turn
# Why waves, and not just the numbers 0, 1, 2? Let an angle grow by b: sin(a + b) = cos b · sin a + sin b · cos a, and
# cos(a + b) = −sin b · sin a + cos b · cos a. The pair is turned by a matrix that does not depend on a.

# %% [markdown]
# So one matrix takes *every* place to the one k places on. A head that has learned it looks "k to the left" from anywhere.
# For the first pair and one place on, b is 1; applied to place 1, it gives place 2 from above: 0.909, −0.416.

# %%
one_on = torch.tensor([[math.cos(1), math.sin(1)], [-math.sin(1), math.cos(1)]])
place_1 = torch.tensor([math.sin(1), math.cos(1)])
show(place_1=place_1, place_2=one_on @ place_1, sums=False)

# %% [markdown]
# ## Your turn: the matrix
# For the whole row: each pair has its own block of two by two on the diagonal, and its own b; everything else is 0.
# A negative number of places turns back.


# %% nbgrader={"solution": true, "grade_id": "turn"}
def turn(places, embedding):
    """The matrix that takes the row of any place to the row `places` further on: [embedding, embedding]."""
    ### BEGIN SOLUTION
    matrix = torch.zeros(embedding, embedding)
    for sine in range(0, embedding, 2):
        cosine = sine + 1
        angle = places / 10_000 ** (sine / embedding)
        matrix[sine, sine], matrix[sine, cosine] = math.cos(angle), math.sin(angle)
        matrix[cosine, sine], matrix[cosine, cosine] = -math.sin(angle), math.cos(angle)
    return matrix
    ### END SOLUTION


# %% [markdown]
# Try it: the turn by one takes place 0 to place 1, and place 1 to place 2. Both differences should be 0.

# %%
for place in (0, 1):
    differences = turn(1, 4) @ table[place] - table[place + 1]
    print(f"from place {place} to {place + 1}: largest difference {differences.abs().max():.3f}")

# %%
check("03.4")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further tables: a single place, one pair, wide rows and long
# sentences; and further turns, forward and back.

# %% nbgrader={"grade": true, "grade_id": "equals_the_formula", "points": 4}
check("03.4", "equals_the_formula")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.4").master.with_name("checks.py"), "checks_03_4")
checks.equals_formula(position_table, checks.sizes((1, 2), (9, 10), (512, 6), (3, 64)))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "pairs_on_a_circle", "points": 1}
check("03.4", "pairs_on_a_circle")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.4").master.with_name("checks.py"), "checks_03_4")
checks.pairs_are_on_a_circle(position_table, checks.sizes((1, 2), (9, 10), (3, 64)))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "likeness_by_distance", "points": 2}
check("03.4", "likeness_by_distance")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.4").master.with_name("checks.py"), "checks_03_4")
checks.likeness_goes_by_distance(position_table, checks.sizes((9, 10), (50, 12)))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "shift_turns_all_places", "points": 4}
check("03.4", "shift_turns_all_places")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.4").master.with_name("checks.py"), "checks_03_4")
checks.shift_is_a_turn(turn, checks.shifts((0, 4), (1, 12), (-7, 6), (100, 8)), length=25)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "turns_are_added", "points": 2}
check("03.4", "turns_are_added")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.4").master.with_name("checks.py"), "checks_03_4")
checks.turns_add_up(turn, [(7, 4), (-2, 9), (30, -30)], embedding=10)
### END HIDDEN TESTS
