# %% [markdown]
# A key-value cache must change nothing but the time. One that is almost right writes fluent text, only worse, and nobody can
# say why. Write the check that finds it, without a look inside.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.models.gpt import GPT, GPTConfig

# %% [markdown]
# ## Three functions
# `begin()` gives a new cache, a number that stands for it. `read(tokens)` reads without one, and is always right.
# `read(tokens, cache)` reads on after what that cache holds. Here they are for the course's own model.

# %%
torch.manual_seed(0)
model = GPT(GPTConfig(vocabulary_size=11, context_size=12, blocks=2, heads=2, embedding_size=8)).requires_grad_(False)
for parameter in model.parameters():
    parameter.add_(0.4 * torch.randn(parameter.shape))  # as if it had been trained: differences can be seen
caches = []


def begin():
    caches.append(model.empty_cache())
    return len(caches) - 1


def read(tokens, cache=None):
    return model(tokens, cache=None if cache is None else caches[cache]).logits  # [batch, new, vocabulary]


# %% [markdown]
# And `keep(cache, rows)` goes on with these rows, in this order, as beam search does: `[2, 0, 0]` makes the third row the
# first, and lets the first go on twice.


# %%
def keep(cache, rows):
    caches[cache].keep(torch.tensor(rows))


# %% [markdown]
# ## A sound one and a broken one
# Four tokens in two pieces, with the sound cache, and with one that remembers nothing. Which numbers are right, you need not
# know: the text read at once says so.

# %%
text = torch.tensor([[3, 1, 4, 1]])  # [batch=1, length=4]
at_once = read(text)[:, 2:]  # [batch=1, new=2, vocabulary=11]
cache = begin()
read(text[:, :2], cache)
sound = (read(text[:, 2:], cache) - at_once).abs().max()
broken = (read(text[:, 2:]) - at_once).abs().max()
print(f"largest difference: sound {sound:.3f}, broken {broken:.3f}")

# %% [markdown]
# ## Your turn
# Your function gets the three functions of some decoder, and asks whatever it likes. Tokens are whole numbers from 0 to 10,
# `[batch, new]`, and a text has at most 12 of them. Sums are rounded, so allow for 1e-4.


# %% nbgrader={"solution": true, "grade_id": "cache_is_sound"}
def cache_is_sound(begin, read, keep):
    """True if the cache is sound, False if it is broken.

    begin() -> cache, a number. read(tokens) -> logits [batch, length, vocabulary], without a cache, always right.
    read(tokens, cache) -> logits of these tokens, which follow those in the cache. keep(cache, rows): go on with these
    rows, a list of row numbers. A cache holds one batch of texts; there may be several caches at once.
    """

    ### BEGIN SOLUTION
    def agree(first, second, tolerance=1e-4):
        return torch.allclose(first, second, rtol=0.0, atol=tolerance)

    generator = torch.Generator().manual_seed(0)
    length = 12
    tokens = torch.randint(0, 11, (3, length), generator=generator)
    whole, half = read(tokens), length // 2
    verdicts = []
    for pieces in ([1] * length, [half, 2, half - 2], [2, length - 2]):
        cache = begin()
        parts = [read(piece, cache) for piece in tokens.split(pieces, dim=1)]
        verdicts.append(agree(torch.cat(parts, dim=1), whole))

    for rows in ([1, 2, 0], [2, 2, 0]):
        cache = begin()
        read(tokens[:, :half], cache)
        keep(cache, rows)
        verdicts.append(agree(read(tokens[rows, half : half + 1], cache), whole[rows, half : half + 1]))

    first = begin()
    read(tokens[:, :half], first)
    other, second = tokens.flip(dims=[1]), begin()
    read(other[:, :half], second)
    other_whole = read(other)
    verdicts.append(agree(read(tokens[:, half : half + 1], first), whole[:, half : half + 1]))
    verdicts.append(agree(read(other[:, half : half + 1], second), other_whole[:, half : half + 1]))
    return all(verdicts)
    ### END SOLUTION


# %% [markdown]
# Try it on the two from above: True, False.

# %%
print(cache_is_sound(begin, read, keep), cache_is_sound(begin, lambda tokens, cache=None: read(tokens), keep))

# %% [markdown]
# Thirteen broken caches wait in the lab, told by their symptoms. Those that your check finds count, but only while the sound
# ones pass: whoever suspects all of them has found none.

# %%
check("04.4")

# %% [markdown]
# ## Graded
# One group of faults at a time. When a class is graded, each group is joined by further faults and further sound caches that
# you have not met.

# %% nbgrader={"grade": true, "grade_id": "sound_pass_and_broken_do_not", "points": 2}
check("04.4", "sound_pass_and_broken_do_not")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.4").master.with_name("checks.py"), "checks_04_4")
checks.something_is_found(cache_is_sound, hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "positions_faults", "points": 2}
check("04.4", "positions_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.4").master.with_name("checks.py"), "checks_04_4")
checks.group_is_found(cache_is_sound, "positions", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "mask_faults", "points": 3}
check("04.4", "mask_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.4").master.with_name("checks.py"), "checks_04_4")
checks.group_is_found(cache_is_sound, "mask", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "memory_faults", "points": 3}
check("04.4", "memory_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.4").master.with_name("checks.py"), "checks_04_4")
checks.group_is_found(cache_is_sound, "memory", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "rows_faults", "points": 3}
check("04.4", "rows_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.4").master.with_name("checks.py"), "checks_04_4")
checks.group_is_found(cache_is_sound, "rows", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "texts_faults", "points": 3}
check("04.4", "texts_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.4").master.with_name("checks.py"), "checks_04_4")
checks.group_is_found(cache_is_sound, "texts", hidden=True)
### END HIDDEN TESTS
