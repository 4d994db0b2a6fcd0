# %% [markdown]
# A colleague's test report looks good: two words in three right. Readers complain all the same. Nothing crashes and no
# shape is wrong, so nobody has noticed. Find the bug, and write the version that tells the truth.

# %%
import torch

from course_lib.exercises import check, hint, step

# %% [markdown]
# ## The decoder
# Six words, and a decoder as a table of probabilities for the next word after each: no network, so that every step can be
# followed by eye. `next_scores` takes the words so far, a list that begins with `start`.

# %%
words = ["<begin>", "<end>", "japan", "and", "china", "india"]
start, end = 0, 1
table = torch.full((6, 6), 0.02)  # [word before, next word]
table[words.index("<begin>"), [5, 2]] = torch.tensor([0.52, 0.40])  # begins with india, or with japan
table[words.index("japan"), words.index("and")] = 0.9
table[words.index("and"), words.index("china")] = 0.9
table[words.index("china"), end] = table[words.index("india"), end] = 0.9


def next_scores(words_so_far):
    """Log-probabilities of the next word, [vocabulary]."""
    return table[words_so_far[-1]].log()


# %% [markdown]
# ## The bug
# It should write a sentence with the likeliest word at each step, and count the words that equal the reference's at the
# same place. The reference is *japan and china*.


# %%
def broken_translation(next_scores, reference, start, end, limit):
    """Words written greedily, at most `limit`, and how many of them are right."""
    read, written = [], []
    for before in [start, *reference][:limit]:
        read.append(before)
        word = int(next_scores(read).argmax())
        if word == end:
            break
        written.append(word)
    return written, sum(mine == true for mine, true in zip(written, reference, strict=False))


reference = [words.index(word) for word in ("japan", "and", "china")]
written, right = broken_translation(next_scores, reference, start, end, limit=10)
print(" ".join(words[number] for number in written), f"· {right} of {len(reference)} words right")

# %% [markdown]
# Follow the table by hand: the decoder begins with *india*. After *india*, what comes next with probability 0.9? And what
# did the report say comes next?
#
# ## Your turn
# Write the repaired version, with the same arguments and the same two results. Copy what is good; change what is not.


# %% nbgrader={"solution": true, "grade_id": "greedy_translation"}
def greedy_translation(next_scores, reference, start, end, limit):
    """Words written greedily, and how many of them are right.

    next_scores(words_so_far): log-probabilities of the next word, [vocabulary]; words_so_far is a list of word numbers
    that begins with start. reference: the true words, a list without start and end.
    Returns the written words, a list of at most `limit` numbers without start and end, and a count.
    """
    ### BEGIN SOLUTION
    written = []
    for _ in range(limit):
        word = int(next_scores([start, *written]).argmax())
        if word == end:
            break
        written.append(word)
    return written, sum(mine == true for mine, true in zip(written, reference, strict=False))
    ### END SOLUTION


# %% [markdown]
# The honest report is sad: *india*, 0 of 3 words right. One slip at the first word, and the sentence is lost. That is what
# readers see.

# %%
written, right = greedy_translation(next_scores, reference, start, end, limit=10)
print(" ".join(words[number] for number in written), f"· {right} of {len(reference)} words right")

# %%
check("01.2")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further decoders: other marks for begin and end, longer
# sentences, an empty one, a limit of one word.

# %% nbgrader={"grade": true, "grade_id": "own_words_are_read", "points": 4}
check("01.2", "own_words_are_read")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.2").master.with_name("checks.py"), "checks_01_2")
further = [
    checks.example([6, 4, 3, 5, 2, 0], [1, 4, 3, 6], 8, start=7, end=0, limit=9, seed=11),
    checks.example([2, 2, 3, 1], [3, 2, 2], 4, start=0, end=1, limit=6, seed=12),
]
checks.reads_own_words(greedy_translation, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "words_are_likeliest", "points": 2}
check("01.2", "words_are_likeliest")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.2").master.with_name("checks.py"), "checks_01_2")
further = [
    checks.example([6, 4, 3, 5, 2, 0], [1, 4, 3, 6], 8, start=7, end=0, limit=9, seed=11),
    checks.example([2, 5, 9, 9, 4, 30, 3], [], 40, start=1, end=3, limit=7, seed=13),
]
checks.likeliest_words(greedy_translation, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "stops_at_end", "points": 2}
check("01.2", "stops_at_end")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.2").master.with_name("checks.py"), "checks_01_2")
further = [
    checks.example([0], [1, 4], 8, start=7, end=0, limit=9, seed=14),
    checks.example([2, 2, 3, 1], [3, 2, 2], 4, start=0, end=1, limit=6, seed=12),
]
checks.end_is_the_end(greedy_translation, further)
checks.likeliest_words(greedy_translation, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "stops_at_limit", "points": 2}
check("01.2", "stops_at_limit")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.2").master.with_name("checks.py"), "checks_01_2")
further = [
    checks.example([3, 2] * 12, [3, 2, 3], 4, start=0, end=1, limit=20, seed=15),
    checks.example([3, 2, 1], [3, 2], 4, start=0, end=1, limit=2, seed=16),
]
checks.limit_is_kept(greedy_translation, further)
checks.likeliest_words(greedy_translation, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "counts_right_words", "points": 2}
check("01.2", "counts_right_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.2").master.with_name("checks.py"), "checks_01_2")
further = [
    checks.example([6, 4, 3, 5, 2, 0], [6, 4, 1, 5], 8, start=7, end=0, limit=9, seed=17),
    checks.example([2, 5, 3], [2, 5, 9, 9], 10, start=1, end=3, limit=7, seed=18),
    checks.example([3], [2, 5], 10, start=1, end=3, limit=7, seed=19),
]
checks.count_is_right(greedy_translation, further)
### END HIDDEN TESTS
