# %% [markdown]
# A vocabulary has a long tail: thousands of tokens, each nearly impossible, and one of them drawn by chance spoils the text.
# Two cuts are in every library. Both are a few lines, and both are easily wrong by one token.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# Four tokens with the probabilities 0.1, 0.5, 0.15 and 0.25. Top-k with k = 2 keeps 0.5 and 0.25. Top-p with p = 0.7: 0.5 is
# not enough, 0.5 + 0.25 = 0.75 is. So the same two stay, and the one that crosses the border is among them.

# %%
probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])  # [batch=1, vocabulary=4]
logits = probabilities.log()
likeliest_first = probabilities.sort(dim=-1, descending=True).values
print("likeliest first", likeliest_first, "running sum", likeliest_first.cumsum(dim=-1), sep="\n")

# %% [markdown]
# ## Your turn: top-k
# A cut takes logits and gives logits: what stays keeps its own, what goes gets −∞, and the softmax afterwards shares the
# rest out. If tokens tie with the k-th, all of them stay. A k beyond the vocabulary keeps everything.


# %% nbgrader={"solution": true, "grade_id": "only_top_k"}
def only_top_k(logits, k):
    """The k likeliest tokens of each row stay: logits [batch, vocabulary], -inf where a token was cut off. k >= 1."""
    ### BEGIN SOLUTION
    last = logits.topk(min(k, logits.shape[-1]), dim=-1).values[:, -1:]  # [batch, 1]
    return logits.masked_fill(logits < last, float("-inf"))
    ### END SOLUTION


# %% [markdown]
# Try it with k = 2: the probabilities of what stays become 0.5 / 0.75 = 0.667 and 0.25 / 0.75 = 0.333.

# %%
show(top_2=only_top_k(logits, 2).softmax(dim=-1))

# %% [markdown]
# ## Your turn: top-p
# > *Holtzman et al. 2020, §3.1.* The nucleus is the smallest set of likeliest tokens whose probabilities together reach p.
#
# You will sort to find it. Mind that the answer stands in the vocabulary's order again, and that each row has its own nucleus.


# %% nbgrader={"solution": true, "grade_id": "only_top_p"}
def only_top_p(logits, p):
    """The nucleus of each row stays: logits [batch, vocabulary], -inf where a token was cut off. 0 < p <= 1."""
    ### BEGIN SOLUTION
    sorted_logits, order = logits.sort(dim=-1, descending=True)
    shares = sorted_logits.softmax(dim=-1)
    before = shares.cumsum(dim=-1) - shares  # what all likelier tokens have together
    cut = before >= p
    return logits.masked_fill(cut.scatter(1, order, cut), float("-inf"))
    ### END SOLUTION


# %% [markdown]
# Try it with p = 0.7, which keeps two tokens, and with p = 0.3: the first has more than that by itself, and stays alone.

# %%
show(p_70=only_top_p(logits, 0.7).softmax(dim=-1), p_30=only_top_p(logits, 0.3).softmax(dim=-1))

# %%
check("04.2")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further rows: large vocabularies, rows already cut, very sure
# and very unsure ones.

# %% nbgrader={"grade": true, "grade_id": "k_likeliest_stay", "points": 2}
check("04.2", "k_likeliest_stay")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.2").master.with_name("checks.py"), "checks_04_2")
further = [checks.random_k(1, 1, 1, seed=11), checks.random_k(5, 60, 17, seed=12), checks.random_k(3, 9, 8, seed=13)]
checks.equals_transformers_top_k(only_top_k, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "ties_and_large_k", "points": 2}
check("04.2", "ties_and_large_k")
### BEGIN HIDDEN TESTS
import torch

from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.2").master.with_name("checks.py"), "checks_04_2")
further = [
    checks.random_k(2, 3, 50, seed=14),
    {"logits": torch.zeros(2, 6), "k": 2},
    {"logits": torch.tensor([[1.0, 5.0, 5.0, 5.0], [4.0, 4.0, 3.0, 9.0]]), "k": 3},
]
checks.equals_transformers_top_k(only_top_k, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "nucleus_is_smallest", "points": 3}
check("04.2", "nucleus_is_smallest")
### BEGIN HIDDEN TESTS
import torch

from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.2").master.with_name("checks.py"), "checks_04_2")
further = [
    checks.random_p(4, 50, 0.9, seed=16),
    checks.random_p(2, 200, 0.5, seed=17, scale=0.3),
    {"logits": torch.zeros(2, 10), "p": 0.55},
]
checks.is_a_nucleus(only_top_p, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "same_as_transformers", "points": 3}
check("04.2", "same_as_transformers")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.2").master.with_name("checks.py"), "checks_04_2")
further = [checks.random_p(6, 30, 0.8, seed=17), checks.random_p(3, 40, 0.35, seed=18, scale=3.0, cut_off=12)]
checks.equals_transformers_top_p(only_top_p, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "one_token_stays", "points": 2}
check("04.2", "one_token_stays")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.2").master.with_name("checks.py"), "checks_04_2")
further = [checks.random_p(3, 20, 1e-6, seed=19), checks.random_p(4, 5, 0.9, seed=20, scale=60.0)]
checks.equals_transformers_top_p(only_top_p, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "each_row_by_itself", "points": 2}
check("04.2", "each_row_by_itself")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.2").master.with_name("checks.py"), "checks_04_2")
checks.rows_do_not_matter(only_top_k, [checks.random_k(5, 12, 4, seed=21)])
checks.rows_do_not_matter(only_top_p, [checks.random_p(5, 12, 0.6, seed=22)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "logits_are_left", "points": 1}
check("04.2", "logits_are_left")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.2").master.with_name("checks.py"), "checks_04_2")
checks.changes_nothing(only_top_k, [checks.random_k(2, 7, 3, seed=23)])
checks.changes_nothing(only_top_p, [checks.random_p(2, 7, 0.4, seed=24)])
### END HIDDEN TESTS
