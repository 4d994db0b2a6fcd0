# %% [markdown]
# A ring that nobody conducts: each rank has a list of what to send and what to wait for, in which order. One wrong chunk and
# the sum is wrong; one wrong order and all wait for ever. Write that list.

# %%
from course_lib.exercises import check, hint, step
from course_lib.parallel.ring import schedule

# %% [markdown]
# ## With numbers
# The table of a ring allreduce for three ranks: in the scatter-reduce what comes is added, in the allgather it replaces what was
# there. In the end each rank has each chunk's sum.

# %%
for row in schedule(3):
    if row.rank == 0:
        print(f"rank 0, {row.phase:14} step {row.step}: sends chunk {row.sent}, gets chunk {row.received}")

# %% [markdown]
# ## Who speaks first?
# A large message does not fit into the network: `send` returns only when the receiver takes it. If all ranks send first, each
# waits for a neighbour that waits as well, and nothing ever moves. Let the even ranks send first, the odd ones receive first.

# %% [markdown]
# ## Your turn
# The program of one rank, a list of pairs: `("send", chunk)` to the next rank, `("add", chunk)` what comes from the one before,
# or `("store", chunk)` it. Write it for any number of ranks, and without `schedule`.


# %% nbgrader={"solution": true, "grade_id": "ring_program"}
def ring_program(rank, world_size):
    """What this rank does, in order: pairs of "send", "add" or "store" and the number of a chunk.

    There are as many chunks as ranks. 2(N-1) sends and as many receives; none for one rank alone.
    """
    ### BEGIN SOLUTION
    program = []
    for first, take in ((rank, "add"), (rank + 1, "store")):
        for number in range(world_size - 1):
            sent = (first - number) % world_size
            received = (first - number - 1) % world_size
            pair = [("send", sent), (take, received)]
            program += pair if rank % 2 == 0 else pair[::-1]
    return program
    ### END SOLUTION


# %% [markdown]
# Rank 0 of three begins with `("send", 0), ("add", 2)`, rank 1 with `("add", 0), ("send", 1)`.

# %%
for rank in range(3):
    print(rank, ring_program(rank, 3))

# %%
check("07.1")

# %% [markdown]
# The library sends and receives at the same time (`Wire.exchange`), so nobody needs to be first. Blocking calls in one order on
# all ranks hang, or work for small messages and hang for large ones, which is worse.

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, each tries further numbers of ranks.

# %% nbgrader={"grade": true, "grade_id": "nobody_waits_for_ever", "points": 2}
check("07.1", "nobody_waits_for_ever")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.1").master.with_name("checks.py"), "checks_07_1")
checks.programs_end(ring_program, [6, 9])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "all_have_the_sum", "points": 3}
check("07.1", "all_have_the_sum")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.1").master.with_name("checks.py"), "checks_07_1")
checks.sums_are_right(ring_program, [6, 9])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "few_chunks_travel", "points": 2}
check("07.1", "few_chunks_travel")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("07.1").master.with_name("checks.py"), "checks_07_1")
checks.sends_are_few(ring_program, [6, 9])
### END HIDDEN TESTS
