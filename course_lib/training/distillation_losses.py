"""What does a student owe its teacher? The triple loss, term by term (notebook 06).

Three wishes: to say what the teacher says, as unsure as it is (its softened distribution); to be right (the hidden
words); to think along the same lines (the direction of its last states).
Source: Sanh et al. 2019, section 3; the terms as the authors' code computes them (huggingface/transformers,
examples/research_projects/distillation/distiller.py). T² and the temperature: Hinton et al. 2015, section 2.
"""

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from course_lib.data.masking import NOT_ASKED


@dataclass(frozen=True)
class LossWeights:
    """What each term counts: the α of L = α_ce L_ce + α_mlm L_mlm + α_cos L_cos (+ α_mse L_mse + α_clm L_clm).

    ce: to say what the teacher says. mlm: to guess hidden words. cosine: to point where the teacher's states point.
    mse: to have the teacher's very logits. causal: to guess each next word, for a student that writes.
    Raises ValueError for negative weights, none at all, and mlm together with causal, which want different labels.
    """

    ce: float
    mlm: float
    cosine: float
    mse: float = 0.0
    causal: float = 0.0

    def __post_init__(self) -> None:
        weights = asdict(self)
        for name, weight in weights.items():
            if not weight >= 0:  # also NaN
                raise ValueError(f"the weight {name} must be 0 or more, got {weight}")
        if not any(weights.values()):
            raise ValueError("all weights are 0, so there is nothing to learn; give at least one")
        if self.mlm and self.causal:
            raise ValueError(
                f"mlm={self.mlm} asks for hidden words and causal={self.causal} for next words; a student reads one "
                "kind of text, so set one of them to 0"
            )

    @property
    def need_teacher(self) -> bool:
        return bool(self.ce or self.cosine or self.mse)


# The authors' README gives two weightings, which are not the same up to a factor; equal ones gave some users a bad
# model (huggingface/transformers#3206). So keep in mind which one a result was made with.
ONE_GPU = LossWeights(ce=5.0, mlm=2.0, cosine=1.0)
SEVERAL_GPUS = LossWeights(ce=0.33, mlm=0.33, cosine=0.33)


def soft_target_loss(
    student_logits: Float[Tensor, "places vocabulary"],
    teacher_logits: Float[Tensor, "places vocabulary"],
    temperature: float = 2.0,
) -> Float[Tensor, ""]:
    """T² KL(p_t ‖ p_s), a mean over the places, with p = softmax(z / T): in nats, times T².

    The gradient of the divergence shrinks as 1 / T²; the factor takes that back, so that the weights of the terms mean
    the same at every temperature. Equal to torch's KLDivLoss(reduction="batchmean") times T².
    Raises ValueError for a temperature that is not above 0, or without a place to compare.
    """
    _check(temperature, student_logits)
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=-1)
    divergence = (teacher.exp() * (teacher - student)).sum(-1)  # [places]
    return temperature**2 * divergence.mean()


def hidden_word_loss(
    student_logits: Float[Tensor, "places vocabulary"], labels: Int[Tensor, "places"]
) -> Float[Tensor, ""]:
    """The mean cross-entropy of the right words, in nats, where a label is not -100.

    NaN without any label, as torch has it: then there was nothing to ask.
    """
    return F.cross_entropy(student_logits, labels, ignore_index=NOT_ASKED)


def cosine_loss(
    student_states: Float[Tensor, "batch length embedding"],
    teacher_states: Float[Tensor, "batch length embedding"],
    is_word: Bool[Tensor, "batch length"] | None = None,
) -> Float[Tensor, ""]:
    """1 - cos(h_s, h_t), a mean over all words: 0 for the same direction, 2 for the opposite one.

    Padding is left out: its states mean nothing, and there is more of it the shorter a text is.
    Equal to torch's CosineEmbeddingLoss with target 1 on the words' states.
    """
    angles = 1 - F.cosine_similarity(student_states.float(), teacher_states.float(), dim=-1)  # [batch, length]
    return angles.mean() if is_word is None else (angles * is_word).sum() / is_word.sum()


def logit_distance(
    student_logits: Float[Tensor, "places vocabulary"], teacher_logits: Float[Tensor, "places vocabulary"]
) -> Float[Tensor, ""]:
    """Σ (z_s - z_t)², summed over the vocabulary and a mean over the places: the term of α_mse."""
    return (student_logits - teacher_logits).square().sum(-1).mean()


def next_word_labels(labels: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Each place's label is the next word; the last place has none (-100). For the term of α_clm."""
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], NOT_ASKED)], dim=1)


def _check(temperature: float, logits: Tensor) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}; 2 is usual in training")
    if not len(logits):
        raise ValueError("there is no place at which to compare student and teacher; is nothing masked in this batch?")
