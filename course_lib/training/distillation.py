"""How much of a teacher fits into half of it? A student learns by the triple loss, with the course's training loop.

    student = student_of(teacher, blocks=3)
    distil(student, teacher, loader, steps=2_000)

Source: Sanh et al. 2019 (DistilBERT), section 3, and the settings of the authors' code (huggingface/transformers,
examples/research_projects/distillation/train.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_lib.data.masking import NOT_ASKED, MaskedBatch
from course_lib.training.distillation_losses import (
    ONE_GPU,
    LossWeights,
    cosine_loss,
    hidden_word_loss,
    logit_distance,
    next_word_labels,
    soft_target_loss,
)
from course_lib.training.loop import TrainingResult, train
from course_lib.training.reading import Reader, Reading
from course_lib.training.schedule import warmup_then_linear

WARMUP_SHARE = 0.05


@dataclass(frozen=True)
class Objective:
    """What is asked of a student.

    weights: of the terms. temperature: of both distributions, in training alone; afterwards it is 1.
    restrict_ce_to_mask: compare what both say at the hidden words alone, else at every word. Raises ValueError for a
    temperature that is not above 0, and for a restriction where no word is hidden.
    """

    weights: LossWeights = ONE_GPU
    temperature: float = 2.0
    restrict_ce_to_mask: bool = False

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}; the authors' is 2")
        if self.restrict_ce_to_mask and self.weights.causal:
            raise ValueError("restrict_ce_to_mask needs hidden words, but a causal student sees none; leave it out")


class Distillation:
    """A loss function for `course_lib.training.loop.train`: a student's loss on a batch, beside its teacher.

    The model that learns is `Reader(student)`. The teacher, ours or one of transformers', is put into evaluation mode
    and asked without gradients; it learns nothing, and follows the batches to their device. Beside the loss come the
    terms, each without its weight: "ce", "mlm", "cosine", "mse", "causal", those that count. Without a term that needs
    it, the teacher is not asked at all.

    Raises ValueError for a batch in which nothing is to be compared, or a teacher of another vocabulary or width than
    the student's.
    """

    def __init__(self, teacher: nn.Module, objective: Objective | None = None) -> None:
        self.objective = objective or Objective()
        self.teacher = Reader(teacher).eval()

    def __call__(
        self, student: nn.Module, batch: MaskedBatch
    ) -> tuple[Float[Tensor, ""], Mapping[str, float | Tensor]]:
        """The weighted sum of the terms, and the terms. `student`: a `Reader`, bare or wrapped for many processes."""
        objective, weights = self.objective, self.objective.weights
        labels = next_word_labels(batch.labels) if weights.causal else batch.labels
        places = batch.is_word
        if objective.restrict_ce_to_mask or not (weights.ce or weights.mse):
            places = labels != NOT_ASKED  # only these are scored: a sixth of the work
        asked = labels.flatten() if places is None else labels[places]

        logits, states = student(batch.tokens, batch.is_word, places)
        if not len(logits):
            raise ValueError("nothing is masked in this batch, so there is nothing to compare or to guess")
        logits = logits.float()  # under bf16: a softmax over a vocabulary needs more than three digits
        terms: dict[str, Tensor] = {}
        if weights.need_teacher:
            teacher_logits, teacher_states = self._ask_teacher(batch, places)
            _refuse_other_shapes(logits, teacher_logits, "words in the vocabulary")
            if weights.ce:
                terms["ce"] = soft_target_loss(logits, teacher_logits, objective.temperature)
            if weights.mse:
                terms["mse"] = logit_distance(logits, teacher_logits)
            if weights.cosine:
                _refuse_other_shapes(states, teacher_states, "numbers in a state")
                terms["cosine"] = cosine_loss(states, teacher_states, batch.is_word)
        if weights.mlm:
            terms["mlm"] = hidden_word_loss(logits, asked)
        if weights.causal:
            terms["causal"] = hidden_word_loss(logits, asked)
        loss = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        return loss, {name: term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def _ask_teacher(self, batch: MaskedBatch, places: Bool[Tensor, "batch length"] | None) -> Reading:
        device = batch.tokens.device
        if next(self.teacher.parameters()).device != device:
            self.teacher.to(device)
        logits, states = self.teacher(batch.tokens, batch.is_word, places)
        return Reading(logits.float(), states)


def distil(
    student: nn.Module,
    teacher: nn.Module,
    loader: DataLoader,
    *,
    steps: int,
    objective: Objective | None = None,
    learning_rate: float = 5e-4,
    gradient_clip: float = 5.0,
    **options: Any,
) -> TrainingResult:
    """Train the student on the loader's `MaskedBatch`es, by the authors' settings.

    AdamW with betas .9 and .98, epsilon 1e-6, no weight decay; 5 % of the steps to warm up, then linear decay to 0; a
    gradient of norm 5 at most. `options` go to `train`: with `checkpoints=folder` a killed run goes on from the newest
    checkpoint, which the original could not. `evaluate`, where given, is called with the student.
    """
    optimizer = torch.optim.AdamW(
        [parameter for parameter in student.parameters() if parameter.requires_grad],
        lr=learning_rate,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.0,
    )
    if options.get("evaluate") is not None:
        of_student = options["evaluate"]
        options["evaluate"] = lambda reader: of_student(reader.network)
    return train(
        Reader(student),
        loader,
        Distillation(teacher, objective),
        steps=steps,
        optimizer=optimizer,
        schedule=warmup_then_linear(optimizer, warmup_steps=int(steps * WARMUP_SHARE), steps=steps),
        gradient_clip=gradient_clip,
        **{"description": "distillation", **options},
    )


def _refuse_other_shapes(student: Tensor, teacher: Tensor, what: str) -> None:
    if student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            f"the student has {student.shape[-1]} {what}, the teacher {teacher.shape[-1]}: they must have the same "
            "tokenizer and width"
        )
