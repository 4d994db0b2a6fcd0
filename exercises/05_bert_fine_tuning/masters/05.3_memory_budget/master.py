# %% [markdown]
# "CUDA out of memory" comes after minutes of loading, and says nothing of what to change. Most of a step's memory can be
# counted with a pencil before. Do so, and let the count find the largest batch that fits.

# %%
import torch

from course_lib.exercises import check, hint, step
from course_lib.models.blocks import BlockSizes, PostNormEncoderBlock
from course_lib.training import memory

# %% [markdown]
# ## What lies in memory
# The weights; a gradient for each weight; AdamW's two running means for each weight. And the activations: what the forward
# pass keeps of each block for the backward pass. All numbers of a step are equally wide: 4 bytes, or 2 with all in 16 bits.

# %% [markdown]
# For each *place* a block keeps 8 states as wide as the embedding, 2 as wide as the inner layer, and 4 single numbers of its
# norms. And for each text each *head* keeps its weights: who looks at whom, a number for each pair of places.
#
# ## With numbers
# One block, embedding 4, inner 8, two heads; two texts of three words. A place keeps 8·4 + 2·8 + 4 = 52 numbers, and there
# are 6 places: 312. Two texts with two heads of 3·3 pairs: 36. Together 348 numbers, 1,392 bytes.

# %%
sizes = BlockSizes(embedding_size=4, heads=2, inner_size=8, activation=torch.nn.functional.gelu)
block = PostNormEncoderBlock(sizes)
texts = torch.randn(2, 3, 4)  # [batch, length, embedding]
memory.kept_bytes(block, lambda: block(texts, want_weights=True)[0].sum())

# %% [markdown]
# So says torch, too, which tells of every tensor that it keeps. There was no dropout; it would add its masks. A fused kernel
# would not keep the pairs, but here the weights are wanted.
#
# ## Your turn: the bytes of a step
# Leave out the embeddings and the head, which are small beside twelve blocks.


# %% nbgrader={"solution": true, "grade_id": "step_bytes"}
def step_bytes(parameters, batch, length, blocks, heads, embedding, inner, number_bytes):
    """What a training step with AdamW keeps in memory, in bytes, by what it is for.

    All arguments are whole numbers: how many weights the model has, texts in a batch, places in a text, blocks, heads
    in each, the sizes of embedding and inner layer, and the bytes of a number.
    Returns a dict with weights, gradients, optimizer_states and activations, whole numbers.
    """
    ### BEGIN SOLUTION
    each = parameters * number_bytes
    states = batch * length * (8 * embedding + 2 * inner + 4)
    pairs = batch * heads * length**2
    return {
        "weights": each,
        "gradients": each,
        "optimizer_states": 2 * each,
        "activations": blocks * (states + pairs) * number_bytes,
    }
    ### END SOLUTION


# %% [markdown]
# Try it on the block from above, which has 276 weights: 1,104, 1,104, 2,208 and 1,392 bytes.

# %%
step_bytes(276, batch=2, length=3, blocks=1, heads=2, embedding=4, inner=8, number_bytes=4)

# %% [markdown]
# ## Your turn: the largest batch
# Not every model has such a formula, but every step can be tried. Find the largest batch that fits with few trials: double
# until one is too large, then halve the gap between the largest that fits and the smallest that does not.


# %% nbgrader={"solution": true, "grade_id": "largest_batch"}
def largest_batch(bytes_of, memory_bytes):
    """The largest batch whose step fits, or 0 if not even a batch of one does.

    bytes_of(batch): the bytes of a step with so many texts, from 1 on; it never falls, but need not grow evenly, since
    memory is handed out in pieces. Each call is a trial that takes its time: at most 64. A step that takes
    exactly memory_bytes fits.
    """
    ### BEGIN SOLUTION
    if bytes_of(1) > memory_bytes:
        return 0
    fits, too_large = 1, 2
    while bytes_of(too_large) <= memory_bytes:
        fits, too_large = too_large, 2 * too_large
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if bytes_of(middle) <= memory_bytes:
            fits = middle
        else:
            too_large = middle
    return fits
    ### END SOLUTION


# %% [markdown]
# Try it on a card of 100 bytes, where each text takes 7 bytes and the rest 9: 13 texts take exactly 100.

# %%
largest_batch(lambda batch: 9 + 7 * batch, memory_bytes=100)

# %% [markdown]
# And on BERT-base with a card of 16 GiB. With half the bytes more than twice the batch fits, and with four times the length
# less than a quarter of it.

# %%
base = {"blocks": 12, "heads": 12, "embedding": 768, "inner": 3_072}
weights = memory.encoder_parameters(memory.BERT_BASE)
for length in (128, 512):
    for number_bytes in (4, 2):

        def bytes_of(batch, length=length, number_bytes=number_bytes):
            return sum(step_bytes(weights, batch, length, **base, number_bytes=number_bytes).values())

        print(f"{length} tokens, {number_bytes} bytes: {largest_batch(bytes_of, 16 * 2**30)} texts")

# %%
check("05.3")

# %% [markdown]
# The lesson's table says less, 22 texts instead of 34 at 512 tokens with 4 bytes: there dropout is on, and the
# embeddings and the head are counted. A formula is a promise about what it names, and about nothing else.

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further models, measured by torch, and further cards.

# %% nbgrader={"grade": true, "grade_id": "weights_as_measured", "points": 3}
check("05.3", "weights_as_measured")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.3").master.with_name("checks.py"), "checks_05_3")
checks.fixed_part_is_measured(step_bytes, [checks.case(3, 5, 3, 3, 6, 9), checks.case(1, 2, 1, 2, 8, 8, 2)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "activations_as_measured", "points": 4}
check("05.3", "activations_as_measured")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.3").master.with_name("checks.py"), "checks_05_3")
further = [
    checks.case(3, 5, 3, 3, 6, 9),
    checks.case(1, 2, 1, 2, 8, 8, 2),
    checks.case(5, 17, 2, 4, 12, 20, 2),
]
checks.activations_are_measured(step_bytes, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "grows_as_it_should", "points": 2}
check("05.3", "grows_as_it_should")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.3").master.with_name("checks.py"), "checks_05_3")
checks.growth_is_right(step_bytes, [checks.large(24, 16, 1_024, 4_096, 335_000_000, 2)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "largest_fits", "points": 3}
check("05.3", "largest_fits")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.3").master.with_name("checks.py"), "checks_05_3")
further = [
    checks.card(lambda batch: 3 * batch, 3),
    checks.card(lambda batch: 5 + batch + batch * batch // 7, 10_000),
    checks.card(lambda batch: 1_000 * -(-(40 + 3 * batch) // 1_000), 77_000),
]
checks.largest_is_found(largest_batch, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "few_trials", "points": 2}
check("05.3", "few_trials")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("05.3").master.with_name("checks.py"), "checks_05_3")
further = [
    checks.card(lambda batch: 17 + batch, 1_000_000),
    checks.card(lambda batch: 64 * -(-batch // 64), 400_000),
]
checks.largest_is_found(largest_batch, further)
### END HIDDEN TESTS
