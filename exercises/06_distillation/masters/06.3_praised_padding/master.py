# %% [markdown]
# A colleague has written DistilBERT's triple loss. It runs, and whoever trains with it sees it fall. Two of its terms are taken
# over the wrong places. Let the numbers say so, then write the loss that is right.

# %%
import torch
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, pad

from course_lib.data.masking import NOT_ASKED
from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## The bug
# The loss has three terms: the softened divergence, the cross-entropy of the hidden words, and the angle between both models'
# states. `student` and `teacher` are pairs, the logits and the states at all places of a batch.


# %%
def broken_loss(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
    (student_logits, student_states), (teacher_logits, teacher_states) = student, teacher
    hidden = labels != NOT_ASKED  # [batch, length]
    places = is_word | hidden if restrict_to_hidden else is_word
    said = (student_logits[places] / temperature).log_softmax(dim=-1)  # [places, vocabulary]
    taught = (teacher_logits[places] / temperature).softmax(dim=-1)
    divergence = temperature**2 * kl_div(said, taught, reduction="batchmean")
    guesses = cross_entropy(student_logits[hidden], labels[hidden])
    angles = 1 - cosine_similarity(student_states, teacher_states, dim=-1)
    return weights[0] * divergence + weights[1] * guesses + weights[2] * angles.mean()


# %% [markdown]
# ## A batch
# Two texts, of three and of two words, with one hidden word each. Both models speak by lot: nothing was learned. On further
# padding both say the same, as a student may that began as its teacher.


# %%
def made_up_batch(places_of_padding):
    """(student, teacher, labels, is_word): two texts of at most three words, and so many more places."""
    generator = torch.Generator().manual_seed(0)
    logits, states = (torch.randn(2, 2, 3, size, generator=generator) for size in (5, 4))
    labels = torch.tensor([[NOT_ASKED, 4, NOT_ASKED], [2, NOT_ASKED, NOT_ASKED]])
    is_word = torch.tensor([[True, True, True], [True, True, False]])
    wider = (0, 0, 0, places_of_padding)
    student, teacher = zip(pad(logits, wider, value=1.0), pad(states, wider, value=1.0), strict=True)
    return student, teacher, pad(labels, wider[2:], value=NOT_ASKED), pad(is_word, wider[2:])


def try_out(loss):
    for padding in (0, 3, 12):
        batch = made_up_batch(padding)
        of_all, of_hidden = (loss(*batch, 2.0, (5.0, 2.0, 1.0), restricted).item() for restricted in (False, True))
        print(f"{padding:2} further places of padding: not restricted {of_all:.3f}, restricted {of_hidden:.3f}")


try_out(broken_loss)

# %% [markdown]
# Down, it praises padding: the more of it, the smaller the loss. Across, there is no difference, although the restricted one
# should compare two places only, and the other one five.

# %% [markdown]
# ## Which term?
# With all weights but one set to 0, a single term is left. So you can see which of the three moves with the padding.

# %%
for name, weights in (("divergence", (1, 0, 0)), ("guesses", (0, 1, 0)), ("angles", (0, 0, 1))):
    few, many = (broken_loss(*made_up_batch(padding), 2.0, weights, True) for padding in (0, 12))
    show(**{name: [few, many]}, sums=False)

# %% [markdown]
# ## Your turn
# The loss that is right. Restricted, the *divergence* looks at the hidden words alone, else at all words. The other terms do
# not care: guessed are the hidden words, the angle is taken at every word.


# %% nbgrader={"solution": true, "grade_id": "triple_loss"}
def triple_loss(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
    """The weighted sum of three means: one number, a tensor without axes.

    student, teacher: each (logits [batch, length, vocabulary], states [batch, length, embedding]).
    labels: [batch, length], the hidden words' numbers, NOT_ASKED elsewhere. is_word: [batch, length], False for padding.
    weights: of T² KL(teacher ‖ student), both softened by the temperature T, a mean over the hidden words if
    restrict_to_hidden, else over all words; of the student's cross-entropy, a mean over the hidden words; of
    1 - cos(student's state, teacher's state), a mean over all words.
    At least one word is hidden; each hidden place is a word.
    """
    ### BEGIN SOLUTION
    (student_logits, student_states), (teacher_logits, teacher_states) = student, teacher
    hidden = labels != NOT_ASKED  # [batch, length]
    places = hidden if restrict_to_hidden else is_word
    said = (student_logits[places] / temperature).log_softmax(dim=-1)  # [places, vocabulary]
    taught = (teacher_logits[places] / temperature).softmax(dim=-1)
    divergence = temperature**2 * kl_div(said, taught, reduction="batchmean")
    guesses = cross_entropy(student_logits[hidden], labels[hidden])
    angles = 1 - cosine_similarity(student_states[is_word], teacher_states[is_word], dim=-1)  # [words]
    return weights[0] * divergence + weights[1] * guesses + weights[2] * angles.mean()
    ### END SOLUTION


# %% [markdown]
# Now each column should stay as it is, and the two should differ.

# %%
try_out(triple_loss)

# %%
check("06.3")

# %% [markdown]
# A student trained on either fault sees its loss fall, so no curve tells. What tells is a question with a known answer: what
# must *not* change with more padding, and what *must* change with a restriction?

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further batches, temperatures and weights.

# %% nbgrader={"grade": true, "grade_id": "divergence_over_words", "points": 2}
check("06.3", "divergence_over_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.3").master.with_name("checks.py"), "checks_06_3")
checks.as_torch(triple_loss, checks.batches(seed=11, weights=(0.3, 0, 0), restricted=[False]))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "divergence_at_hidden_words", "points": 3}
check("06.3", "divergence_at_hidden_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.3").master.with_name("checks.py"), "checks_06_3")
checks.as_torch(triple_loss, checks.batches(seed=12, weights=(0.3, 0, 0), restricted=[True]))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "guesses_of_hidden_words", "points": 2}
check("06.3", "guesses_of_hidden_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.3").master.with_name("checks.py"), "checks_06_3")
checks.as_torch(triple_loss, checks.batches(seed=13, weights=(0, 0.3, 0)))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "angles_at_words", "points": 3}
check("06.3", "angles_at_words")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.3").master.with_name("checks.py"), "checks_06_3")
checks.as_torch(triple_loss, checks.batches(seed=14, weights=(0, 0, 0.3)))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "weighted_sum", "points": 2}
check("06.3", "weighted_sum")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.3").master.with_name("checks.py"), "checks_06_3")
checks.as_torch(triple_loss, checks.batches(seed=15, weights=(0.33, 0.33, 0.33)))
checks.as_torch(triple_loss, checks.batches(seed=16, weights=(0.5, 4, 7)))
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_counts_nothing", "points": 2}
check("06.3", "padding_counts_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.3").master.with_name("checks.py"), "checks_06_3")
checks.more_padding(triple_loss, checks.batches(seed=17, weights=(1, 3, 2)))
### END HIDDEN TESTS
