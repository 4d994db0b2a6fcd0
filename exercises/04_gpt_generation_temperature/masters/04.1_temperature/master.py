# %% [markdown]
# One number decides how boldly a model writes. It is a division in the right place; in the wrong place it does the opposite,
# or nothing, and the text still looks like text. Write it once, with a measure that notices.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# Logits 2, 1 and 0. At T = 0.5 each is divided by 0.5, which gives 4, 2 and 0; the softmax of these is 0.867, 0.117, 0.016.
# At T = 1 the first has 0.665, at T = 2 only 0.506.

# %%
show(
    cold=torch.tensor([4.0, 2.0, 0.0]).softmax(dim=-1),
    as_it_is=torch.tensor([2.0, 1.0, 0.0]).softmax(dim=-1),
    hot=torch.tensor([1.0, 0.5, 0.0]).softmax(dim=-1),
)

# %% [markdown]
# > *Ackley, Hinton, Sejnowski 1985, §2.* Two states whose energies differ by ΔE have probabilities in the ratio
# > exp(ΔE / T), the lower one being the likelier: the temperature says how much a difference counts.
#
# ## Your turn: probabilities
# T is greater than 0. Refuse all else with a `ValueError` whose message says what to do instead: whoever asks for T = 0 wants
# the likeliest token each time, and that is `do_sample=False`.


# %% nbgrader={"solution": true, "grade_id": "probabilities_at"}
def probabilities_at(logits, temperature):
    """The probabilities of the next token at a temperature: [batch, vocabulary], each row sums to 1.

    logits: [batch, vocabulary]; a token that was cut off before has the logit -inf, and stays impossible.
    Raises ValueError unless temperature > 0, with the advice do_sample=False.
    """
    ### BEGIN SOLUTION
    if not temperature > 0:  # so said, NaN is refused too
        raise ValueError(f"temperature must be > 0, got {temperature}; for greedy decoding use do_sample=False")
    return (logits / temperature).softmax(dim=-1)
    ### END SOLUTION


# %% [markdown]
# Try it on the logits from above: 0.867 for the first token at T = 0.5, then 0.665, then 0.506.

# %%
logits = torch.tensor([[2.0, 1.0, 0.0]])
for temperature in (0.5, 1.0, 2.0):
    show(T=temperature, probabilities=probabilities_at(logits, temperature))

# %% [markdown]
# ## Your turn: entropy
# How undecided is a row? H = −Σ p log₂ p, in bits. Two tokens with ½ each: 1 bit. With ½, ¼, ¼: ½ · 1 + ¼ · 2 + ¼ · 2 = 1.5
# bits. An impossible token adds nothing.


# %% nbgrader={"solution": true, "grade_id": "entropy"}
def entropy(probabilities):
    """How undecided each row is, in bits: [batch], from [batch, vocabulary]. Probabilities may be 0."""
    ### BEGIN SOLUTION
    terms = probabilities * probabilities.log2()
    return -terms.masked_fill(probabilities == 0, 0.0).sum(dim=-1)
    ### END SOLUTION


# %%
show(bits=entropy(torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])))  # 1, 1.5, 0

# %%
check("04.1")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further logits: larger vocabularies, tokens cut off, equal
# ones, colder and hotter temperatures, and other ways to ask for no temperature at all.

# %% nbgrader={"grade": true, "grade_id": "rows_sum_to_one", "points": 1}
check("04.1", "rows_sum_to_one")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.1").master.with_name("checks.py"), "checks_04_1")
further = [
    checks.example(1, 1, 0.4, seed=11),
    checks.example(5, 40, 1.7, seed=12, cut=13),
    checks.example(2, 300, 0.05, seed=13),
]
checks.are_probabilities(probabilities_at, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "differences_count_by_temperature", "points": 3}
check("04.1", "differences_count_by_temperature")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.1").master.with_name("checks.py"), "checks_04_1")
further = [
    checks.example(1, 7, 0.15, seed=14),
    checks.example(4, 30, 1.3, seed=15, cut=9),
    checks.example(3, 12, 9.0, seed=16),
]
checks.equals_boltzmann(probabilities_at, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "both_ends", "points": 2}
check("04.1", "both_ends")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.1").master.with_name("checks.py"), "checks_04_1")
checks.ends_are_reached(
    probabilities_at, [checks.example(3, 25, 1.0, seed=17), checks.example(4, 9, 1.0, seed=18, cut=4)]
)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "zero_is_refused", "points": 2}
check("04.1", "zero_is_refused")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.1").master.with_name("checks.py"), "checks_04_1")
checks.is_refused(probabilities_at, [0, -1e-6, float("-inf")])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "large_logits", "points": 2}
check("04.1", "large_logits")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.1").master.with_name("checks.py"), "checks_04_1")
further = [checks.example(2, 6, 2.5, seed=19, scale=3_000.0), checks.example(3, 5, 0.02, seed=20, scale=90.0, cut=2)]
checks.equals_boltzmann(probabilities_at, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "entropy_in_bits", "points": 3}
check("04.1", "entropy_in_bits")
### BEGIN HIDDEN TESTS
import torch

from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.1").master.with_name("checks.py"), "checks_04_1")
further = [
    checks.distribution([[1.0]]),
    checks.distribution([[0.0, 0.7, 0.3, 0.0], [0.25, 0.25, 0.25, 0.25]]),
    {"probabilities": torch.randn(3, 200, generator=torch.Generator().manual_seed(21)).softmax(dim=-1)},
]
checks.equals_shannon(entropy, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "entropy_rises", "points": 2}
check("04.1", "entropy_rises")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("04.1").master.with_name("checks.py"), "checks_04_1")
further = [checks.example(2, 50, 1.0, seed=22), checks.example(3, 8, 1.0, seed=23, cut=2)]
checks.rises_with_temperature(probabilities_at, entropy, further)
### END HIDDEN TESTS
