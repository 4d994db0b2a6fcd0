# %% [markdown]
# A colleague's classifier is right on nearly all of its test, although its labels were drawn by lot. Nothing can be right
# about lots. Find out how the answers came into the training data, and write a split that keeps them out.

# %%
import hashlib
import random
from collections import Counter

from course_lib.exercises import check, hint, step

# %% [markdown]
# ## A corpus with nothing to learn
# Made-up docstrings: 120 modules with six texts each. A module's texts share words of its own, as real ones share names and
# phrases. Each module has one of ten labels, by lot: a new module's label cannot be known.


# %%
def made_up_docstrings():
    lots, rows = random.Random(0), []
    for number in range(120):
        module, label = f"package{number % 6}.module{number}", lots.randrange(10)
        own_words = [f"{letter}{number}" for letter in "abcdefgh"]
        for _ in range(6):
            text = " ".join(["return", "the", *lots.sample(own_words, 4)])
            rows.append({"module": module, "text": text, "label": label})
    return rows


rows = made_up_docstrings()
rows[0], len(rows)

# %% [markdown]
# ## The bug
# The split shuffles the rows and cuts. The classifier only remembers: it answers with the label of the training text that has
# most words in common with the question.


# %%
def broken_split(rows, test_share):
    shuffled = random.Random(0).sample(rows, len(rows))
    cut = round(test_share * len(rows))
    return shuffled[cut:], shuffled[:cut]


def right_by_memory(train, test):
    """The share of test that gets the label of its nearest training text."""
    right = 0
    for row in test:
        words = set(row["text"].split())
        nearest = max(train, key=lambda other: len(words & set(other["text"].split())))
        right += nearest["label"] == row["label"]
    return right / len(test)


# %%
train, test = broken_split(rows, test_share=0.25)
frequent = Counter(row["label"] for row in train).most_common(1)[0][0]
majority = sum(row["label"] == frequent for row in test) / len(test)
print(f"by memory {right_by_memory(train, test):.3f}, always the most frequent label {majority:.3f}")

# %% [markdown]
# The most frequent label, said blindly, is what there is to reach here. Whatever is above it was remembered: five other texts
# of the same module, most of them in train, tell its label.
#
# ## Your turn: the proof
# Which modules stand on both sides?


# %% nbgrader={"solution": true, "grade_id": "leaked_modules"}
def leaked_modules(train, test):
    """The names of the modules that have rows in train and in test: a sorted list, each once.

    train, test: lists of rows, dicts with module, text and label.
    """
    ### BEGIN SOLUTION
    return sorted({row["module"] for row in train} & {row["module"] for row in test})
    ### END SOLUTION


# %% [markdown]
# On the colleague's split it should name most of the 120 modules.

# %%
print(len(leaked_modules(train, test)), "modules leak, such as", leaked_modules(train, test)[:2])

# %% [markdown]
# ## Your turn: a split that holds
# All rows of a module go to one side. And the module's *name alone* decides which: the same in every run and on every machine,
# in whatever order the rows come, and whatever other modules come or go. A model trained last year must not meet its training
# data in this year's test.

# %% [markdown]
# ## With numbers
# A hash of the name serves as its lot. Take three of its digits, of base 16, as a number from 0 to 1. With a test share of
# 0.25 the second of these names goes to test, the others to train.

# %%
for name in ("json.decoder", "json.encoder", "torch.nn"):
    digits = hashlib.sha256(name.encode()).hexdigest()[:3]
    print(f"{name:13} {digits}: {int(digits, 16):4} of {16**3}, or {int(digits, 16) / 16**3:.3f}")


# %% nbgrader={"solution": true, "grade_id": "split_by_module"}
def split_by_module(rows, test_share):
    """(train, test): two lists that together hold every row once, as it was.

    rows: dicts with module, text and label. test_share: from 0 to 1, about the share of modules that go to test, also
    among those of one large package.
    """
    ### BEGIN SOLUTION
    train, test = [], []
    for row in rows:
        digest = hashlib.sha256(row["module"].encode()).digest()
        lot = int.from_bytes(digest[:8], "big") / 2**64  # from 0 to 1
        side = test if lot < test_share else train
        side.append(row)
    return train, test
    ### END SOLUTION


# %% [markdown]
# Now nothing leaks, and memory is worth about what a blind guess among ten labels is.

# %%
train, test = split_by_module(rows, test_share=0.25)
print(len(leaked_modules(train, test)), f"modules leak; by memory {right_by_memory(train, test):.3f}")

# %%
check("05.4")

# %% [markdown]
# The course's corpus is split in this way, by `course_lib.data.pydocs.split_of`. Near-copies across modules still leak; they are
# left out there by their words. A split protects from the leaks that somebody thought of.

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further corpora: single rows, other shares, other names.

# %% nbgrader={"grade": true, "grade_id": "names_the_leaks", "points": 2}
check("05.4", "names_the_leaks")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.4").master.with_name("checks.py"), "checks_05_4")
further = [
    checks.sides(["z", "y", "x", "x"], ["x", "z"]),
    checks.sides([], ["a"]),
    checks.sides(["a.b", "a"], ["a.c", "a"]),
]
checks.leaks_are_named(leaked_modules, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "every_row_once", "points": 2}
check("05.4", "every_row_once")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.4").master.with_name("checks.py"), "checks_05_4")
further = [
    {"rows": [], "test_share": 0.5},
    checks.corpus(30, packages=3, test_share=0.6, seed=11),
    checks.corpus(1, packages=1, test_share=0.5, seed=12),
]
checks.rows_are_kept(split_by_module, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "nothing_leaks", "points": 3}
check("05.4", "nothing_leaks")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.4").master.with_name("checks.py"), "checks_05_4")
further = [
    checks.corpus(30, packages=3, test_share=0.6, seed=13),
    checks.corpus(200, packages=7, test_share=0.05, seed=14),
]
checks.modules_stay_whole(split_by_module, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "about_the_share", "points": 2}
check("05.4", "about_the_share")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.4").master.with_name("checks.py"), "checks_05_4")
further = [checks.corpus(900, packages=9, test_share=share, seed=15) for share in (0.2, 0.5, 0.75)]
checks.shares_are_kept(split_by_module, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "same_in_every_run", "points": 3}
check("05.4", "same_in_every_run")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.4").master.with_name("checks.py"), "checks_05_4")
checks.runs_agree(split_by_module, [checks.corpus(90, packages=4, test_share=0.3, seed=16)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "name_alone_decides", "points": 3}
check("05.4", "name_alone_decides")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.4").master.with_name("checks.py"), "checks_05_4")
checks.names_decide(split_by_module, [checks.corpus(90, packages=4, test_share=0.3, seed=17)])
### END HIDDEN TESTS
