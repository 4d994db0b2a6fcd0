# %% [markdown]
# A bright cell in a heat map is easily taken for an explanation. The lesson trained three scores with three seeds each; decide
# from these runs which of them look where they should, by a rule that was fixed before.

# %%
import math
import statistics

from course_lib import lesson
from course_lib.exercises import check, hint, step

# %% [markdown]
# ## The kept runs
# Per run: the share of four-item sentences that were exactly right, and the share of content words whose largest weight lay
# on the gold partner. It is what the lesson's table was made of, rounded to three digits.

# %%
results = {  # (exact match, alignment) of the seeds 0, 1, 2
    "additive": [(0.990, 0.981), (0.985, 0.930), (1.000, 0.969)],
    "general": [(0.930, 0.550), (0.805, 0.572), (0.730, 0.462)],
    "dot": [(0.895, 0.653), (0.905, 0.661), (0.930, 0.667)],
}
kept = [
    {"score": score, "seed": seed, "exact_match": exact, "alignment": looks}
    for score, runs in results.items()
    for seed, (exact, looks) in enumerate(runs)
]
lesson.table([list(row.values()) for row in kept], "Nine kept runs", list(kept[0]))

# %% [markdown]
# ## With numbers
# Three made-up runs with 0.7, 0.8 and 0.9: the mean is 0.8. The deviations are -0.1, 0 and 0.1, their squares sum to
# 0.02; divided by n - 1 = 2, the root is 0.1. That is the spread: the standard deviation between runs.

# %%
runs = [0.7, 0.8, 0.9]
print(f"mean {statistics.fmean(runs):.3f}, spread {statistics.stdev(runs):.3f}")

# %% [markdown]
# ## Your turn: summarise
# Runs fail: then `alignment` is None, or NaN if training diverged. A failed run is in no mean, but it is counted. Without
# a good run there is no mean, with fewer than two no spread: None.


# %% nbgrader={"solution": true, "grade_id": "summarise"}
def summarise(rows):
    """What the runs of each score say about its alignment.

    rows: dicts with score, seed, exact_match and alignment. Returns for each score that occurs a dict with
    runs (how many were good), failed (how many were not), mean and spread (of the alignment of the good ones).
    """
    ### BEGIN SOLUTION
    summary = {}
    for score in sorted({row["score"] for row in rows}):
        found = [row["alignment"] for row in rows if row["score"] == score]
        good = [value for value in found if value is not None and not math.isnan(value)]
        summary[score] = {
            "runs": len(good),
            "failed": len(found) - len(good),
            "mean": statistics.fmean(good) if good else None,
            "spread": statistics.stdev(good) if len(good) > 1 else None,
        }
    return summary
    ### END SOLUTION


# %%
failing = [{"score": "dot", "seed": 3, "exact_match": None, "alignment": None}]
{name: round(value, 3) for name, value in summarise(kept + failing)["dot"].items()}

# %% [markdown]
# ## Your turn: decide
# The rule: **yes**, it looks where it should, if mean − spread ≥ 0.90. **No** if mean + spread < 0.90. Otherwise, and
# always with fewer than three good runs, it is **undecided**. Say it with "yes", "no" and "undecided".


# %% nbgrader={"solution": true, "grade_id": "decide"}
def decide(summary, bound=0.90):
    """A verdict for each score of a summary: yes, no or undecided, as a word."""
    ### BEGIN SOLUTION
    verdicts = {}
    for score, found in summary.items():
        if found["runs"] < 3:
            verdicts[score] = "undecided"
        elif found["mean"] - found["spread"] >= bound:
            verdicts[score] = "yes"
        elif found["mean"] + found["spread"] < bound:
            verdicts[score] = "no"
        else:
            verdicts[score] = "undecided"
    return verdicts
    ### END SOLUTION


# %%
decide({"made up": {"runs": 3, "failed": 0, "mean": 0.85, "spread": 0.1}})  # 0.75 to 0.95

# %% [markdown]
# ## Your turn: record
# Record the `verdicts` on the kept runs. And list in `elsewhere` the scores that translate well, a mean exact match of at
# least 0.90, and have a no for their looks: their heat maps would mislead you.

# %% nbgrader={"solution": true, "grade_id": "record"}
### BEGIN SOLUTION
verdicts = decide(summarise(kept))


def exact(score):
    return statistics.fmean(row["exact_match"] for row in kept if row["score"] == score)


elsewhere = [score for score in verdicts if verdicts[score] == "no" and exact(score) >= 0.90]
### END SOLUTION

# %%
print(verdicts, elsewhere)

# %%
check("02.5")

# %% [markdown]
# Where the encoder's neighbouring states know of a word, too, a decoder may read it there. So weights are evidence about
# where information was taken from, and no proof of which word it was about.

# %% [markdown]
# ## Graded
# The same checks one by one. When a class is graded, your functions meet further tables, with more runs and more failures.

# %% nbgrader={"grade": true, "grade_id": "mean_and_spread", "points": 2}
check("02.5", "mean_and_spread")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.5").master.with_name("checks.py"), "checks_02_5")
further = [
    checks.table(one=(7, 0.31, 0.2, []), two=(2, 0.5, 0.3, [])),
    checks.table(one=(3, 0.7, 0.0, [])),
]
checks.summaries_are_right(summarise, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "failed_runs", "points": 2}
check("02.5", "failed_runs")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.5").master.with_name("checks.py"), "checks_02_5")
nan = float("nan")
further = [
    checks.table(one=(0, 0.0, 0.0, [None])),
    checks.table(one=(5, 0.4, 0.1, [None, None, nan]), two=(1, 1.0, 0.0, []), three=(7, 0.9, 0.05, [])),
]
checks.summaries_are_right(summarise, further)
checks.summaries_are_right(summarise, [([], {})])
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "rule", "points": 2}
check("02.5", "rule")
### BEGIN HIDDEN TESTS
from course_lib.exercises.catalogue import find_exercise, load_module

checks = load_module(find_exercise("02.5").master.with_name("checks.py"), "checks_02_5")
further = [
    (checks.summary_of(one=(4, 0.95, 0.01), two=(9, 0.95, 0.06)), {"one": "yes", "two": "undecided"}),
    (checks.summary_of(one=(3, 0.85, 0.01), two=(2, 0.1, 0.01)), {"one": "no", "two": "undecided"}),
    ({}, {}),
]
checks.rule_is_kept(decide, further)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "recorded", "points": 2}
check("02.5", "recorded")
