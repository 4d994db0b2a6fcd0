"""The terms of the triple loss against torch's own, and each published fault told from the right thing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_lib.training.distillation_losses import (
    ONE_GPU,
    SEVERAL_GPUS,
    LossWeights,
    cosine_loss,
    hidden_word_loss,
    logit_distance,
    next_word_labels,
    soft_target_loss,
)


def logits(seed, places=7, vocabulary=13):
    return 3 * torch.randn(places, vocabulary, generator=torch.Generator().manual_seed(seed))


def states(seed, batch=3, length=5, size=8):
    return torch.randn(batch, length, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
def test_the_soft_targets_equal_torchs_divergence_times_the_temperature_squared(temperature):
    student, teacher = logits(0), logits(1)
    expected = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(student / temperature, dim=-1), F.softmax(teacher / temperature, dim=-1)
    )
    torch.testing.assert_close(soft_target_loss(student, teacher, temperature), expected * temperature**2)


def test_without_the_square_of_the_temperature_the_gradient_would_fade():
    # Small logits: the gradient of T² KL is (z_s - z_t) / vocabulary at every high temperature (Hinton 2015, eq. 4).
    student, teacher = (0.01 * logits(seed) for seed in (0, 1))
    student, teacher = student - student.mean(-1, keepdim=True), teacher - teacher.mean(-1, keepdim=True)
    for temperature in (5.0, 50.0):
        leaf = student.clone().requires_grad_()
        soft_target_loss(leaf, teacher, temperature).backward()
        torch.testing.assert_close(leaf.grad, (student - teacher) / student.numel(), atol=1e-6, rtol=0.02)


def test_the_divergence_is_from_the_teacher_to_the_student_not_back():
    student, teacher = logits(0), logits(1)
    forth, back = soft_target_loss(student, teacher), soft_target_loss(teacher, student)
    assert abs(forth - back) > 0.1
    # A student that gives a likely word of the teacher nothing is punished much more than the other way round.
    sure, unsure = torch.tensor([[30.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    assert soft_target_loss(sure, unsure, 1.0) > 10 * soft_target_loss(unsure, sure, 1.0)


@given(st.integers(0, 10_000), st.floats(0.1, 20))
def test_the_divergence_is_never_negative_and_zero_for_equal_distributions(seed, temperature):
    student = logits(seed)
    assert soft_target_loss(student, logits(seed + 1), temperature) > 0
    assert soft_target_loss(student, student + 5.0, temperature).abs() < 1e-4  # a constant changes no softmax


def test_certain_teachers_give_finite_gradients():
    student = logits(0).requires_grad_()
    soft_target_loss(student, 1e4 * logits(1), 1.0).backward()
    assert student.grad.isfinite().all()


def test_the_cosine_equals_torchs_embedding_loss_over_the_words_alone():
    student, teacher = states(0), states(1)
    is_word = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    target = torch.ones(int(is_word.sum()))
    expected = nn.CosineEmbeddingLoss()(student[is_word], teacher[is_word], target)
    torch.testing.assert_close(cosine_loss(student, teacher, is_word), expected)
    everywhere = nn.CosineEmbeddingLoss()(student.flatten(0, 1), teacher.flatten(0, 1), torch.ones(15))
    torch.testing.assert_close(cosine_loss(student, teacher), everywhere)
    assert not torch.isclose(expected, everywhere, rtol=1e-3)  # so that a cosine over padding is told apart


def test_padding_changes_neither_the_cosine_nor_its_gradient():
    student, teacher = states(0).requires_grad_(), states(1)
    is_word = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    loss = cosine_loss(student, teacher, is_word)
    loss.backward()
    assert not student.grad[~is_word].any()
    assert torch.equal(cosine_loss(student, teacher + 100.0 * ~is_word[..., None], is_word), loss)


def test_the_cosine_sees_directions_and_no_lengths():
    student = states(0)
    torch.testing.assert_close(cosine_loss(student, 7 * student), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(cosine_loss(student, -student), torch.tensor(2.0))


def test_the_other_terms_equal_torchs():
    student, teacher = logits(0), logits(1)
    labels = torch.tensor([3, -100, 0, 12, -100, -100, 5])
    expected = nn.CrossEntropyLoss(ignore_index=-100)(student, labels)
    torch.testing.assert_close(hidden_word_loss(student, labels), expected)
    expected = nn.MSELoss(reduction="sum")(student, teacher) / len(student)
    torch.testing.assert_close(logit_distance(student, teacher), expected)


def test_the_causal_labels_are_the_next_words():
    labels = torch.tensor([[4, 5, 6, -100], [7, 8, 9, 3]])
    assert next_word_labels(labels).tolist() == [[5, 6, -100, -100], [8, 9, 3, -100]]


def test_the_published_weightings():
    assert LossWeights(5.0, 2.0, 1.0, 0.0, 0.0) == ONE_GPU
    assert LossWeights(0.33, 0.33, 0.33, 0.0, 0.0) == SEVERAL_GPUS
    assert ONE_GPU.need_teacher
    assert not LossWeights(ce=0, mlm=1, cosine=0).need_teacher


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"ce": -1.0, "mlm": 1.0, "cosine": 1.0}, "the weight ce must be 0 or more, got -1.0"),
        ({"ce": float("nan"), "mlm": 1.0, "cosine": 1.0}, "the weight ce must be 0 or more, got nan"),
        ({"ce": 0.0, "mlm": 0.0, "cosine": 0.0}, "nothing to learn"),
        ({"ce": 5.0, "mlm": 2.0, "cosine": 1.0, "causal": 0.5}, "set one of them to 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        LossWeights(**weights)


def test_a_temperature_of_zero_and_a_comparison_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"temperature must be above 0, got 0\.0"):
        soft_target_loss(logits(0), logits(1), 0.0)
    with pytest.raises(ValueError, match="no place at which to compare"):
        soft_target_loss(logits(0)[:0], logits(1)[:0])
