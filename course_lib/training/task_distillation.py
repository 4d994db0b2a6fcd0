"""What can a teacher still say when the student learns a task? A second distillation, while fine-tuning (notebook 06).

Labels say which answer is right; a teacher fine-tuned on the task says also which wrong ones are near.
Source: Sanh et al. 2019, section 3 and table 2, "DistilBERT (D)"; the weights are those of the authors' SQuAD run
(huggingface/transformers, examples/research_projects/distillation/run_squad_w_distillation.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.models.bert import Classifier
from course_lib.training.classification import LabelledBatch, LabelledRow, fine_tune
from course_lib.training.distillation_losses import soft_target_loss
from course_lib.training.loop import TrainingResult
from course_lib.training.reading import label_scores

TEACHER_WEIGHT, TASK_WEIGHT, TEMPERATURE = 0.5, 0.5, 2.0


class TaskDistillation:
    """A loss function for `train`: α_ce T² KL(teacher ‖ student) over the labels + α_task cross-entropy.

    The teacher, a classifier of ours or of transformers', is put into evaluation mode and asked without gradients.
    Raises ValueError for negative weights, both 0, or a temperature that is not above 0; later, for a teacher that
    knows another number of labels than the student.
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        teacher_weight: float = TEACHER_WEIGHT,
        task_weight: float = TASK_WEIGHT,
        temperature: float = TEMPERATURE,
    ) -> None:
        if min(teacher_weight, task_weight) < 0 or not teacher_weight + task_weight > 0:
            raise ValueError(
                f"teacher_weight and task_weight must be 0 or more, not both 0, got {teacher_weight} and {task_weight}"
            )
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}; the authors' is 2")
        self.teacher, self.temperature = teacher.eval(), temperature
        self.teacher_weight, self.task_weight = teacher_weight, task_weight

    def __call__(
        self, student: nn.Module, batch: LabelledBatch
    ) -> tuple[Float[Tensor, ""], Mapping[str, float | Tensor]]:
        """The loss; beside it the terms "ce" and "task", and "accuracy", the share of the batch that is right."""
        logits = student(batch.tokens, batch.is_word).float()
        with torch.no_grad():
            if next(self.teacher.parameters()).device != batch.tokens.device:
                self.teacher.to(batch.tokens.device)
            taught = label_scores(self.teacher, batch.tokens, batch.is_word).float()
        if taught.shape != logits.shape:
            raise ValueError(f"the student knows {logits.shape[1]} labels, its teacher {taught.shape[1]}")
        ce = soft_target_loss(logits, taught, self.temperature)
        task = F.cross_entropy(logits, batch.labels)
        right = (logits.argmax(-1) == batch.labels).float().mean()
        loss = self.teacher_weight * ce + self.task_weight * task
        return loss, {"ce": ce.detach(), "task": task.detach(), "accuracy": right}


def distil_task(
    student: Classifier, teacher: nn.Module, rows: Sequence[LabelledRow], *, steps: int, **options: Any
) -> TrainingResult:
    """Fine-tune the student on labelled rows beside a teacher that knows the task already.

    `options` go to `course_lib.training.classification.fine_tune`. Raises as `TaskDistillation` does.
    """
    return fine_tune(student, rows, steps=steps, loss=TaskDistillation(teacher), **options)
