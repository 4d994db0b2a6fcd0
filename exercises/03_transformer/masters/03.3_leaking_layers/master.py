# %% [markdown]
# A decoder that sees the next word while it trains learns to copy it: the loss is wonderful, and the translations are not.
# Nothing raises an error. Write the check that finds any such leak, whatever the layer is made of.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show
from course_lib.models.blocks import BlockSizes, PreNormEncoderBlock
from course_lib.models.scaled_attention import causal_mask

# %% [markdown]
# ## A sound one and a leaking one
# A layer is called as `layer(states, is_word)` and returns new states. What is inside, you can't see. Here are two: in the
# second each place also sees the next one, since its mask is one diagonal too wide.

# %%
torch.manual_seed(0)
block = PreNormEncoderBlock(BlockSizes(embedding_size=8, heads=2, inner_size=16)).requires_grad_(False)


def sound(states, is_word):
    may_look = causal_mask(states.shape[1]) & is_word[:, None, None, :]  # [batch, 1, length, length]
    return block(states, may_look)[0]


def leaking(states, is_word):
    one_more = torch.ones(states.shape[1], states.shape[1], dtype=torch.bool).tril(diagonal=1)
    return block(states, one_more & is_word[:, None, None, :])[0]


# %% [markdown]
# Give both a sentence of four words, then the same with another last word, and see how far each output has moved. The last
# one may move, since its own word has changed. The third may not.

# %%
states, is_word = torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
changed = states.clone()
changed[:, 3] = torch.randn(8)
for name, layer in {"sound": sound, "leaking": leaking}.items():
    moved = (layer(states, is_word) - layer(changed, is_word)).abs().amax(dim=-1)  # [batch=1, length=4]
    show(**{name: moved[0]}, sums=False)

# %% [markdown]
# ## Your turn
# Your function gets a layer and asks it whatever you like: finite `states [batch, length, 8]` of up to 64 places, and
# `is_word [batch, length]`, where padding follows the words. A layer gives no gradients.
#
# It leaks if anything that comes later makes a difference to an output before it: which words, how many, or whether there
# are any.


# %% nbgrader={"solution": true, "grade_id": "leaks"}
def leaks(layer):
    """True if the layer lets a place know anything of what comes later, False if it is sound."""
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(0)
    lengths = [12, 9, 5]
    states = torch.randn(len(lengths), 12, 8, generator=generator)
    is_word = torch.arange(12) < torch.tensor(lengths).unsqueeze(1)
    whole = layer(states, is_word)
    for place in range(1, 12):
        # Whoever knows nothing of the future does not notice that it is cut off.
        alone = layer(states[:, :place], is_word[:, :place])
        if (whole[:, :place] - alone).abs().max() > 1e-4:
            return True
    return False
    ### END SOLUTION


# %% [markdown]
# Try it on the two from above: False, True.

# %%
print(leaks(sound), leaks(leaking))

# %% [markdown]
# Thirteen leaking layers wait in the lab, told by their symptoms. What you find counts only while the sound ones pass:
# whoever suspects all of them has found none.

# %%
check("03.3")

# %% [markdown]
# ## Graded
# One group of leaks at a time. When a class is graded, each group is joined by further leaks and further sound layers that
# you have not met.

# %% nbgrader={"grade": true, "grade_id": "sound_pass_and_leaks_do_not", "points": 2}
check("03.3", "sound_pass_and_leaks_do_not")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.3").master.with_name("checks.py"), "checks_03_3")
checks.something_is_found(leaks, hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "mask_leaks", "points": 4}
check("03.3", "mask_leaks")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.3").master.with_name("checks.py"), "checks_03_3")
checks.group_is_found(leaks, "mask", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "sum_leaks", "points": 2}
check("03.3", "sum_leaks")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.3").master.with_name("checks.py"), "checks_03_3")
checks.group_is_found(leaks, "sums", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "path_leaks", "points": 3}
check("03.3", "path_leaks")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.3").master.with_name("checks.py"), "checks_03_3")
checks.group_is_found(leaks, "path", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "length_leaks", "points": 2}
check("03.3", "length_leaks")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("03.3").master.with_name("checks.py"), "checks_03_3")
checks.group_is_found(leaks, "length", hidden=True)
### END HIDDEN TESTS
