"""A student begins as blocks of its teacher, without segments."""

from dataclasses import replace

import pytest
import torch
import transformers
from torch import nn

from course_lib.models.bert import BERT, BERTConfig, Classifier, MaskedLanguageModel
from course_lib.models.student import PUBLISHED_LAYERS, alternate_layers, shallower, student_of, untrained_student

SIZES = BERTConfig(40, context_size=12, blocks=6, heads=2, embedding_size=16, inner_size=24, dropout=0.0)
TOKENS = torch.randint(0, 40, (3, 12), generator=torch.Generator().manual_seed(0))


def random_everywhere(model):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return model.eval()


@pytest.fixture
def teacher():
    return random_everywhere(MaskedLanguageModel(BERT(SIZES)))


def test_the_layers_are_the_published_ones():
    assert alternate_layers(12, 6) == (0, 2, 4, 7, 9, 11)
    assert alternate_layers(6, 3) == (0, 2, 5)
    assert alternate_layers(12, 3) == (0, 6, 11)
    assert alternate_layers(12, 4) == (0, 4, 8, 11)
    assert alternate_layers(3, 3) == (0, 1, 2)
    for (larger, smaller), layers in PUBLISHED_LAYERS.items():
        assert len(layers) == smaller
        assert list(layers) == sorted(set(layers))
        assert layers[0] == 0
        assert layers[-1] < larger


def test_a_student_computes_what_its_teacher_would_with_these_blocks_alone(teacher):
    student = student_of(teacher, blocks=3).eval()
    assert student.encoder.config == replace(SIZES, blocks=3, segments=0)
    assert not any("segments" in name for name in student.state_dict())
    teacher.encoder.blocks = nn.ModuleList(teacher.encoder.blocks[layer] for layer in (0, 2, 5))
    is_word = torch.arange(12) < torch.tensor([12, 7, 3])[:, None]
    torch.testing.assert_close(student(TOKENS, is_word), teacher(TOKENS, is_word), atol=1e-5, rtol=1e-5)


def test_the_authors_way_loses_the_vector_of_sentence_a(teacher):
    student = student_of(teacher, blocks=3, segment_into_positions=False)
    assert torch.equal(student.encoder.positions.table, teacher.encoder.positions.table)
    kept = student_of(teacher, blocks=3)
    difference = kept.encoder.positions.table - student.encoder.positions.table
    expected = teacher.encoder.segments.weight[0].expand(12, -1)
    torch.testing.assert_close(difference, expected, atol=1e-6, rtol=0)


def test_a_student_shares_no_weight_with_its_teacher(teacher):
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    student = student_of(teacher, blocks=3)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_a_student_of_a_student_works_too(teacher):
    grandchild = student_of(student_of(teacher, blocks=3), layers=(0, 2)).eval()
    assert grandchild(TOKENS).shape == (3, 12, 40)


def test_an_untrained_student_has_the_same_sizes_and_other_weights(teacher):
    trained, fresh = student_of(teacher, blocks=3), untrained_student(teacher, 3)
    assert fresh.encoder.config == trained.encoder.config
    assert not torch.equal(fresh.encoder.embedding.weight, trained.encoder.embedding.weight)
    assert fresh.encoder.embedding.weight.std() < 0.03


def test_of_bert_base_a_student_has_the_published_share_of_parameters():
    # 110M and 66M in the paper; the encoders alone, since the paper's count has no head that guesses words.
    with torch.device("meta"):
        large, small = BERT(BERTConfig()), BERT(BERTConfig(blocks=6, segments=0))
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in (large, small)]
    assert counts[1] == 66_362_880  # DistilBertModel's own count
    assert counts[1] / (counts[0] + 768 * 768 + 768) == pytest.approx(0.6, abs=0.01)  # the teacher has a pooler


def test_shallower_models_of_transformers_compute_the_teachers_blocks():
    for class_, config in (
        (
            transformers.RobertaForMaskedLM,
            transformers.RobertaConfig(
                vocab_size=40, hidden_size=16, num_attention_heads=2, intermediate_size=24, num_hidden_layers=6,
                max_position_embeddings=20, pad_token_id=0,
            ),
        ),
        (
            transformers.DistilBertForMaskedLM,
            transformers.DistilBertConfig(
                vocab_size=40, dim=16, n_heads=2, n_layers=6, hidden_dim=24, max_position_embeddings=12
            ),
        ),
    ):  # fmt: skip
        teacher = random_everywhere(class_(config))
        student = shallower(teacher, blocks=3).eval()
        assert type(student) is class_
        assert student.config.num_hidden_layers == 3
        assert teacher.config.num_hidden_layers == 6
        part = teacher.base_model.encoder if hasattr(teacher.base_model, "encoder") else teacher.base_model.transformer
        part.layer = nn.ModuleList(part.layer[layer] for layer in (0, 2, 5))
        torch.testing.assert_close(student(TOKENS).logits, teacher(TOKENS).logits, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_a_student_is_refused(teacher):
    with pytest.raises(ValueError, match="no published choice takes 5 of 6 blocks"):
        student_of(teacher, blocks=5)
    with pytest.raises(ValueError, match="give either blocks"):
        student_of(teacher)
    with pytest.raises(ValueError, match="give either blocks"):
        student_of(teacher, blocks=3, layers=(0, 2, 5))
    with pytest.raises(ValueError, match=r"0 to 5, got \(0, 6\)"):
        student_of(teacher, layers=(0, 6))
    with pytest.raises(ValueError, match=r"0 to 5, got \(\)"):
        student_of(teacher, layers=())
    with pytest.raises(ValueError, match="a causal encoder cannot teach"):
        student_of(MaskedLanguageModel(BERT(SIZES, causal=True)), blocks=3)
    albert = transformers.AlbertConfig(vocab_size=40, embedding_size=8, hidden_size=16, num_attention_heads=2,
                                       intermediate_size=24, num_hidden_layers=6)  # fmt: skip
    with pytest.raises(ValueError, match="AlbertForMaskedLM has 0 lists of 6 parts"):
        shallower(transformers.AlbertForMaskedLM(albert), layers=(0,))


def test_a_bert_without_segments_classifies_and_refuses_segments():
    encoder = BERT(replace(SIZES, segments=0))
    assert Classifier(encoder, 3)(TOKENS).shape == (3, 3)
    with pytest.raises(ValueError, match="does not tell segments apart"):
        encoder(TOKENS, segments=torch.zeros_like(TOKENS))
    with pytest.raises(ValueError, match="segments must be at least 0, got -1"):
        replace(SIZES, segments=-1)
    with pytest.raises(ValueError, match="blocks must be at least 1, got 0"):
        replace(SIZES, blocks=0)
