"""Our LongT5 against transformers', its files both ways, and what must hold of any encoder-decoder."""

import json
from dataclasses import replace

import pytest
import torch
import transformers

from course_lib.models.checkpoint_files import UnsuitableCheckpoint
from course_lib.models.long_t5 import LongT5, LongT5Config, answer_loss, shifted
from course_lib.models.long_t5_files import load_long_t5, save_long_t5

THEIRS = {
    "vocab_size": 53,
    "d_model": 24,
    "d_kv": 5,
    "d_ff": 40,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 3,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}
OURS = LongT5Config(
    53, 24, 2, 3, heads=3, head_size=5, inner_size=40, block=8, summary_of=4, tied=True, scaled_output=True
)
LENGTHS = (3, 8, 16, 21, 40)  # below one summary's words; whole blocks; neither


def random_everywhere(model, std=0.3):
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return model.eval()


def theirs_of(kind, scaled=True):
    if kind == "full":
        config = transformers.T5Config(**THEIRS, tie_word_embeddings=scaled)
        return random_everywhere(transformers.T5ForConditionalGeneration(config))
    config = transformers.LongT5Config(
        **THEIRS, encoder_attention_type=kind, local_radius=7, global_block_size=4, tie_word_embeddings=scaled
    )
    return random_everywhere(transformers.LongT5ForConditionalGeneration(config))


def batch(length):
    generator = torch.Generator().manual_seed(length)
    tokens = torch.randint(2, 53, (3, length), generator=generator)
    before = torch.randint(2, 53, (3, 6), generator=generator)
    before[:, 0] = 0
    is_word = torch.arange(length) < torch.tensor([[length], [max(1, length - 5)], [max(1, length // 3)]])
    return tokens, before, is_word


@pytest.mark.parametrize("kind", ["transient-global", "local", "full"])
@pytest.mark.parametrize("length", LENGTHS)
def test_it_equals_transformers_read_from_its_files(tmp_path, kind, length):
    theirs = theirs_of(kind)
    theirs.save_pretrained(tmp_path)
    ours = load_long_t5(tmp_path)
    tokens, before, is_word = batch(length)
    expected = theirs(tokens, attention_mask=is_word.long(), decoder_input_ids=before).logits
    torch.testing.assert_close(ours(tokens, before, is_word), expected, atol=1e-5, rtol=1e-5)
    expected = theirs(tokens, decoder_input_ids=before).logits
    torch.testing.assert_close(ours(tokens, before), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["transient-global", "local", "full"])
@pytest.mark.parametrize("scaled", [True, False])
def test_transformers_reads_what_we_write(tmp_path, kind, scaled):
    ours = random_everywhere(LongT5(replace(OURS, attention=kind, scaled_output=scaled)))
    save_long_t5(ours, tmp_path)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    tokens, before, is_word = batch(21)
    expected = theirs(tokens, attention_mask=is_word.long(), decoder_input_ids=before).logits
    torch.testing.assert_close(ours(tokens, before, is_word), expected, atol=1e-5, rtol=1e-5)
    again = load_long_t5(tmp_path)
    assert again.config == ours.config
    assert torch.equal(again(tokens, before, is_word), ours(tokens, before, is_word))


def test_an_output_matrix_of_its_own_survives_the_files(tmp_path):
    ours = random_everywhere(LongT5(replace(OURS, tied=False, scaled_output=False)))
    save_long_t5(ours, tmp_path)
    tokens, before, is_word = batch(16)
    again = load_long_t5(tmp_path)
    assert not again.config.tied
    assert torch.equal(again(tokens, before, is_word), ours(tokens, before, is_word))


def test_the_gradients_are_transformers_own(tmp_path):
    theirs = theirs_of("transient-global")
    theirs.save_pretrained(tmp_path)
    ours = load_long_t5(tmp_path)
    tokens, before, is_word = batch(21)
    labels = torch.roll(before, -1, 1)
    labels[:, -1] = -100
    expected = theirs(tokens, attention_mask=is_word.long(), decoder_input_ids=before, labels=labels).loss
    loss = answer_loss(ours(tokens, before, is_word), labels)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    expected.backward()
    ours_block, their_block = ours.encoder.blocks[0], theirs.encoder.block[0].layer[0].TransientGlobalSelfAttention
    pairs = [
        (ours.embedding.weight, theirs.shared.weight),
        (ours.encoder.summary_positions.table.weight, their_block.global_relative_attention_bias.weight),
        (ours.encoder.positions.table.weight, their_block.relative_attention_bias.weight),
        (ours_block.attention.key.weight, their_block.k.weight),
        (ours_block.attention.summary_norm.weight, their_block.global_input_layer_norm.weight),
    ]
    for mine, other in pairs:
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_padding_and_neighbours_change_nothing():
    model = random_everywhere(LongT5(OURS))
    tokens, before, is_word = batch(21)
    alone = model(tokens[1:2, :16], before[1:2])
    torch.testing.assert_close(model(tokens, before, is_word)[1:2], alone, atol=1e-4, rtol=1e-4)
    other = tokens.masked_fill(~is_word, 7)
    assert torch.equal(model(tokens, before, is_word), model(other, before, is_word))


def test_a_far_word_reaches_a_place_through_its_summary_alone():
    tokens, _, _ = batch(40)
    changed = tokens.clone()
    changed[:, 39] = (tokens[:, 39] + 1) % 53
    whole = torch.ones_like(tokens, dtype=torch.bool)
    one_block = {"encoder_blocks": 1}
    for kind, sees in (("transient-global", True), ("local", False), ("full", True)):
        model = random_everywhere(LongT5(replace(OURS, attention=kind, **one_block)))
        states = [model.encoder(model.embedding(each), whole)[:, 0] for each in (tokens, changed)]
        assert torch.equal(*states) != sees, kind


def test_with_a_cache_each_word_gets_the_same_scores():
    model = random_everywhere(LongT5(OURS))
    tokens, before, is_word = batch(21)
    memory, cache = model.read(tokens, is_word), model.empty_cache(6)
    pieces = [before[:, :2], before[:, 2:3], before[:, 3:]]
    steps = torch.cat([model.write(memory, piece, cache) for piece in pieces], dim=1)
    torch.testing.assert_close(steps, model(tokens, before, is_word), atol=1e-5, rtol=1e-5)


def test_checkpointing_changes_no_gradient():
    tokens, before, is_word = batch(21)
    gradients = []
    for wanted in (False, True):
        model = random_everywhere(LongT5(OURS)).train()
        model.use_checkpointing(wanted)
        answer_loss(model(tokens, before, is_word), before).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, saved in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, saved)


def test_a_model_in_half_precision_stays_finite_where_all_is_padding():
    model = random_everywhere(LongT5(OURS))
    tokens, before, is_word = batch(40)
    is_word[2] = torch.arange(40) < 5  # whole blocks without a word
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(model(tokens, before, is_word)).all()
        assert torch.isfinite(model.encoder(model.embedding(tokens), is_word)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["transient-global", "full"])
def test_a_gpu_in_bfloat16_finds_the_same_gradients_nearly(kind):
    tokens, before, is_word = batch(40)
    gradients = []
    for device in ("cpu", "cuda"):
        model = random_everywhere(LongT5(replace(OURS, attention=kind, head_size=8)), std=0.1).to(device).train()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(tokens.to(device), before.to(device), is_word.to(device))
        answer_loss(logits, before.to(device)).backward()
        gradients.append({name: parameter.grad.cpu() for name, parameter in model.named_parameters()})
    for name, expected in gradients[0].items():
        found = gradients[1][name]
        assert torch.isfinite(found).all(), name
        assert (found - expected).norm() < 0.1 * expected.norm() + 1e-4, name


def test_the_decoder_reads_the_labels_one_place_later():
    labels = torch.tensor([[5, 6, 1, -100], [7, 1, -100, -100]])
    assert shifted(labels).tolist() == [[0, 5, 6, 1], [0, 7, 1, 0]]
    assert labels[0, 0] == 5


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="attention must be one of transient-global, local, full, got 'sparse'"):
        LongT5Config(attention="sparse")
    with pytest.raises(ValueError, match="block must be at least 1, got 0"):
        LongT5Config(block=0)
    with pytest.raises(ValueError, match="nothing to read"):
        LongT5(OURS).read(torch.zeros(1, 0, dtype=torch.long))
    save_long_t5(LongT5(OURS), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"feed_forward_proj": "relu"}))
    with pytest.raises(UnsuitableCheckpoint, match=r"feed_forward_proj='relu' is not supported"):
        load_long_t5(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "bart"}))
    with pytest.raises(UnsuitableCheckpoint, match="holds a 'bart' model"):
        load_long_t5(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"d_model": 25}))
    with pytest.raises(UnsuitableCheckpoint, match="do not fit"):
        load_long_t5(tmp_path)
