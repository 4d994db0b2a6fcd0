"""Our GPT against transformers' GPT-2, its files both ways, and the invariances of a causal model."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

from course_lib.models.checkpoint_files import UnsuitableCheckpoint
from course_lib.models.gpt import GPT, GPTConfig, next_token_loss
from course_lib.models.gpt_files import load_gpt, save_gpt

SIZES = GPTConfig(vocabulary_size=61, context_size=24, blocks=3, heads=4, embedding_size=32)


def transformers_gpt(**changes) -> transformers.GPT2LMHeadModel:
    sizes = {"vocab_size": 61, "n_positions": 24, "n_layer": 3, "n_head": 4, "n_embd": 32} | changes
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, attn_implementation="eager")
    )
    for name, parameter in model.named_parameters():
        if "ln_" in name or "bias" in name:
            torch.nn.init.normal_(parameter, std=0.3)  # zeros and ones would hide a mistake
    return model.eval()


@pytest.fixture
def tokens():
    return torch.randint(0, 61, (2, 11), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def gpt():
    torch.manual_seed(0)
    return GPT(SIZES).eval()


@pytest.mark.parametrize("changes", [{}, {"n_layer": 1, "n_head": 1}, {"n_inner": 48}, {"layer_norm_epsilon": 1e-3}])
def test_it_equals_transformers_gpt2_read_from_its_files(tmp_path, tokens, changes):
    theirs = transformers_gpt(**changes)
    theirs.save_pretrained(tmp_path)
    ours = load_gpt(tmp_path)
    expected = theirs(tokens, output_attentions=True)
    found = ours(tokens, want_weights=True)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)
    for mine, other in zip(found.weights, expected.attentions, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours(tokens).logits, expected.logits, atol=1e-5, rtol=0)  # the fused way


def test_transformers_reads_what_we_write(tmp_path, gpt, tokens):
    save_gpt(gpt, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(theirs(tokens).logits, gpt(tokens).logits, atol=1e-5, rtol=0)
    assert theirs.config.n_positions == 24
    again = load_gpt(tmp_path)
    assert again.config == gpt.config
    assert all(torch.equal(mine, other) for mine, other in zip(gpt.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("end_token", [None, 7])
def test_transformers_ends_a_text_where_we_say(tmp_path, gpt, end_token):
    save_gpt(gpt, tmp_path, end_token=end_token)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.generation_config.eos_token_id == end_token


def test_half_precision_on_disk_is_half_the_size_and_nearly_the_same(tmp_path, gpt, tokens):
    save_gpt(gpt, tmp_path / "full")
    save_gpt(gpt, tmp_path / "half", torch.float16)
    full, half = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.6 * full
    torch.testing.assert_close(load_gpt(tmp_path / "half")(tokens).logits, gpt(tokens).logits, atol=1e-2, rtol=0)


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        small = GPT(GPTConfig())
    assert sum(parameter.numel() for parameter in small.parameters()) == 124_439_808


def test_cached_reading_gives_the_same_scores_in_pieces_of_any_size(gpt, tokens):
    whole = gpt(tokens).logits
    for pieces in ([11], [1] * 11, [4, 1, 6], [10, 1]):
        cache = gpt.empty_cache()
        read = torch.cat([gpt(piece, cache=cache).logits for piece in tokens.split(pieces, dim=1)], dim=1)
        torch.testing.assert_close(read, whole, atol=1e-5, rtol=0)
        assert cache.length == 11


def test_a_cut_cache_goes_on_from_there(gpt, tokens):
    cache = gpt.empty_cache()
    gpt(tokens, cache=cache)
    cache.cut(5)
    torch.testing.assert_close(gpt(tokens[:, 5:], cache=cache).logits, gpt(tokens).logits[:, 5:], atol=1e-5, rtol=0)
    cache.keep(torch.tensor([1, 1, 0]))
    row = gpt(tokens[[1, 1, 0], :1], cache=cache).logits
    torch.testing.assert_close(row[0], row[1])
    with pytest.raises(ValueError, match="holds 12 tokens, so it cannot be cut to 13"):
        cache.cut(13)
    assert cache.bytes == 2 * 3 * 3 * 24 * 32 * 4


def test_changing_the_future_never_changes_the_past(gpt, tokens):
    changed = tokens.clone()
    changed[:, 6:] = (tokens[:, 6:] + 1) % 61
    assert torch.equal(gpt(tokens).logits[:, :6], gpt(changed).logits[:, :6])


def test_padding_on_the_left_and_neighbours_change_nothing(gpt, tokens):
    alone = gpt(tokens[:1]).logits
    torch.testing.assert_close(gpt(tokens).logits[:1], alone, atol=1e-5, rtol=0)
    padded = torch.cat([torch.full((2, 4), 7), tokens], dim=1)
    is_word = torch.ones(2, 15, dtype=torch.bool)
    is_word[:, :4] = False
    torch.testing.assert_close(gpt(padded, is_word).logits[:1, 4:], alone, atol=1e-5, rtol=0)
    cache = gpt.empty_cache()
    gpt(padded[:, :9], is_word[:, :9], cache)
    later = torch.cat([gpt(padded[:, i : i + 1], is_word[:, : i + 1], cache).logits for i in range(9, 15)], dim=1)
    torch.testing.assert_close(later[:1], alone[:, 5:], atol=1e-5, rtol=0)
    theirs = transformers_gpt()  # and transformers' way with padding is the same
    positions = (is_word.long().cumsum(1) - 1).clamp(min=0)
    expected = theirs(padded, attention_mask=is_word.long(), position_ids=positions).logits[:, 4:]
    torch.testing.assert_close(theirs(tokens).logits, expected, atol=1e-5, rtol=0)


def test_the_loss_is_transformers_own(tmp_path, tokens):
    theirs = transformers_gpt()
    theirs.save_pretrained(tmp_path)
    loss = next_token_loss(load_gpt(tmp_path)(tokens).logits, tokens)
    torch.testing.assert_close(loss, theirs(tokens, labels=tokens).loss, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="at least two tokens"):
        next_token_loss(torch.zeros(1, 1, 61), torch.zeros(1, 1, dtype=torch.long))


def test_gradients_equal_transformers(tmp_path, tokens):
    theirs = transformers_gpt()
    theirs.save_pretrained(tmp_path)
    ours = load_gpt(tmp_path)
    next_token_loss(ours(tokens).logits, tokens).backward()
    theirs(tokens, labels=tokens).loss.backward()
    torch.testing.assert_close(ours.embedding.weight.grad, theirs.transformer.wte.weight.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        ours.blocks[0].attention.query_key_value.weight.grad,
        theirs.transformer.h[0].attn.c_attn.weight.grad.T,
        atol=1e-5,
        rtol=1e-4,
    )


def test_what_does_not_fit_is_refused(gpt):
    with pytest.raises(ValueError, match="25 tokens do not fit into the context of 24"):
        gpt(torch.zeros(1, 25, dtype=torch.long))
    with pytest.raises(ValueError, match="no tokens to read"):
        gpt(torch.zeros(1, 0, dtype=torch.long))
    cache = gpt.empty_cache()
    gpt(torch.zeros(1, 20, dtype=torch.long), cache=cache)
    with pytest.raises(ValueError, match="25 tokens"):
        gpt(torch.zeros(1, 5, dtype=torch.long), cache=cache)
    with pytest.raises(ValueError, match="blocks must be at least 1"):
        GPTConfig(blocks=0)
    with pytest.raises(ValueError, match="heads cannot share"):
        GPTConfig(embedding_size=32, heads=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "holds a 'llama' model"),
        ({"activation_function": "relu"}, "activation_function='relu' is not supported"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"n_embd": 64}, "do not fit config.json"),
        ({"n_layer": 4}, "lacks transformer.h.3"),
    ],
)
def test_a_config_that_we_do_not_compute_is_refused(tmp_path, gpt, change, message):
    save_gpt(gpt, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UnsuitableCheckpoint, match=message):
        load_gpt(tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path, gpt):
    with pytest.raises(UnsuitableCheckpoint, match=r"config\.json is missing"):
        load_gpt(tmp_path)
    save_gpt(gpt, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UnsuitableCheckpoint, match="is damaged"):
        load_gpt(tmp_path)
    weights.unlink()
    with pytest.raises(UnsuitableCheckpoint, match="only safetensors"):
        load_gpt(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnsuitableCheckpoint, match="cannot be read"):
        load_gpt(tmp_path)


def test_a_failed_write_leaves_the_older_checkpoint_whole(tmp_path, gpt, monkeypatch):
    save_gpt(gpt, tmp_path)
    before = load_file(tmp_path / "model.safetensors")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("course_lib.models.checkpoint_files.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_gpt(GPT(SIZES), tmp_path)
    after = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
