# %% [markdown]
# A student begins as half of its teacher's blocks. No training yet, only names: which tensors to take, what to call them,
# what to leave. One wrong number, and it starts from the wrong blocks without a word.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.models.student import PUBLISHED_LAYERS

# %% [markdown]
# ## A teacher, by name
# A BERT's weights are a dict from names to tensors. Here is a toy with Hugging Face's names: in block 7 every number is a 7,
# outside of the blocks -1, so that you see where a tensor comes from.


# %%
def toy_teacher(blocks):
    outside = [
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "embeddings.LayerNorm.weight",
        "pooler.dense.weight",
    ]
    weights = {name: torch.full((2,), -1.0) for name in outside}
    for block in range(blocks):
        for part in ("attention.self.query.weight", "output.dense.bias"):
            weights[f"encoder.layer.{block}.{part}"] = torch.full((2,), float(block))
    return weights


teacher = toy_teacher(12)
for name in list(teacher)[3:9]:
    print(f"{name:45} {teacher[name].tolist()}")

# %% [markdown]
# ## With numbers
# The blocks that the authors of DistilBERT take of a teacher of twelve. The student counts its own from 0.

# %%
chosen = PUBLISHED_LAYERS[12, 6]
print("teacher:", *(f"{layer:2}" for layer in chosen))
print("student:", *(f"{place:2}" for place in range(len(chosen))))

# %% [markdown]
# ## Your turn
# The student's dict. Its block i is the teacher's block `layers[i]`; what is in no block keeps its name. But a student has no
# token types and no pooler. It will be trained, and the teacher must not change with it.


# %% nbgrader={"solution": true, "grade_id": "student_weights"}
def student_weights(teacher_weights, layers):
    """The weights that a student begins with: a dict from names to tensors of its own.

    teacher_weights: a dict from Hugging Face's names for a BERT to tensors, in any order, such as
    encoder.layer.11.output.dense.weight. layers: a tuple of some of its blocks, counted from 0, each once.
    Everything outside of the blocks is copied, such as the embeddings and perhaps a head, but for
    embeddings.token_type_embeddings and the pooler.
    """
    ### BEGIN SOLUTION
    weights = {}
    for name, tensor in teacher_weights.items():
        if name.startswith(("embeddings.token_type_embeddings.", "pooler.")):
            continue
        if not name.startswith("encoder.layer."):
            weights[name] = tensor.clone()
            continue
        number, part = name.removeprefix("encoder.layer.").split(".", 1)
        if int(number) in layers:
            weights[f"encoder.layer.{layers.index(int(number))}.{part}"] = tensor.clone()
    return weights
    ### END SOLUTION


# %% [markdown]
# Try it on the toy: the blocks 0 to 5 should hold 0, 2, 4, 7, 9 and 11, and neither token types nor a pooler should be left.

# %%
for name, tensor in student_weights(teacher, chosen).items():
    print(f"{name:45} {tensor.tolist()}")

# %%
check("06.2")

# %% [markdown]
# The teacher adds the token type of sentence A to every word. The library's `student_of` puts that vector into the student's
# positions, so that it reads what its teacher reads. The authors' script loses it, as yours does.

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further teachers: with other depths, other choices, and their
# tensors in another order.

# %% nbgrader={"grade": true, "grade_id": "names_of_a_student", "points": 3}
check("06.2", "names_of_a_student")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.2").master.with_name("checks.py"), "checks_06_2")
further = [
    checks.example(1, (0,), seed=11),
    checks.example(12, (0, 1, 2, 4, 5, 7, 9, 10, 11), seed=12, order=sorted),
    checks.example(24, (2, 12, 20), seed=13, order=reversed),
]
checks.names_are_right(student_weights, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "tensors_of_the_teacher", "points": 3}
check("06.2", "tensors_of_the_teacher")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.2").master.with_name("checks.py"), "checks_06_2")
further = [
    checks.example(6, (4, 1, 3), seed=14),
    checks.example(12, (0, 1, 2, 4, 5, 7, 9, 10, 11), seed=15, order=sorted),
    checks.example(24, (2, 12, 20), seed=16, order=reversed),
]
checks.tensors_are_right(student_weights, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "teacher_stays", "points": 1}
check("06.2", "teacher_stays")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("06.2").master.with_name("checks.py"), "checks_06_2")
checks.teacher_is_left(student_weights, [checks.example(6, (0, 2, 5), seed=17)])
### END HIDDEN TESTS
