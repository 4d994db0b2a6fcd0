"""Fixtures of the exercises' tests: a course with one small exercise, and a new learner."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CARD = '''\
title = "A softmax that knows padding"
teaches = "why a mask must act before the softmax"
difficulty = 1
minutes = 10
needs = ["masked_softmax"]
gaps = ["~is_word", 'float("-inf")', "dim=-1"]

[hints]
nudge = "What must an energy be, so that the softmax makes 0 of it?"
outline = """
1. Put minus infinity wherever `is_word` is False.
2. Take the softmax over the last axis.
"""
code = """
```python
return energies.masked_fill(~is_word, float("-inf")).softmax(dim=-1)
```
"""

[mistakes]
unused_mask = "The mask is never used, so padding gets its share."
'''
CHECKS = '''\
import torch
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import answer_to

def example():
    return {"energies": torch.tensor([[1.5, -0.25]]), "is_word": torch.tensor([[True, False]])}

def words_share_one(masked_softmax):
    """The weights of each sentence sum to one."""
    weights = answer_to(masked_softmax, example())
    if not torch.allclose(weights.sum(-1), torch.ones(1)):
        raise PropertyFailed("the weights of each row sum to 1", "row [0] does not", example(), weights)

def padding_gets_nothing(masked_softmax):
    """Padding gets no weight at all."""
    weights = answer_to(masked_softmax, example())
    if weights[0, 1] != 0:
        found = f"a place of padding has the weight {weights[0, 1]:.4f}"
        raise PropertyFailed("padding gets no weight", found, example(), weights, "unused_mask")

CHECKS = [words_share_one, padding_gets_nothing]
'''
DEFINITION = '''\
def masked_softmax(energies, is_word):
    """Weights over the words of each sentence."""
'''
SOLUTION = """\
    struck_out = energies.masked_fill(~is_word, float("-inf"))
    return struck_out.softmax(dim=-1)
"""
STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()"
SOLVED = {"grade": False, "grade_id": "masked_softmax", "locked": False, "schema_version": 3, "solution": True}
MASTER = f"""\
# %%
import torch

from course_lib.exercises import check, hint, step

# %% nbgrader={{"solution": true, "grade_id": "masked_softmax"}}
{DEFINITION}    ### BEGIN SOLUTION
{SOLUTION}    ### END SOLUTION


# %%
check("02.1")

# %% nbgrader={{"grade": true, "grade_id": "padding", "points": 2}}
check("02.1", "padding_gets_nothing")
"""


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    """The only exercise of a small course: its master, its student notebook, and a solution to link to."""
    from course_lib.exercises.catalogue import find_exercise

    folder = tmp_path / "course" / "exercises" / "02_bahdanau_attention"
    master = folder / "masters" / "02.1_masked_softmax"
    master.mkdir(parents=True)
    for name, text in (("master.py", MASTER), ("card.toml", CARD), ("checks.py", CHECKS)):
        (master / name).write_text(text, encoding="utf-8")
    (folder / "solutions").mkdir()
    (folder / "solutions" / "02.1_masked_softmax.ipynb").touch()
    links = "[the solution](solutions/02.1_masked_softmax.ipynb), [the lesson](../../notebooks/02.ipynb), <https://a.b>"
    cells = [
        new_markdown_cell(f"# 02.1 A softmax that knows padding\n\n{links}", id="card"),
        new_code_cell("import torch\n\nfrom course_lib.exercises import check, hint, step", id="imports"),
        new_code_cell(DEFINITION + STUB, id="masked_softmax", metadata={"nbgrader": SOLVED}),
        new_code_cell('check("02.1")', id="check"),
        new_code_cell('check("02.1", "padding_gets_nothing")', id="padding"),
    ]
    nbformat.write(new_notebook(cells=cells), folder / "02.1_masked_softmax.ipynb")
    monkeypatch.setenv("COURSE_EXERCISES_DIR", str(folder.parent))
    return find_exercise("02.1")


@pytest.fixture
def own_progress(exercise, tmp_path, monkeypatch):
    """A new learner of that course: an empty progress file, nothing in memory, nobody's batch."""
    from course_lib import progress

    monkeypatch.setenv("COURSE_PROGRESS_FILE", str(tmp_path / "progress.jsonl"))
    monkeypatch.setattr(progress, "_kept_in_memory", [])
    for name in ("COURSE_MODE", "COURSE_RECORD_FILE", "COURSE_ANSWERING"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "progress.jsonl"
