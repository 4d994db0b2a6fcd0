# %% [markdown]
# A broken attention still learns, only worse, so nobody notices: a mask that is built and never used was reported against
# several public translators. Write the check that would have caught it, and a dozen other faults.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show
from course_lib.models.attention import AdditiveAttention

# %% [markdown]
# ## A sound one and a broken one
# An attention is called as `attention(query, keys, is_word)` and returns context and weights. The matrices are inside, and
# you can't see them. Here are two: the second forgets its mask.

# %%
torch.manual_seed(0)
library = AdditiveAttention(query_size=4, key_size=6, attention_size=5).requires_grad_(False)


def sound(query, keys, is_word):
    return library(query, library.project_keys(keys), keys, is_word)


def unmasked(query, keys, is_word):
    return sound(query, keys, torch.ones_like(is_word))


# %% [markdown]
# Ask both about one sentence: two words and a place of padding. You can't say whether 0.652 is right, yet you see at
# once which one is broken: padding got 0.333 of the weight.

# %%
query, keys = torch.randn(1, 4), torch.randn(1, 3, 6)
is_word = torch.tensor([[True, True, False]])
show(sound=sound(query, keys, is_word)[1], unmasked=unmasked(query, keys, is_word)[1])

# %% [markdown]
# ## Your turn
# Your function gets an attention and asks it whatever you like. The sizes are always those from above: `query [batch, 4]`,
# `keys [batch, source, 6]`, `is_word [batch, source]`, with a word in each sentence.


# %% nbgrader={"solution": true, "grade_id": "catches_fault"}
def catches_fault(attention):
    """True if the attention is broken, False if it is sound."""

    ### BEGIN SOLUTION
    def differ(first, second, tolerance=1e-4):
        return not torch.allclose(first, second, rtol=0.0, atol=tolerance)

    generator = torch.Generator().manual_seed(0)
    lengths = [3, 5, 2, 1]
    query = torch.randn(len(lengths), 4, generator=generator)
    keys = torch.randn(len(lengths), 5, 6, generator=generator)
    is_word = torch.arange(5) < torch.tensor(lengths).unsqueeze(1)

    context, weights = attention(query, keys, is_word)
    suspicions = [
        differ(weights.sum(dim=-1), torch.ones(len(lengths))),
        differ(weights[~is_word], torch.zeros(())),
        differ(context, (weights.unsqueeze(-1) * keys).sum(dim=1)),
    ]
    for sentence, words in enumerate(lengths):
        alone = slice(sentence, sentence + 1)
        _, by_itself = attention(query[alone], keys[alone, :words], is_word[alone, :words])
        suspicions.append(differ(by_itself, weights[alone, :words]))

    order = torch.tensor([4, 2, 0, 3, 1])
    _, turned = attention(query, keys[:, order], is_word[:, order])
    suspicions.append(differ(turned, weights[:, order]))

    _, elsewhere = attention(query.flip(dims=[1]), keys, is_word)
    suspicions.append(not differ(elsewhere, weights))
    return any(suspicions)
    ### END SOLUTION


# %% [markdown]
# Try it on the two from above: False, True.

# %%
print(catches_fault(sound), catches_fault(unmasked))

# %% [markdown]
# Eleven broken attentions wait in the lab, told by their symptoms. The score is those that your check kills, but only while
# the sound ones pass: whoever suspects all of them has caught none.

# %%
check("02.3")

# %% [markdown]
# ## Graded
# One group of faults at a time. When a class is graded, each group is joined by further faults and further sound attentions
# that you have not met.

# %% nbgrader={"grade": true, "grade_id": "sound_pass_and_broken_do_not", "points": 2}
check("02.3", "sound_pass_and_broken_do_not")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.3").master.with_name("checks.py"), "checks_02_3")
checks.something_is_killed(catches_fault, hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "mask_faults", "points": 3}
check("02.3", "mask_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.3").master.with_name("checks.py"), "checks_02_3")
checks.group_is_killed(catches_fault, "mask", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "softmax_faults", "points": 3}
check("02.3", "softmax_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.3").master.with_name("checks.py"), "checks_02_3")
checks.group_is_killed(catches_fault, "softmax", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "context_faults", "points": 3}
check("02.3", "context_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.3").master.with_name("checks.py"), "checks_02_3")
checks.group_is_killed(catches_fault, "context", hidden=True)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "state_faults", "points": 3}
check("02.3", "state_faults")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.3").master.with_name("checks.py"), "checks_02_3")
checks.group_is_killed(catches_fault, "state", hidden=True)
### END HIDDEN TESTS
