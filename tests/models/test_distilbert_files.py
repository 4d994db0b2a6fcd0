"""A student's files are a DistilBERT's, and a DistilBERT's files are a student's."""

import json
from dataclasses import replace

import pytest
import torch
import transformers
from torch import nn

from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
from course_lib.models.bert_files import save_bert
from course_lib.models.checkpoint_files import UnsuitableCheckpoint
from course_lib.models.distilbert_files import load_distilbert, save_distilbert

SIZES = BERTConfig(
    40, context_size=12, blocks=2, heads=2, embedding_size=16, inner_size=24, segments=0, dropout=0.0
)  # fmt: skip
TOKENS = torch.randint(0, 40, (3, 12), generator=torch.Generator().manual_seed(0))
IS_WORD = torch.arange(12) < torch.tensor([12, 7, 3])[:, None]


def random_everywhere(model):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return model.eval()


def their_model(**options):
    return random_everywhere(
        transformers.DistilBertForMaskedLM(
            transformers.DistilBertConfig(
                vocab_size=40, dim=16, n_heads=2, n_layers=2, hidden_dim=24, max_position_embeddings=12, **options
            )
        )
    )


def test_transformers_reads_what_we_write(tmp_path):
    ours = random_everywhere(MaskedLanguageModel(BERT(SIZES)))
    save_distilbert(ours, tmp_path)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert type(theirs) is transformers.DistilBertForMaskedLM
    expected = theirs(TOKENS, attention_mask=IS_WORD.long()).logits
    torch.testing.assert_close(ours(TOKENS, IS_WORD)[IS_WORD], expected[IS_WORD], atol=1e-5, rtol=1e-5)
    _, info = transformers.DistilBertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@pytest.mark.parametrize("sinusoidal", [False, True])
def test_we_read_what_transformers_writes(tmp_path, sinusoidal):
    theirs = their_model(sinusoidal_pos_embds=sinusoidal)
    theirs.save_pretrained(tmp_path)
    ours = load_distilbert(tmp_path)
    assert not ours.training
    expected = theirs(TOKENS, attention_mask=IS_WORD.long())
    torch.testing.assert_close(ours(TOKENS, IS_WORD)[IS_WORD], expected.logits[IS_WORD], atol=1e-5, rtol=1e-5)


def test_a_round_trip_in_half_precision_rounds_and_nothing_else(tmp_path):
    ours = random_everywhere(MaskedLanguageModel(BERT(SIZES)))
    save_distilbert(ours, tmp_path, torch.float16)
    back = load_distilbert(tmp_path)
    assert back.encoder.config == SIZES
    for name, tensor in ours.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor.half().float())


def test_what_is_no_distilbert_is_not_written_as_one(tmp_path):
    for encoder in (
        BERT(replace(SIZES, segments=2)),
        BERT(SIZES, causal=True),
        BERT(replace(SIZES, norm_epsilon=1e-5)),
    ):
        with pytest.raises(ValueError, match="a DistilBERT has no segments, looks both ways"):
            save_distilbert(MaskedLanguageModel(encoder), tmp_path)
    with pytest.raises(ValueError, match="save it as a DistilBERT"):
        save_bert(MaskedLanguageModel(BERT(SIZES)), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "bert"}, "holds a 'bert' model; this loads 'distilbert'"),
        ({"activation": "relu"}, "activation='relu' is not supported"),
        ({"n_layers": 3}, "lacks distilbert.transformer.layer.2"),
        ({"dim": 32}, "do not fit config.json"),
    ],
)
def test_a_config_that_we_do_not_compute_is_refused(tmp_path, change, message):
    save_distilbert(MaskedLanguageModel(BERT(SIZES)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UnsuitableCheckpoint, match=message):
        load_distilbert(tmp_path)


def test_a_checkpoint_without_the_head_and_a_config_without_a_size_are_refused(tmp_path):
    theirs = their_model()
    theirs.distilbert.save_pretrained(tmp_path)
    with pytest.raises(UnsuitableCheckpoint, match="lacks"):
        load_distilbert(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["n_heads"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsuitableCheckpoint, match="lacks 'n_heads'"):
        load_distilbert(tmp_path)
