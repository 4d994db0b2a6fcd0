# %% [markdown]
# Greedy search cannot take back a word. A beam keeps a few unfinished translations side by side until it is clear which was
# the better beginning. Sutskever, Vinyals and Le translated with one in 2014; a dozen lines will do.

# %%
import math

import torch

from course_lib.exercises import check, hint, step

# %% [markdown]
# ## With numbers
# A decoder of five words. *Yes* is the likelier beginning, but nothing good follows it; after *no*, the end is nearly
# certain. Probabilities of a sentence multiply, so their logarithms add.

# %%
words = ["<begin>", "<end>", "yes", "no", "well"]
start, end = 0, 1
table = torch.tensor(  # [word before, next word]
    [
        [0.00, 0.02, 0.50, 0.40, 0.08],
        [0.20, 0.20, 0.20, 0.20, 0.20],
        [0.00, 0.40, 0.10, 0.10, 0.40],
        [0.00, 0.90, 0.02, 0.04, 0.04],
        [0.00, 0.50, 0.20, 0.20, 0.10],
    ]
)


def next_scores(words_so_far):
    """Log-probabilities of the next word, [vocabulary]; words_so_far is a list that begins with start."""
    return table[words_so_far[-1]].log()


for sentence in (["yes", "<end>"], ["no", "<end>"]):
    numbers = [words.index(word) for word in sentence]
    score = sum(next_scores([start, *numbers[:place]])[number].item() for place, number in enumerate(numbers))
    print(f"{' '.join(sentence)}: log-probability {score:.3f}, probability {math.exp(score):.2f}")

# %% [markdown]
# Greedy takes *yes* with 0.5, and ends at 0.20. A beam of two still has *no* in hand, and finds 0.36.
#
# ## Your turn
# In each step every unfinished candidate is continued by every word of the vocabulary; finished ones stay as they are. The
# `width` likeliest of all of them go on. After `limit` steps the likeliest is the answer, finished or cut off.


# %% nbgrader={"solution": true, "grade_id": "beam_search"}
def beam_search(next_scores, start, end, width, limit):
    """The likeliest words that a beam finds, and their log-probability.

    next_scores(words_so_far): log-probabilities of the next word, [vocabulary]; words_so_far is a list of word numbers
    that begins with start, and must not hold end.
    Returns (words, log_probability): a list of at most `limit` numbers, without start, with end if it was reached.
    """
    ### BEGIN SOLUTION
    beam = [([], 0.0)]  # words so far, and the logarithm of their probability
    for _ in range(limit):
        longer = []
        for words, score in beam:
            if words and words[-1] == end:
                longer.append((words, score))  # finished: it goes along as it is
                continue
            scores = next_scores([start, *words])
            for word in range(len(scores)):
                longer.append(([*words, word], score + float(scores[word])))
        beam = sorted(longer, key=lambda candidate: candidate[1], reverse=True)[:width]
    return beam[0]
    ### END SOLUTION


# %% [markdown]
# Try widths of one and two. The first should say *yes* with 0.20, the second *no* with 0.36.

# %%
for width in (1, 2):
    found, score = beam_search(next_scores, start, end, width=width, limit=4)
    print(f"width {width}: {' '.join(words[n] for n in found)}, probability {math.exp(score):.2f}")

# %%
check("01.3")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further decoders: larger vocabularies, longer limits, other
# marks, and beams of a width between one and all.

# %% nbgrader={"grade": true, "grade_id": "ends_in_time", "points": 2}
check("01.3", "ends_in_time")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.3").master.with_name("checks.py"), "checks_01_3")
further = [
    checks.example([4, 2, 4, 2], 6, 2, limit=12, start=5, end=3, ends=-9.0, seed=11),
    checks.example([2], 4, 3, limit=1, ends=-9.0, seed=12),
]
checks.limit_is_kept(beam_search, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "wide_beam_finds_best", "points": 4}
check("01.3", "wide_beam_finds_best")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.3").master.with_name("checks.py"), "checks_01_3")
further = [checks.wide(5, 3, start=4, end=2, seed=seed, ends=0.5) for seed in range(20, 26)]
checks.best_of_all(beam_search, [checks.wide(3, 1, seed=13), *further])


def trusted(decoder, start, end, width, limit):
    """The `width` best at each step, by the probabilities of whole beginnings."""
    kept = [()]
    for _ in range(limit):
        vocabulary = range(decoder.table.shape[-1])
        continued = {words if end in words else (*words, word) for words in kept for word in vocabulary}
        kept = sorted(continued, key=decoder.log_probability, reverse=True)[:width]
    return list(kept[0])


for seed, width in enumerate((2, 2, 3, 3, 4, 5), start=30):
    decoder, arguments = checks.example([5, 2, 4, 3], 7, width, limit=5, seed=seed)
    expected = trusted(decoder, **arguments)
    found, _ = beam_search(decoder, *arguments.values())
    assert list(found) == expected, f"a beam of {width} finds {expected}, got {list(found)}"
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "adds_logarithms", "points": 2}
check("01.3", "adds_logarithms")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.3").master.with_name("checks.py"), "checks_01_3")
further = [checks.example([6, 4, 3], 9, 4, limit=7, start=8, end=0, seed=seed) for seed in (14, 15)]
checks.score_is_sum(beam_search, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "width_one_is_greedy", "points": 2}
check("01.3", "width_one_is_greedy")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.3").master.with_name("checks.py"), "checks_01_3")
further = [checks.example([6, 4, 3, 0], 9, 1, limit=6, start=8, end=0, seed=seed) for seed in (16, 17)]
checks.likeliest_words(beam_search, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "beam_stays_narrow", "points": 2}
check("01.3", "beam_stays_narrow")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("01.3").master.with_name("checks.py"), "checks_01_3")
further = [checks.example([6, 4, 3, 5], 9, width, limit=6, start=8, end=0, seed=18) for width in (1, 4)]
checks.width_is_kept(beam_search, further)
### END HIDDEN TESTS
