# %% [markdown]
# A bug that raises no error is the expensive kind. This one lets a translator train, and start every sentence from a state
# that depends on its neighbours in the batch. Find it by its symptoms, then repair it.

# %%
import torch
from torch import nn

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# > *Bahdanau, Cho, Bengio 2014, A.2.* The decoder starts from s₀ = tanh(W_s ←h₁): the state of the encoder that reads from
# > right to left, at the first word.
#
# ## The broken version
# It runs, gives the right shape, and its author tested it on one sentence.


# %%
def broken_initial_state(forward_states, backward_states, is_word, W_s):
    last = forward_states[:, -1]  # this reader has seen the whole sentence here
    return torch.tanh(last @ W_s.T)


# %% [markdown]
# ## Its symptoms
# The same three words, alone and in batches whose other sentences are longer by one place and by two: the decoder should
# start from one and the same state. It does not.

# %%
torch.manual_seed(0)
forward_reader = nn.GRU(input_size=2, hidden_size=2, batch_first=True)
words, W_s = torch.randn(1, 3, 2), torch.randn(2, 2)
for places in (0, 1, 2):
    padded = nn.functional.pad(words, (0, 0, 0, places))  # [1, 3 + places, 2]
    states, _ = forward_reader(padded)
    is_word = torch.arange(3 + places).unsqueeze(0) < 3
    show(padding=places, s0=broken_initial_state(states, states, is_word, W_s))

# %% [markdown]
# And with one number for each state, so that you can follow it: three words and a place of padding, W_s = 1. Right is
# tanh(0.7) = 0.604; the broken version gives tanh(0.3) = 0.291.

# %%
forward_states = torch.tensor([[[0.1], [0.5], [0.9], [0.3]]])  # [batch=1, source=4, hidden=1]
backward_states = torch.tensor([[[0.7], [0.4], [0.2], [0.6]]])
is_word = torch.tensor([[True, True, True, False]])
show(broken=broken_initial_state(forward_states, backward_states, is_word, torch.ones(1, 1)))

# %% [markdown]
# ## Your turn
# Repair it. Mind both things that are wrong: whose states these are, and at which place they are taken. A repair of one alone
# passes some of the checks.


# %% nbgrader={"solution": true, "grade_id": "initial_state"}
def initial_state(forward_states, backward_states, is_word, W_s):
    """The decoder's first state s_0, [batch, decoder].

    forward_states, backward_states: of the readers from left to right and from right to left, each
    [batch, source, hidden]; at places of padding they hold anything. is_word: True where there is a word,
    [batch, source]; padding follows the words. W_s: [decoder, hidden].
    """
    ### BEGIN SOLUTION
    # The reader from right to left ends at the first word, whatever padding follows the last.
    first_word = backward_states[:, 0]  # [batch, hidden]
    return torch.tanh(first_word @ W_s.T)
    ### END SOLUTION


# %% [markdown]
# Try it on the numbers from above: 0.604.

# %%
show(repaired=initial_state(forward_states, backward_states, is_word, torch.ones(1, 1)))

# %%
check("02.4")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further sentences: one of a single word, and matrices that
# are wide, narrow and large.

# %% nbgrader={"grade": true, "grade_id": "state_for_each_sentence", "points": 1}
check("02.4", "state_for_each_sentence")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.4").master.with_name("checks.py"), "checks_02_4")
further = [
    checks.read(1, 1, [1], hidden=4, decoder=3, seed=11),
    checks.read(4, 8, [8, 1, 5, 7], hidden=6, decoder=2, seed=12, scale=5.0),
    checks.read(2, 6, [3, 3], hidden=2, decoder=5, seed=13),
]
checks.is_a_state(initial_state, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "same_in_any_batch", "points": 2}
check("02.4", "same_in_any_batch")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.4").master.with_name("checks.py"), "checks_02_4")
further = [
    checks.read(1, 1, [1], hidden=4, decoder=3, seed=11),
    checks.read(4, 8, [8, 1, 5, 7], hidden=6, decoder=2, seed=12, scale=5.0),
    checks.read(2, 6, [3, 3], hidden=2, decoder=5, seed=13),
]
checks.batches_do_not_matter(initial_state, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "starts_where_the_paper_starts", "points": 3}
check("02.4", "starts_where_the_paper_starts")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.4").master.with_name("checks.py"), "checks_02_4")
further = [
    checks.read(1, 1, [1], hidden=4, decoder=3, seed=11),
    checks.read(4, 8, [8, 1, 5, 7], hidden=6, decoder=2, seed=12, scale=5.0),
    checks.read(2, 6, [3, 3], hidden=2, decoder=5, seed=13),
]
checks.starts_as_the_library(initial_state, further)
### END HIDDEN TESTS
