# %% [markdown]
# A GPT is scored on every word, shifted by one place; a BERT on the hidden words alone, at their own places. Take the one for
# the other and the loss still falls. Write the one number that BERT learns from.

# %%
import torch
from torch.nn.functional import cross_entropy

from course_lib.data.masking import NOT_ASKED
from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# One text of three places and a vocabulary of three words. The middle word is hidden and was number 2; to make it easy to
# follow, the states are already scores. Only the middle row counts.

# %%
states = torch.tensor([[[4.0, 0.0, 0.0], [1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]])  # [batch=1, length=3, embedding=3]
labels = torch.tensor([[NOT_ASKED, 2, NOT_ASKED]])  # [batch=1, length=3]
probabilities = states[0, 1].softmax(dim=-1)
show(probabilities=probabilities, loss=-probabilities[2].log())

# %% [markdown]
# ## Why score all places?
# The scores are the largest tensor of a step: a number for each place and each word of the vocabulary. BERT-base with 32 texts
# of 128 tokens has 4,096 places, but only about 600 hidden words.

# %%
places, hidden_words, vocabulary = 32 * 128, 614, 30_522
for name, count in (("all places", places), ("hidden words", hidden_words)):
    print(f"scores of {name}: {count * vocabulary * 4 / 2**20:.0f} MiB")

# %% [markdown]
# ## Your turn
# `score` is the head of the model: it turns states `[*, embedding]` into scores `[*, vocabulary]`. Call it for the hidden words
# alone. You may use torch's `cross_entropy`: what matters is what you give it.


# %% nbgrader={"solution": true, "grade_id": "masked_loss"}
def masked_loss(states, labels, score):
    """Mean cross-entropy of the hidden words, in nats: one number, a tensor without axes.

    states: what the encoder made of each place, [batch, length, embedding]; at padding it holds anything.
    labels: the hidden words' numbers, [batch, length], and NOT_ASKED wherever nothing is asked, padding included.
    score: the head, to be called for the hidden words alone: states [*, embedding] to scores [*, vocabulary].
    Every hidden word of the batch counts the same. Raises ValueError if no word is hidden in the whole batch.
    """
    ### BEGIN SOLUTION
    hidden = labels != NOT_ASKED  # [batch, length]
    if not hidden.any():
        raise ValueError("no word is hidden in this batch, so there is nothing to guess")
    scores = score(states[hidden])  # [hidden words, vocabulary]
    return cross_entropy(scores, labels[hidden])
    ### END SOLUTION


# %% [markdown]
# Try it on the text from above: 0.408. There a head was not needed, so one that changes nothing will do.

# %%
show(loss=masked_loss(states, labels, lambda some_states: some_states))

# %%
check("05.2")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further batches: longer texts, larger vocabularies, texts in
# which nothing is hidden, and batches of nothing but that.

# %% nbgrader={"grade": true, "grade_id": "equals_torch", "points": 4}
check("05.2", "equals_torch")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.2").master.with_name("checks.py"), "checks_05_2")
further = [
    checks.example([[1]], length=2, vocabulary=5, embedding=3, seed=11),
    checks.example([[0, 5, 9], [], [3]], length=12, vocabulary=40, embedding=6, seed=12),
]
checks.equal_to_torch(masked_loss, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "mean_over_hidden_words", "points": 2}
check("05.2", "mean_over_hidden_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.2").master.with_name("checks.py"), "checks_05_2")
further = [
    checks.example([[1], []], length=3, vocabulary=5, embedding=3, seed=13),
    checks.example([[0, 1, 2, 3, 4], [2], [6, 7]], length=9, vocabulary=20, embedding=4, seed=14),
]
checks.repeated_rows(masked_loss, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_counts_nothing", "points": 2}
check("05.2", "padding_counts_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.2").master.with_name("checks.py"), "checks_05_2")
further = [
    checks.example([[1]], length=3, vocabulary=5, embedding=3, seed=15),
    checks.example([[0, 4], [], [3]], length=6, vocabulary=30, embedding=5, seed=16),
]
checks.more_padding(masked_loss, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "only_hidden_words_are_scored", "points": 2}
check("05.2", "only_hidden_words_are_scored")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.2").master.with_name("checks.py"), "checks_05_2")
further = [
    checks.example([[1]], length=3, vocabulary=5, embedding=3, seed=17),
    checks.example([[0, 5, 9], [], [3]], length=12, vocabulary=40, embedding=6, seed=18),
]
checks.scored_are_the_hidden(masked_loss, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "nothing_hidden", "points": 1}
check("05.2", "nothing_hidden")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.2").master.with_name("checks.py"), "checks_05_2")
further = [
    checks.example([[], [], []], length=7, vocabulary=9, embedding=4, seed=19),
    checks.example([[], [2]], length=4, vocabulary=9, embedding=4, seed=20),
]
checks.nothing_is_refused(masked_loss, further[:1])
checks.equal_to_torch(masked_loss, further[1:])
### END HIDDEN TESTS
