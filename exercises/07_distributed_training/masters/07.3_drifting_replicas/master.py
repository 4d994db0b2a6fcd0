# %% [markdown]
# Four replicas train together, the loss of each falls, and the model is useless. No error anywhere. Find what the ranks have to
# agree on, prove that they do not, and repair the training.

# %%
import torch

from course_lib.exercises import check, hint, step

# %% [markdown]
# ## The bug
# A linear model on 24 rows, trained by a colleague on four ranks, here one after the other in one process. Each rank draws its
# first weights. Each takes its rows, and all take the step of the ranks' gradients.


# %%
def draw_weights(ranks, features=3):
    """The first weights, one row for each rank, as each drew them from its own seed."""
    return torch.stack([torch.randn(features, generator=torch.Generator().manual_seed(r)) for r in range(ranks)])


def gradient(weights, inputs, targets):
    """Of the mean squared error over these rows."""
    return 2 * inputs.T @ (inputs @ weights - targets) / len(inputs)


def broken_training(drawn, inputs, targets, steps, rate):
    replicas = [weights.clone() for weights in drawn]
    shares = list(zip(inputs.tensor_split(len(drawn)), targets.tensor_split(len(drawn)), strict=True))
    for _ in range(steps):
        gradients = [gradient(weights, *share) for weights, share in zip(replicas, shares, strict=True)]
        together = sum(gradients)
        replicas = [weights - rate * together for weights in replicas]
    return torch.stack(replicas)


# %%
generator = torch.Generator().manual_seed(0)
inputs = torch.randn(24, 3, generator=generator)
targets = inputs @ torch.tensor([1.0, -2.0, 0.5])
trained = broken_training(draw_weights(4), inputs, targets, steps=200, rate=0.01)
trained

# %% [markdown]
# One set of weights fits these rows exactly: 1, -2 and 0.5. No replica has it, and no two agree.
#
# ## Your turn: the proof
# Which ranks have strayed from rank 0? Replicas that do the same arithmetic are equal to the last bit, so no tolerance. A sum or
# a norm can be equal by accident: compare the weights themselves.


# %% nbgrader={"solution": true, "grade_id": "strayed"}
def strayed(replicas):
    """The ranks whose weights are not rank 0's: a list of numbers, in order.

    replicas: [ranks, features]. NaN in the same place on both counts as equal: a replica that is broken alike is alike.
    """
    ### BEGIN SOLUTION
    same = (replicas == replicas[0]) | (replicas.isnan() & replicas[0].isnan())
    return [rank for rank in range(len(replicas)) if not same[rank].all()]
    ### END SOLUTION


# %% [markdown]
# It should name the ranks 1, 2 and 3.

# %%
strayed(trained)

# %% [markdown]
# ## Your turn: the repair
# All ranks begin with what rank 0 drew, and in each step all take the gradient of the mean over *all* rows, from the ranks'
# gradients of their own rows. The shares are those of `tensor_split`: the first ones can have a row more.


# %% nbgrader={"solution": true, "grade_id": "train_replicas"}
def train_replicas(drawn, inputs, targets, steps, rate):
    """The replicas' weights after so many steps of gradient descent on the mean squared error: [ranks, features].

    drawn: [ranks, features], what each rank drew; rank 0's counts. inputs: [rows, features], targets: [rows], at least
    one row for each rank.
    """
    ### BEGIN SOLUTION
    ranks = len(drawn)
    replicas = [drawn[0].clone() for _ in range(ranks)]  # broadcast
    shares = list(zip(inputs.tensor_split(ranks), targets.tensor_split(ranks), strict=True))
    for _ in range(steps):
        gradients = [gradient(weights, *share) for weights, share in zip(replicas, shares, strict=True)]
        parts = [len(share[0]) * own for own, share in zip(gradients, shares, strict=True)]
        together = sum(parts) / len(inputs)  # allreduce
        replicas = [weights - rate * together for weights in replicas]
    return torch.stack(replicas)
    ### END SOLUTION


# %% [markdown]
# Now all four agree, and come close to the weights that fit.

# %%
repaired = train_replicas(draw_weights(4), inputs, targets, steps=200, rate=0.1)
repaired, strayed(repaired)

# %%
check("07.3")

# %% [markdown]
# The library's `same_start` is that broadcast, and `DataParallel` begins with it. Dropout may differ between ranks; what must be
# equal is what an update depends on: first weights, gradients, and the optimizer's state.

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further replicas and data.

# %% nbgrader={"grade": true, "grade_id": "names_the_strayed", "points": 2}
check("07.3", "names_the_strayed")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.3").master.with_name("checks.py"), "checks_07_3")
further = [[[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.0 + 1e-12]], [[0.0]], [[float("nan")], [float("nan")], [0.0]]]
checks.strayed_are_named(strayed, [checks.replicas(each) for each in further])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "replicas_agree", "points": 3}
check("07.3", "replicas_agree")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.3").master.with_name("checks.py"), "checks_07_3")
checks.all_alike(train_replicas, [checks.example(6, 13, 4, 5, seed=11)])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "one_batch_one_start", "points": 4}
check("07.3", "one_batch_one_start")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.3").master.with_name("checks.py"), "checks_07_3")
checks.as_one_process(train_replicas, [checks.example(6, 13, 4, 5, seed=12), checks.example(2, 9, 2, 1, seed=13)])
### END HIDDEN TESTS
