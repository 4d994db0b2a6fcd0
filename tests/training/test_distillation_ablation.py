"""Each row of the ablation differs from the whole by what its name says, and by nothing else."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

from course_lib.data.masking import DynamicMasking, MaskingRule
from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
from course_lib.models.student import student_of
from course_lib.training import distillation_ablation
from course_lib.training.distillation import Objective, distil
from course_lib.training.distillation_ablation import ABLATIONS, PUBLISHED_CHANGES, taught_student
from course_lib.training.distillation_losses import ONE_GPU

SIZES = BERTConfig(40, context_size=12, blocks=6, heads=2, embedding_size=16, inner_size=24, dropout=0.0)


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return MaskedLanguageModel(BERT(SIZES)).eval()


@pytest.fixture
def loader():
    rows = [torch.randint(5, 40, (12,), generator=torch.Generator().manual_seed(seed)) for seed in range(32)]
    return DataLoader(rows, batch_size=8, shuffle=True, collate_fn=DynamicMasking(MaskingRule(4, 40, (0, 1, 2, 3, 4))))


def test_the_rows_leave_out_what_they_are_named_for():
    assert ABLATIONS["full"].weights == ABLATIONS["random_start"].weights == ONE_GPU
    for term in ("ce", "cosine", "mlm"):
        assert ABLATIONS[f"without_{term}"].weights == replace(ONE_GPU, **{term: 0.0})
        assert ABLATIONS[f"without_{term}"].from_teacher
    for name in ("teacher_silent", "no_distillation"):
        assert not ABLATIONS[name].weights.need_teacher
    assert {name for name, row in ABLATIONS.items() if not row.from_teacher} == {"random_start", "no_distillation"}
    assert set(PUBLISHED_CHANGES) < set(ABLATIONS)
    assert min(PUBLISHED_CHANGES, key=PUBLISHED_CHANGES.get) == "random_start"


def test_the_full_row_is_a_plain_distillation(teacher, loader):
    student = taught_student(ABLATIONS["full"], teacher, loader, blocks=3, steps=3, seed=5)
    plain = student_of(teacher, 3)
    distil(plain, teacher, loader, steps=3, seed=5)
    assert all(map(torch.equal, student.state_dict().values(), plain.state_dict().values()))
    assert not student.training


def test_a_random_start_depends_on_the_seed_alone(teacher, loader, monkeypatch):
    monkeypatch.setattr(distillation_ablation, "distil", lambda *arguments, **options: None)
    starts = []
    for seed in (0, 0, 1):
        torch.rand(seed + 3)
        starts.append(taught_student(ABLATIONS["random_start"], teacher, loader, blocks=3, steps=1, seed=seed))
    first, same, other = (start.encoder.embedding.weight for start in starts)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.equal(first, teacher.encoder.embedding.weight)


def test_temperature_and_restriction_are_those_asked_for(teacher, loader, monkeypatch):
    asked = []
    monkeypatch.setattr(distillation_ablation, "distil", lambda *a, objective, **o: asked.append(objective))
    given = Objective(temperature=3.0, restrict_ce_to_mask=True)
    taught_student(ABLATIONS["without_ce"], teacher, loader, blocks=3, steps=1, objective=given)
    assert asked == [replace(given, weights=ABLATIONS["without_ce"].weights)]
