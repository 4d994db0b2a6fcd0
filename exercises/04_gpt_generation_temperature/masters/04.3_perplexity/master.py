# %% [markdown]
# Two models are compared by one number, so whoever computes it wrongly publishes a wrong winner. Write the three numbers of
# the lesson, from a batch with padding: nats a token, perplexity, and bits a byte.

# %%
import math

import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# A text of three tokens: the first is only read, the others had the probabilities ½ and ⅛. They cost ln 2 = 0.693 and
# ln 8 = 2.079 nats, 1.386 in the mean. Perplexity: e to that power, 4, as if chosen among four equally likely tokens.

# %%
nats = -torch.tensor([1 / 2, 1 / 8]).log()
show(nats=nats, mean=nats.mean(), perplexity=nats.mean().exp())

# %% [markdown]
# In bits they cost 1 and 3, together 4. If the text reads *né*, these are 2 characters but 3 bytes, for é takes two: 4 / 3 =
# 1.333 bits a byte. How the text was cut into tokens no longer matters.

# %%
text = "né"
print(len(text), "characters,", len(text.encode()), "bytes,", round(4 / len(text.encode()), 3), "bits a byte")

# %% [markdown]
# ## Your turn: nats
# The logits at place i are about token i + 1. So the last place has nothing to say, and the first token nothing to pay. Give
# the nats of every other token that is a word, one row after the other. Please write it without torch's `cross_entropy`.


# %% nbgrader={"solution": true, "grade_id": "nats_of_next"}
def nats_of_next(logits, tokens, is_word):
    """What each token cost, given those before it: -ln p, one number for each scored token, without padding: [scored].

    logits: [batch, length, vocabulary]. tokens: [batch, length]. is_word: False where there is padding, which follows
    the words, [batch, length].
    """
    ### BEGIN SOLUTION
    log_probabilities = logits[:, :-1].log_softmax(dim=-1)  # [batch, length - 1, vocabulary]
    truth = tokens[:, 1:]
    costs = -log_probabilities.gather(-1, truth.unsqueeze(-1)).squeeze(-1)  # [batch, length - 1]
    return costs[is_word[:, 1:]]
    ### END SOLUTION


# %% [markdown]
# Try it on the text from above: 0.693 and 2.079. The third place holds scores too, as in any model, and nobody asks for them.

# %%
probabilities = torch.tensor([[[1 / 4, 1 / 4, 1 / 2], [3 / 8, 1 / 8, 1 / 2], [0.1, 0.8, 0.1]]])
logits, tokens = probabilities.log(), torch.tensor([[0, 2, 1]])
is_word = torch.ones(1, 3, dtype=torch.bool)
show(nats=nats_of_next(logits, tokens, is_word))

# %% [markdown]
# ## Your turn: perplexity
# Over a batch every scored token counts the same, whichever text it stands in. The mean is taken before the exponential:
# the other way round, a single improbable token would decide alone.


# %% nbgrader={"solution": true, "grade_id": "perplexity"}
def perplexity(logits, tokens, is_word):
    """Among how many equally likely tokens the model seems to choose: one number, a tensor without axes."""
    ### BEGIN SOLUTION
    nats = nats_of_next(logits, tokens, is_word)
    return nats.mean().exp()
    ### END SOLUTION


# %% [markdown]
# ## Your turn: bits a byte
# All the bits that the batch cost, divided by all its bytes in UTF-8. Here each row begins with a mark that belongs to no
# text, and is only read; so every byte is paid for.


# %% nbgrader={"solution": true, "grade_id": "bits_per_byte"}
def bits_per_byte(logits, tokens, is_word, texts):
    """What a byte of the texts cost, in bits: one number. texts: a str for each row, without the mark it begins with."""
    ### BEGIN SOLUTION
    nats = nats_of_next(logits, tokens, is_word)
    written = sum(len(text.encode()) for text in texts)
    return nats.sum() / math.log(2) / written
    ### END SOLUTION


# %%
show(perplexity=perplexity(logits, tokens, is_word), bits=bits_per_byte(logits, tokens, is_word, ["né"]))

# %%
check("04.3")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further batches: longer texts, other scripts, one of a single
# token, scores in the hundreds.

# %% nbgrader={"grade": true, "grade_id": "next_token_is_scored", "points": 3}
check("04.3", "next_token_is_scored")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.3").master.with_name("checks.py"), "checks_04_3")
further = [
    checks.example([2], 2, seed=11),
    checks.example([7, 2, 2, 6, 3], 30, seed=12, scale=4.0),
    checks.example([4, 6], 9, seed=13, scale=400.0),
]
checks.costs_equal_torchs(nats_of_next, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "ends_are_idle", "points": 2}
check("04.3", "ends_are_idle")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.3").master.with_name("checks.py"), "checks_04_3")
checks.first_and_last_do_not_matter(nats_of_next, [checks.example([5, 5], 6, seed=14), checks.example([2], 3, seed=15)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_counts_nothing", "points": 2}
check("04.3", "padding_counts_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.3").master.with_name("checks.py"), "checks_04_3")
further = [checks.example([3, 8, 5, 2], 12, seed=16)]
checks.more_padding(nats_of_next, further)
checks.more_padding(perplexity, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "perplexity_is_exp_of_mean", "points": 3}
check("04.3", "perplexity_is_exp_of_mean")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.3").master.with_name("checks.py"), "checks_04_3")
checks.perplexity_equals_torchs(perplexity, [checks.example([9, 2, 3], 5, seed=17), checks.example([2], 4, seed=18)])
checks.repeated_rows(perplexity, [checks.example([6, 2], 7, seed=19)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "blind_and_sure", "points": 2}
check("04.3", "blind_and_sure")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.3").master.with_name("checks.py"), "checks_04_3")
checks.known_perplexities(perplexity, [(checks.blind([5, 2], 50), 50), (checks.sure([6, 3, 2], 9, seed=20), 1)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "bits_are_per_byte", "points": 3}
check("04.3", "bits_are_per_byte")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.3").master.with_name("checks.py"), "checks_04_3")
further = [
    checks.with_texts(["Straße", "π ≈ 3"], [4, 6], 11, seed=21),
    checks.with_texts(["語", "a", "été 🙂"], [2, 2, 5], 7, seed=22),
]
checks.bits_equal_torchs(bits_per_byte, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "eight_bits_for_a_blind_guess", "points": 2}
check("04.3", "eight_bits_for_a_blind_guess")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.3").master.with_name("checks.py"), "checks_04_3")
further = [checks.blind_bytes(["x", "日本語"]), checks.blind_pairs(["éé", "abcdef"])]
checks.eight_bits(bits_per_byte, further)
### END HIDDEN TESTS
