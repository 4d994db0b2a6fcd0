"""Which part of a distillation does the work? The same student, with one part left out at a time (notebook 06).

Source: Sanh et al. 2019, section 5 and table 4, where GLUE falls by 2.96 points without the teacher's soft targets, by
1.46 without the cosine, by 0.31 without hidden words, and by 3.69 from a random start.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader

from course_lib.models.bert import MaskedLanguageModel
from course_lib.models.student import student_of, untrained_student
from course_lib.training.distillation import Objective, distil
from course_lib.training.distillation_losses import ONE_GPU, LossWeights
from course_lib.training.seeding import derived_seed


@dataclass(frozen=True)
class Ablation:
    """What a student is taught by, and whether it starts as a part of its teacher."""

    weights: LossWeights
    from_teacher: bool = True


HIDDEN_WORDS_ALONE = LossWeights(ce=0.0, mlm=ONE_GPU.mlm, cosine=0.0)
ABLATIONS = {
    "full": Ablation(ONE_GPU),
    "without_ce": Ablation(replace(ONE_GPU, ce=0.0)),
    "without_cosine": Ablation(replace(ONE_GPU, cosine=0.0)),
    "without_mlm": Ablation(replace(ONE_GPU, mlm=0.0)),
    "random_start": Ablation(ONE_GPU, from_teacher=False),
    # Two that the paper does not have: the teacher's blocks without its lessons, and neither.
    "teacher_silent": Ablation(HIDDEN_WORDS_ALONE),
    "no_distillation": Ablation(HIDDEN_WORDS_ALONE, from_teacher=False),
}
# Points of GLUE, from the whole triple loss.
PUBLISHED_CHANGES = {"without_ce": -2.96, "without_cosine": -1.46, "without_mlm": -0.31, "random_start": -3.69}


def taught_student(
    ablation: Ablation,
    teacher: MaskedLanguageModel,
    loader: DataLoader,
    *,
    blocks: int,
    steps: int,
    seed: int = 0,
    objective: Objective | None = None,
    **options: Any,
) -> MaskedLanguageModel:
    """A student that learned so, in evaluation mode.

    The seed decides a random start, the order of the texts and the words hidden: rows of a table are told apart by
    nothing but the ablation. `objective` gives the temperature and the restriction; its weights are the ablation's.
    `options` go to `distil`. Raises ValueError as `student_of` and `distil` do.
    """
    if ablation.from_teacher:
        student = student_of(teacher, blocks)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, 1))
            student = untrained_student(teacher, blocks)
    asked = replace(objective or Objective(), weights=ablation.weights)
    distil(student, teacher, loader, steps=steps, objective=asked, seed=seed, **options)
    return student
