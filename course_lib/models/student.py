"""Where does a student begin? As some of its teacher's own blocks, with all else copied (notebook 06).

A student is narrower in nothing but depth: each of its blocks fits one of the teacher's. It has no segment embedding
and no pooler, as DistilBERT has none. Source: Sanh et al. 2019, section 3; the layers are those of the authors' scripts
(huggingface/transformers, examples/research_projects: distillation/scripts/extract_distilbert.py for 12 to 6,
seq2seq-distillation/make_student.py for the others).
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn
from transformers import PreTrainedModel

from course_lib.models.bert import BERT, MaskedLanguageModel

# (blocks of the teacher, blocks of the student): the teacher's blocks to begin with, counted from 0.
PUBLISHED_LAYERS: dict[tuple[int, int], tuple[int, ...]] = {
    (12, 1): (0,),
    (12, 2): (0, 6),
    (12, 3): (0, 6, 11),
    (12, 4): (0, 4, 8, 11),
    (12, 6): (0, 2, 4, 7, 9, 11),
    (12, 9): (0, 1, 2, 4, 5, 7, 9, 10, 11),
    (6, 1): (0,),
    (6, 2): (0, 5),
    (6, 3): (0, 2, 5),
    (6, 4): (0, 1, 3, 5),
}


def alternate_layers(teacher_blocks: int, student_blocks: int) -> tuple[int, ...]:
    """The teacher's blocks that the original scripts take for a student of so many; all for one as deep as itself.

    Raises ValueError for a pair of depths that they do not know.
    """
    if student_blocks == teacher_blocks:
        return tuple(range(teacher_blocks))
    if (teacher_blocks, student_blocks) not in PUBLISHED_LAYERS:
        known = ", ".join(f"{larger}→{smaller}" for larger, smaller in PUBLISHED_LAYERS)
        raise ValueError(
            f"no published choice takes {student_blocks} of {teacher_blocks} blocks, only {known}; "
            "name the blocks yourself with layers=(…)"
        )
    return PUBLISHED_LAYERS[teacher_blocks, student_blocks]


def student_of(
    teacher: MaskedLanguageModel,
    blocks: int | None = None,
    *,
    layers: Sequence[int] | None = None,
    segment_into_positions: bool = True,
) -> MaskedLanguageModel:
    """A student with the teacher's embeddings, head, and some of its blocks: `layers`, or the published ones.

    The teacher adds sentence A's vector to every word. The student has no segments; it finds that vector in its
    positions, so that it reads what the teacher reads. `segment_into_positions=False` loses it, as the authors' script
    does. The teacher stays as it is.

    Raises ValueError for blocks that the teacher does not have, or a causal teacher.
    """
    if teacher.encoder.causal:
        raise ValueError("a causal encoder cannot teach one that looks both ways")
    chosen = _chosen(teacher.encoder.config.blocks, blocks, layers)
    student = untrained_student(teacher, len(chosen))
    theirs, ours = teacher.encoder, student.encoder
    ours.embedding.load_state_dict(theirs.embedding.state_dict())
    ours.positions.load_state_dict(theirs.positions.state_dict())
    ours.embedding_norm.load_state_dict(theirs.embedding_norm.state_dict())
    for block, layer in zip(ours.blocks, chosen, strict=True):
        block.load_state_dict(theirs.blocks[layer].state_dict())
    student.dense.load_state_dict(teacher.dense.state_dict())
    student.norm.load_state_dict(teacher.norm.state_dict())
    with torch.no_grad():
        student.bias.copy_(teacher.bias)
        if segment_into_positions and theirs.segments is not None:
            ours.positions.table.add_(theirs.segments.weight[0])
    return student


def untrained_student(teacher: MaskedLanguageModel, blocks: int) -> MaskedLanguageModel:
    """A student of the same sizes with BERT's random initial weights, on the teacher's device: for comparison."""
    student = MaskedLanguageModel(BERT(replace(teacher.encoder.config, blocks=blocks, segments=0)))
    return student.to(teacher.bias.device)


def shallower(
    teacher: PreTrainedModel, blocks: int | None = None, *, layers: Sequence[int] | None = None
) -> PreTrainedModel:
    """The same for any encoder of transformers: a model of the teacher's own class with some of its blocks.

    DistilRoBERTa is one. All else is copied, a segment embedding too where the class has one: to make a DistilBERT of a
    BERT, read it with `course_lib.models.bert_files`, take `student_of`, and write with `distilbert_files`.

    Raises ValueError for blocks that the teacher does not have, or where its list of blocks cannot be told.
    """
    depth = teacher.config.num_hidden_layers
    lists = [name for name, part in teacher.named_modules() if isinstance(part, nn.ModuleList) and len(part) == depth]
    if len(lists) != 1:
        raise ValueError(
            f"{type(teacher).__name__} has {len(lists)} lists of {depth} parts, so its blocks cannot be told; expected "
            "an encoder with one"
        )
    chosen = _chosen(depth, blocks, layers)
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(chosen)
    student = type(teacher)(config)
    prefix, kept = f"{lists[0]}.", {}
    for name, tensor in teacher.state_dict().items():
        if not name.startswith(prefix):
            kept[name] = tensor
            continue
        number, _, rest = name.removeprefix(prefix).partition(".")
        for place, layer in enumerate(chosen):
            if layer == int(number):
                kept[f"{prefix}{place}.{rest}"] = tensor
    student.load_state_dict(kept)
    nn.Module.to(student, teacher.device)
    return student


def _chosen(depth: int, blocks: int | None, layers: Sequence[int] | None) -> tuple[int, ...]:
    if (blocks is None) == (layers is None):
        raise ValueError(f"give either blocks (how many) or layers (which), got blocks={blocks} and layers={layers}")
    chosen = tuple(layers) if layers is not None else alternate_layers(depth, blocks or 0)
    if not chosen or any(not 0 <= layer < depth for layer in chosen):
        raise ValueError(f"layers must be some of the teacher's blocks, 0 to {depth - 1}, got {chosen}")
    return chosen
