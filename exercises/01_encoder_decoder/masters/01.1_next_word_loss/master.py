# %% [markdown]
# All that a translator learns, it learns from one number. Count padding in it, or divide by the wrong count, and training
# still runs and the loss still falls: it only teaches something else. So write it once by hand.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# Three words in the vocabulary, scores for two places. At each place the softmax makes probabilities of the scores, and the
# true word costs minus the logarithm of its own. Likely words are cheap.

# %%
scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])  # [target=2, vocabulary=3]
probabilities = scores.softmax(dim=-1)
true_words = torch.tensor([0, 2])
costs = -probabilities[torch.arange(2), true_words].log()
show(probabilities=probabilities, costs=costs, loss=costs.mean())

# %% [markdown]
# The first word was expected and costs 0.41 nats. The second place knows nothing: a blind guess among three words costs
# ln 3 = 1.10.
#
# ## Your turn
# Now for a batch with padding. The loss is the mean over all *words* of the batch, each counting the same, whichever
# sentence it stands in. Please do not call torch's `cross_entropy`: the check compares with it.


# %% nbgrader={"solution": true, "grade_id": "next_word_loss"}
def next_word_loss(logits, targets, is_word):
    """Mean cross-entropy of the true next words, in nats: one number, a tensor without axes.

    logits: the scores of every word at every place, [batch, target, vocabulary].
    targets: the true words' numbers, [batch, target]. is_word: False where there is padding, [batch, target].
    """
    ### BEGIN SOLUTION
    log_probabilities = logits.log_softmax(dim=-1)  # [batch, target, vocabulary]
    of_truth = log_probabilities.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # [batch, target]
    return -of_truth[is_word].mean()
    ### END SOLUTION


# %% [markdown]
# Try it on the two places from above. As words of one sentence they cost 0.753 on average; with the second as padding, the
# first alone counts: 0.408.

# %%
both_words, first_alone = torch.tensor([[True, True]]), torch.tensor([[True, False]])
for is_word in (both_words, first_alone):
    show(loss=next_word_loss(scores.unsqueeze(0), true_words.unsqueeze(0), is_word))

# %%
check("01.1")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further batches: longer ones, one of a single word, larger
# vocabularies, larger scores.

# %% nbgrader={"grade": true, "grade_id": "equals_torch", "points": 4}
check("01.1", "equals_torch")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.1").master.with_name("checks.py"), "checks_01_1")
further = [checks.example([1], 2, seed=11), checks.example([7, 2, 2, 6, 1], 30, seed=12, scale=4.0)]
checks.equal_to_torch(next_word_loss, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "mean_over_words", "points": 2}
check("01.1", "mean_over_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.1").master.with_name("checks.py"), "checks_01_1")
checks.repeated_rows(next_word_loss, [checks.example([1, 4], 2, seed=13), checks.example([6, 6, 2], 20, seed=14)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_counts_nothing", "points": 2}
check("01.1", "padding_counts_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.1").master.with_name("checks.py"), "checks_01_1")
checks.more_padding(next_word_loss, [checks.example([1], 3, seed=15), checks.example([2, 8, 5, 1], 12, seed=16)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "blind_guess", "points": 2}
check("01.1", "blind_guess")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.1").master.with_name("checks.py"), "checks_01_1")
checks.guess_costs(next_word_loss, [checks.blind([1, 5, 2], 40), checks.blind([9], 671)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "large_scores", "points": 2}
check("01.1", "large_scores")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.1").master.with_name("checks.py"), "checks_01_1")
further = [checks.example([4, 2], 9, seed=17, scale=500.0), checks.example([1, 1], 3, seed=18, scale=1e6)]
checks.equal_to_torch(next_word_loss, further)
### END HIDDEN TESTS
