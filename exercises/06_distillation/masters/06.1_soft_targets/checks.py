"""What the divergence from a teacher must do: equal torch's own, and ignore padding."""

import torch
from torch.nn.functional import kl_div, pad

from course_lib.exercises.properties.batches import padding_changes_nothing
from course_lib.exercises.properties.examples import Mistake
from course_lib.exercises.properties.mistakes import equals, right_times
from course_lib.exercises.properties.parity import same_as


def example(lengths, longest, vocabulary, temperature, seed):
    """A batch with a text for each length, and rubbish on the padding."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2 * torch.randn(2, len(lengths), longest, vocabulary, generator=generator)
    is_word = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return {"student_logits": student, "teacher_logits": teacher, "is_word": is_word, "temperature": temperature}


def examples():
    """From one word at a temperature of 1 to three texts with padding."""
    yield example([2], 2, 3, 2.0, seed=1)
    yield example([1, 3], 3, 4, 2.0, seed=2)
    yield example([4, 2, 5], 5, 6, 3.0, seed=3)


def torchs_own(student_logits, teacher_logits, is_word, temperature):
    """The trusted loss, by torch's kl_div, which takes the student's logarithms first."""
    student = (student_logits[is_word] / temperature).log_softmax(-1)
    teacher = (teacher_logits[is_word] / temperature).softmax(-1)
    return temperature**2 * kl_div(student, teacher, reduction="batchmean")


def _reversed(student_logits, teacher_logits, is_word, temperature):
    return torchs_own(teacher_logits, student_logits, is_word, temperature)


def _everywhere(student_logits, teacher_logits, is_word, temperature):
    return torchs_own(student_logits, teacher_logits, torch.ones_like(is_word), temperature)


def _unsoftened(student_logits, teacher_logits, is_word, temperature):
    return torchs_own(student_logits, teacher_logits, is_word, 1.0)


MISTAKES = [
    Mistake("not_one_number", lambda example, output: output.ndim > 0),
    equals("reversed", _reversed),
    equals("padding", _everywhere),
    equals("unsoftened", _unsoftened),
    right_times("without_square", torchs_own, factor=lambda example: example["temperature"] ** -2),
    right_times("once", torchs_own, factor=lambda example: 1 / example["temperature"]),
    right_times("summed", torchs_own, factor=lambda example: float(example["is_word"].sum())),
    right_times("over_vocabulary", torchs_own, factor=lambda example: 1 / example["student_logits"].shape[-1]),
]


def equal_to_torch(soft_targets, examples):
    same_as(soft_targets, torchs_own, examples, mistakes=MISTAKES)


def _pad(example, places):
    """Further places without a word, on which the two models say different things."""
    wider = {name: pad(example[name], (0, 0, 0, places), value=3.0) for name in ("student_logits", "teacher_logits")}
    wider["teacher_logits"][:, -places:, 0] = -3.0
    return {**example, **wider, "is_word": pad(example["is_word"], (0, places))}


def more_padding(soft_targets, examples):
    padding_changes_nothing(soft_targets, examples, pad=_pad, mistakes=MISTAKES)


def equals_torch(soft_targets):
    """Your loss equals torch's own kl_div, softened, averaged over the words and scaled back."""
    equal_to_torch(soft_targets, examples())


def padding_counts_nothing(soft_targets):
    """More padding leaves it as it is."""
    more_padding(soft_targets, examples())


CHECKS = [equals_torch, padding_counts_nothing]
