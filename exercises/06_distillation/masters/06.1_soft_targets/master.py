# %% [markdown]
# A teacher's opinion is softened, compared, and scaled back. Leave out the last step, or turn the comparison round, and the
# student still learns something: no error tells you. Write the first of DistilBERT's three terms.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.lesson import show

# %% [markdown]
# ## With numbers
# One place, a vocabulary of three, a temperature of 2. The divergence weighs each token by what the *teacher* says of it.

# %%
teacher_logits = torch.tensor([[3.0, 2.0, -1.0]])  # [place=1, vocabulary=3]
student_logits = torch.tensor([[1.0, 2.0, 0.0]])
show(teacher=(teacher_logits / 2)[0].softmax(-1), student=(student_logits / 2)[0].softmax(-1))

# %% [markdown]
# ## Your turn
# T² KL(teacher ‖ student), a mean over the places where there is a word. Write it with softmax and logarithms.


# %% nbgrader={"solution": true, "grade_id": "soft_targets"}
def soft_targets(student_logits, teacher_logits, is_word, temperature):
    """T² KL(p_t ‖ p_s), p = softmax(logits / T): one number in nats, a mean over the words.

    Both logits: [batch, length, vocabulary]. is_word: [batch, length], False for padding, which counts nothing.
    """
    ### BEGIN SOLUTION
    student = (student_logits[is_word] / temperature).log_softmax(dim=-1)  # [words, vocabulary]
    teacher = (teacher_logits[is_word] / temperature).log_softmax(dim=-1)
    divergence = (teacher.exp() * (teacher - student)).sum(dim=-1)  # [words]
    return temperature**2 * divergence.mean()
    ### END SOLUTION


# %% [markdown]
# Try it on the place from above: 0.642.

# %%
show(loss=soft_targets(student_logits[None], teacher_logits[None], torch.tensor([[True]]), 2.0))

# %%
check("06.1")

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further batches.

# %% nbgrader={"grade": true, "grade_id": "equals_torch", "points": 5}
check("06.1", "equals_torch")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.1").master.with_name("checks.py"), "checks_06_1")
checks.equal_to_torch(
    soft_targets, [checks.example([3, 5], 5, 7, 4.0, seed=11), checks.example([2], 4, 9, 0.5, seed=12)]
)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "padding_counts_nothing", "points": 2}
check("06.1", "padding_counts_nothing")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.1").master.with_name("checks.py"), "checks_06_1")
checks.more_padding(soft_targets, [checks.example([3, 5], 5, 7, 3.0, seed=13)])
### END HIDDEN TESTS
