"""A student beside its teacher: what the loss is made of, on our networks and on transformers', and that it learns."""

import copy
from dataclasses import asdict, replace

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from course_lib.data.masking import NOT_ASKED, DynamicMasking, MaskedBatch, MaskingRule, mask_words
from course_lib.models.bert import BERT, BERTConfig, Classifier, MaskedLanguageModel
from course_lib.models.bert_files import save_bert
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.student import student_of
from course_lib.training.classification import labelled_batch
from course_lib.training.distillation import Distillation, Objective, distil
from course_lib.training.distillation_losses import ONE_GPU, LossWeights
from course_lib.training.history import NonFiniteLossError
from course_lib.training.reading import Reader, label_scores
from course_lib.training.task_distillation import TaskDistillation, distil_task

SIZES = BERTConfig(40, context_size=12, blocks=2, heads=2, embedding_size=16, inner_size=24, dropout=0.0)
RULE = MaskingRule(mask_token=4, vocabulary_size=40, special_tokens=(0, 1, 2, 3, 4))
ALL_TERMS = LossWeights(ce=5.0, mlm=2.0, cosine=1.0, mse=0.25)


def random_everywhere(model, seed=0, std=0.3):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return model.eval()


@pytest.fixture
def teacher():
    return random_everywhere(MaskedLanguageModel(BERT(SIZES)))


@pytest.fixture
def student(teacher):
    return student_of(teacher, layers=(0,))


@pytest.fixture
def batch():
    tokens = torch.randint(5, 40, (4, 12), generator=torch.Generator().manual_seed(1))
    is_word = torch.arange(12) < torch.tensor([12, 9, 5, 7])[:, None]
    tokens = tokens.masked_fill(~is_word, 0)
    return replace(mask_words(tokens, RULE, torch.Generator().manual_seed(2)), is_word=is_word)


def original_loss(student, teacher, batch, objective):
    """The published arithmetic, written on full tensors as the authors' distiller has it: the reference."""
    s_logits, t_logits = (model(batch.tokens, batch.is_word) for model in (student, teacher))
    s_states, t_states = (model.encoder(batch.tokens, batch.is_word).states for model in (student, teacher))
    rows = batch.labels > -1 if objective.restrict_ce_to_mask else batch.is_word
    mask = rows.unsqueeze(-1).expand_as(s_logits)
    s_chosen = torch.masked_select(s_logits, mask).view(-1, s_logits.size(-1))
    t_chosen = torch.masked_select(t_logits, mask).view(-1, s_logits.size(-1))
    temperature, weights = objective.temperature, objective.weights
    ce = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(s_chosen / temperature, dim=-1), F.softmax(t_chosen / temperature, dim=-1)
    )
    mlm = nn.CrossEntropyLoss(ignore_index=-100)(s_logits.flatten(0, 1), batch.labels.flatten())
    mse = nn.MSELoss(reduction="sum")(s_chosen, t_chosen) / len(s_chosen)
    mask = batch.is_word.unsqueeze(-1).expand_as(s_states)
    s_chosen = torch.masked_select(s_states, mask).view(-1, s_states.size(-1))
    t_chosen = torch.masked_select(t_states, mask).view(-1, s_states.size(-1))
    cosine = nn.CosineEmbeddingLoss()(s_chosen, t_chosen, torch.ones(len(s_chosen)))
    terms = {"ce": ce * temperature**2, "mlm": mlm, "cosine": cosine, "mse": mse}
    return sum(getattr(weights, name) * term for name, term in terms.items()), terms


@pytest.mark.parametrize("restricted", [False, True])
def test_loss_and_gradient_are_the_originals(student, teacher, batch, restricted):
    objective = Objective(ALL_TERMS, temperature=2.0, restrict_ce_to_mask=restricted)
    expected, expected_terms = original_loss(student, teacher, batch, objective)
    expected.backward()
    gradients = [parameter.grad.clone() for parameter in student.parameters()]
    student.zero_grad()
    teacher.zero_grad()
    loss, terms = Distillation(teacher, objective)(Reader(student), batch)
    torch.testing.assert_close(loss, expected)
    for name, term in expected_terms.items():
        torch.testing.assert_close(terms[name], term)
    loss.backward()
    for parameter, gradient in zip(student.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-5, rtol=1e-4)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_restricted_it_compares_hidden_words_alone_and_else_every_word(student, teacher, batch):
    """What is said at words that are not hidden counts only without the restriction; padding never."""

    class Changed(nn.Module):
        """The student, with other scores where `where` is True."""

        def __init__(self, where):
            super().__init__()
            self.where = where

        def forward(self, tokens, is_word, places):
            logits, states = Reader(student)(tokens, is_word, None)
            logits = logits.view(*tokens.shape, -1) + 9 * torch.eye(40)[7] * self.where[..., None]
            return logits[places], states

    hidden = batch.labels != NOT_ASKED
    nowhere, elsewhere = torch.zeros_like(hidden), batch.is_word & ~hidden
    for restricted, counts in ((False, True), (True, False)):
        loss = Distillation(teacher, Objective(LossWeights(1, 0, 0), restrict_ce_to_mask=restricted))
        same, _ = loss(Changed(nowhere), batch)
        other, _ = loss(Changed(elsewhere), batch)
        assert torch.equal(same, other) != counts
        padding, _ = loss(Changed(~batch.is_word), batch)
        assert torch.equal(same, padding)


def test_each_term_can_be_left_out(student, teacher, batch):
    whole, terms = Distillation(teacher, Objective(ONE_GPU))(Reader(student), batch)
    for name in ("ce", "mlm", "cosine"):
        without, rest = Distillation(teacher, Objective(replace(ONE_GPU, **{name: 0.0})))(Reader(student), batch)
        assert set(rest) == set(terms) - {name}
        torch.testing.assert_close(without, whole - getattr(ONE_GPU, name) * terms[name], atol=1e-4, rtol=1e-4)


def test_without_a_term_that_needs_it_the_teacher_is_not_asked(student, teacher, batch, monkeypatch):
    distillation = Distillation(teacher, Objective(LossWeights(ce=0, mlm=1, cosine=0)))
    monkeypatch.setattr(distillation.teacher, "forward", None)
    loss, _ = distillation(Reader(student), batch)
    hidden = batch.labels != NOT_ASKED
    expected = F.cross_entropy(student(batch.tokens, batch.is_word)[hidden], batch.labels[hidden])
    torch.testing.assert_close(loss, expected)


def test_a_student_that_is_its_teacher_owes_nothing(teacher, batch):
    twin = student_of(teacher, layers=(0, 1))
    _, terms = Distillation(teacher, Objective(ALL_TERMS))(Reader(twin), batch)
    for name in ("ce", "cosine", "mse"):
        torch.testing.assert_close(terms[name], torch.tensor(0.0), atol=1e-5, rtol=0)


def test_dropout_of_the_teacher_is_off_and_of_the_student_on(batch):
    teacher = random_everywhere(MaskedLanguageModel(BERT(replace(SIZES, dropout=0.5)))).train()
    student = student_of(teacher, layers=(0, 1)).train()
    loss = Distillation(teacher, Objective(LossWeights(1, 0, 0)))
    torch.manual_seed(0)
    one, two = (loss(Reader(student), batch)[0] for _ in range(2))
    assert not torch.equal(one, two)
    student.eval()
    assert loss(Reader(student), batch)[0].abs() < 1e-5


def test_transformers_models_give_the_same_loss_as_ours(student, teacher, batch, tmp_path):
    save_bert(teacher, tmp_path)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    for restricted in (False, True):
        objective = Objective(ALL_TERMS, restrict_ce_to_mask=restricted)
        expected, _ = Distillation(teacher, objective)(Reader(student), batch)
        loss, _ = Distillation(theirs, objective)(Reader(student), batch)
        torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
        backwards, _ = Distillation(student, objective)(Reader(theirs), batch)
        expected, _ = Distillation(student, objective)(Reader(teacher), batch)
        torch.testing.assert_close(backwards, expected, atol=1e-4, rtol=1e-4)


def test_any_encoder_of_transformers_can_teach_and_learn(batch):
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(0)
    roberta = transformers.RobertaForMaskedLM(
        transformers.RobertaConfig(**sizes, num_hidden_layers=2, max_position_embeddings=20, pad_token_id=0)
    )
    small = transformers.DistilBertForMaskedLM(
        transformers.DistilBertConfig(
            vocab_size=40, dim=16, n_heads=2, n_layers=1, hidden_dim=24, max_position_embeddings=12
        )
    )
    loss, terms = Distillation(roberta)(Reader(small), batch)
    loss.backward()
    assert set(terms) == {"ce", "mlm", "cosine"}
    assert all(parameter.grad is not None for parameter in small.parameters())


def test_a_causal_student_learns_next_words_beside_transformers_own_loss():
    sizes = GPTConfig(vocabulary_size=40, context_size=12, blocks=2, heads=2, embedding_size=16, dropout=0.0)
    torch.manual_seed(0)
    teacher, student = GPT(sizes), GPT(replace(sizes, blocks=1))
    tokens = torch.randint(5, 40, (3, 12), generator=torch.Generator().manual_seed(3))
    objective = Objective(LossWeights(ce=5.0, mlm=0.0, cosine=1.0, causal=2.0))
    _, terms = Distillation(teacher, objective)(Reader(student), MaskedBatch(tokens, tokens))
    expected = F.cross_entropy(student(tokens).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(terms["causal"], expected)
    assert set(terms) == {"ce", "cosine", "causal"}


def test_it_learns_and_goes_on_where_it_was_killed(student, teacher, tmp_path):
    rows = [torch.randint(5, 40, (12,), generator=torch.Generator().manual_seed(seed)) for seed in range(32)]
    loader = DataLoader(rows, batch_size=8, shuffle=True, collate_fn=DynamicMasking(RULE))
    victim, successor = copy.deepcopy(student), copy.deepcopy(student)
    options = {"steps": 30, "learning_rate": 2e-2, "seed": 3}
    scores = []

    def evaluate(model):
        assert isinstance(model, MaskedLanguageModel)
        scores.append(model)
        return {"parameters": 1.0}

    whole = distil(student, teacher, loader, evaluate=evaluate, evaluate_every=15, **options)
    assert len(scores) == 2
    for term in ("ce", "mlm", "cosine"):  # the words are random, so that nobody can guess them well
        assert whole.measures[term][-1] < (0.95 if term == "mlm" else 0.7) * whole.measures[term][0]

    def killed(step, model):
        if step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(victim, teacher, loader, checkpoints=tmp_path, checkpoint_every=10, on_step=killed, **options)
    resumed = distil(successor, teacher, loader, checkpoints=tmp_path, **options)
    assert resumed.resumed_from == 10
    assert resumed.losses == whole.losses
    assert all(map(torch.equal, successor.state_dict().values(), student.state_dict().values()))


def test_it_learns_in_bf16(student, teacher):
    rows = [torch.randint(5, 40, (12,), generator=torch.Generator().manual_seed(seed)) for seed in range(16)]
    loader = DataLoader(rows, batch_size=8, collate_fn=DynamicMasking(RULE))
    result = distil(student, teacher, loader, steps=20, learning_rate=5e-3, mixed_precision="bf16")
    assert result.losses[-1] < result.losses[0]


def test_what_cannot_work_is_refused(student, teacher, batch):
    with pytest.raises(ValueError, match=r"temperature must be above 0, got 0\.0"):
        Objective(temperature=0.0)
    with pytest.raises(ValueError, match="a causal student sees none"):
        Objective(LossWeights(1, 0, 1, causal=1), restrict_ce_to_mask=True)
    other = MaskedLanguageModel(BERT(replace(SIZES, vocabulary_size=41)))
    with pytest.raises(ValueError, match="the student has 41 words in the vocabulary, the teacher 40"):
        Distillation(teacher)(Reader(other), batch)
    wide = MaskedLanguageModel(BERT(replace(SIZES, embedding_size=32)))
    with pytest.raises(ValueError, match="the student has 32 numbers in a state, the teacher 16"):
        Distillation(teacher)(Reader(wide), batch)
    with pytest.raises(TypeError, match="got Linear"):
        Distillation(nn.Linear(2, 2))
    nothing = replace(batch, labels=torch.full_like(batch.labels, NOT_ASKED))
    with pytest.raises(ValueError, match="nothing is masked in this batch"):
        Distillation(teacher, Objective(restrict_ce_to_mask=True))(Reader(student), nothing)
    rows = [torch.full((12,), 2)] * 4
    loader = DataLoader(rows, batch_size=4, collate_fn=DynamicMasking(RULE))
    with pytest.raises(NonFiniteLossError):
        distil(student, teacher, loader, steps=1)


LABELLED = [(torch.tensor([2, 5 + number % 2, *[9] * (number % 4), 3]), number % 2) for number in range(32)]


def test_a_task_is_learned_from_labels_and_a_teacher(teacher):
    expert = random_everywhere(Classifier(teacher.encoder, labels=2), seed=4)
    pupil = Classifier(student_of(teacher, layers=(0,)).encoder, labels=2)
    batch = labelled_batch(LABELLED[:6])
    loss, terms = TaskDistillation(expert)(pupil, batch)
    logits, taught = pupil(batch.tokens, batch.is_word), expert(batch.tokens, batch.is_word)
    ce = nn.KLDivLoss(reduction="batchmean")(F.log_softmax(logits / 2, -1), F.softmax(taught / 2, -1)) * 4
    torch.testing.assert_close(loss, 0.5 * ce + 0.5 * F.cross_entropy(logits, batch.labels))
    assert set(terms) == {"ce", "task", "accuracy"}
    result = distil_task(pupil, expert, LABELLED, steps=40, batch_size=8, learning_rate=5e-3)
    assert result.losses[-1] < 0.5 * result.losses[0]


def test_transformers_classifiers_can_teach_a_task(teacher, tmp_path):
    expert = random_everywhere(Classifier(teacher.encoder, labels=2), seed=4)
    save_bert(expert, tmp_path)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    batch = labelled_batch(LABELLED[:6])
    ours = expert(batch.tokens, batch.is_word)
    torch.testing.assert_close(label_scores(theirs, batch.tokens, batch.is_word), ours, atol=1e-5, rtol=1e-5)


def test_bad_task_teachers_are_refused(teacher):
    expert, pupil = Classifier(teacher.encoder, labels=3), Classifier(teacher.encoder, labels=2)
    batch = labelled_batch(LABELLED[:6])
    with pytest.raises(ValueError, match="the student knows 2 labels, its teacher 3"):
        TaskDistillation(expert)(pupil, batch)
    with pytest.raises(TypeError, match="got Linear"):
        TaskDistillation(nn.Linear(2, 2))(pupil, batch)
    with pytest.raises(ValueError, match="not both 0, got 0 and 0"):
        TaskDistillation(expert, teacher_weight=0, task_weight=0)
    with pytest.raises(ValueError, match="temperature must be above 0, got -1"):
        TaskDistillation(expert, temperature=-1)


def test_the_readme_weighting_is_the_default():
    assert asdict(Objective()) == {"weights": asdict(ONE_GPU), "temperature": 2.0, "restrict_ce_to_mask": False}
