# %% [markdown]
# What a BERT learns, it learns from the words that were hidden from it. A slip in the hiding raises no error and shows in no
# shape: the model only learns less, or learns to cheat. So write it once, and test it by counting.

# %%
import torch

from course_lib import lesson
from course_lib.data.masking import NOT_ASKED
from course_lib.exercises import check, hint, step

# %% [markdown]
# > *Devlin et al. 2019, §3.1.* Of all words, 15 % are chosen to be guessed. Of these, 80 % become [MASK], 10 % another
# > word, and 10 % stay as they are; all of them are guessed.

# %% [markdown]
# ## With numbers
# Draw two lots from 0 to 1 for each word. The first chooses: here below 0.15. The second is the fate of a chosen word: below
# 0.8 it becomes [MASK] (token 4), below 0.9 another word, else it stays.

# %%
rows = [  # place, token, first lot, second lot, the model reads, label
    [0, 3, 0.11, 0.42, 3, NOT_ASKED],  # 3 is special: it marks the beginning
    [1, 18, 0.72, 0.05, 18, NOT_ASKED],
    [2, 25, 0.03, 0.31, 4, 25],
    [3, 11, 0.14, 0.86, 19, 11],
    [4, 30, 0.50, 0.93, 30, NOT_ASKED],
    [5, 9, 0.08, 0.97, 9, 9],
]
columns = ["place", "token", "first lot", "second lot", "the model reads", "label"]
lesson.table(rows, "One text, by hand", columns)

# %% [markdown]
# Three words are asked: one masked, one replaced, one kept. Each label is the word that *stood there*. At all other places it
# is `NOT_ASKED`, -100, a number that torch's loss leaves out.
#
# ## Your turn
# Hide the words of a whole batch. Special tokens, padding among them, are never chosen and never put in a word's place. A
# training passes another seed for each batch.


# %% nbgrader={"solution": true, "grade_id": "hide_words"}
def hide_words(tokens, special_tokens, mask_token, vocabulary_size, seed):
    """(hidden, labels), each [batch, length]: what the model reads, and what it must guess, else NOT_ASKED.

    tokens: whole numbers from 0 to vocabulary_size - 1, [batch, length]; they stay as they are.
    special_tokens: the tokens that are no words, in no order, [specials]; mask_token is one of them.
    seed: draw everything from torch.Generator().manual_seed(seed), so that a training can be repeated.
    Choose each word with probability 0.15, or 15 % of the words of each row.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    special = torch.isin(tokens, special_tokens)  # [batch, length]
    chosen = (torch.rand(tokens.shape, generator=generator) < 0.15) & ~special
    fate = torch.rand(tokens.shape, generator=generator)

    ordinary = torch.arange(vocabulary_size)
    ordinary = ordinary[~torch.isin(ordinary, special_tokens)]  # all words that there are
    others = ordinary[torch.randint(len(ordinary), tokens.shape, generator=generator)]

    hidden = torch.where(chosen & (fate < 0.8), mask_token, tokens)
    hidden = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), others, hidden)
    labels = torch.where(chosen, tokens, NOT_ASKED)
    return hidden, labels
    ### END SOLUTION


# %% [markdown]
# Try it on thirty words between a beginning and an end, and four places of padding. Between two and seven words are asked,
# most of the time; run it with other seeds.

# %%
special_tokens, mask_token = torch.tensor([0, 3, 7, 4]), 4
text = torch.tensor([[3, *range(8, 38), 7, 0, 0, 0, 0]])  # [batch=1, length=36]
hidden, labels = hide_words(text, special_tokens, mask_token, vocabulary_size=40, seed=0)
print(hidden[0].tolist(), labels[0].tolist(), sep="\n")

# %%
check("05.1")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further texts: other special tokens, a larger vocabulary,
# rows that are mostly padding, other seeds.

# %% nbgrader={"grade": true, "grade_id": "hidden_and_labels", "points": 1}
check("05.1", "hidden_and_labels")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.1").master.with_name("checks.py"), "checks_05_1")
further = [checks.example([1], seed=11), checks.example([9, 2, 30], vocabulary=60, special=(59, 1, 30, 2), seed=12)]
checks.is_a_pair(hide_words, further)
checks.tokens_stay(hide_words, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "special_tokens_stay", "points": 2}
check("05.1", "special_tokens_stay")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.1").master.with_name("checks.py"), "checks_05_1")
further = [
    checks.example([1, 90], seed=11),
    checks.example([40, 60, 3], vocabulary=60, special=(59, 1, 30, 2), seed=12),
]
checks.special_is_left_alone(hide_words, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "labels_are_the_words", "points": 3}
check("05.1", "labels_are_the_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.1").master.with_name("checks.py"), "checks_05_1")
further = [checks.example([60] * 4, seed=number) for number in range(13, 16)]
further.append(checks.example([50, 20, 70], vocabulary=100, special=(99, 1, 30, 2), seed=16))
checks.labels_hold_the_words(hide_words, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "seed_decides", "points": 2}
check("05.1", "seed_decides")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.1").master.with_name("checks.py"), "checks_05_1")
checks.other_words_each_time(hide_words, seeds=(17, 1_000_003))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "shares_of_the_asked", "points": 3}
check("05.1", "shares_of_the_asked")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.1").master.with_name("checks.py"), "checks_05_1")
checks.fates_are_drawn(hide_words, words=20, padding=30, seeds=(18, 19))
checks.fates_are_drawn(hide_words, words=200, padding=0, seeds=(20, 21))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "share_of_the_words", "points": 2}
check("05.1", "share_of_the_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.1").master.with_name("checks.py"), "checks_05_1")
checks.words_are_chosen(hide_words, words=20, padding=80, seeds=(22, 23))
checks.words_are_chosen(hide_words, words=200, padding=0, seeds=(24, 25))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "random_words", "points": 2}
check("05.1", "random_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.1").master.with_name("checks.py"), "checks_05_1")
checks.any_word_may_come(hide_words, vocabulary=40, special=(39, 1, 20, 2), seeds=(26, 27))
### END HIDDEN TESTS
