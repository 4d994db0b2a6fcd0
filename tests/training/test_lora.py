import copy
import json

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from course_lib.models.gpt import GPT, GPTConfig
from course_lib.training.lora import (
    ADAPTER_FILE,
    LoRALinear,
    UnusableAdapter,
    add_lora,
    load_adapter,
    lora_layers,
    lora_parameters,
    merge_lora,
    save_adapter,
    trained_share,
)

TARGETS = ("q_proj", "v_proj")


def llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def learned(model, seed=1):
    """Detours that change something, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for _, layer in lora_layers(model):
        layer.up.data.normal_(std=0.3, generator=generator)
    return model


@pytest.fixture
def tokens():
    return torch.randint(0, 60, (2, 7), generator=torch.Generator().manual_seed(0))


def test_our_detour_is_pefts(tokens):
    peft = pytest.importorskip("peft")
    theirs = peft.get_peft_model(llama(), peft.LoraConfig(r=3, lora_alpha=5, target_modules=list(TARGETS)))
    ours = llama()
    names = add_lora(ours, TARGETS, rank=3, alpha=5)
    layers = dict(lora_layers(learned(ours)))
    for name in names:
        layer = theirs.base_model.model.get_submodule(name)
        layer.lora_A["default"].weight.data = layers[name].down.data.clone()
        layer.lora_B["default"].weight.data = layers[name].up.data.clone()
    assert sum(p.requires_grad for p in theirs.parameters()) == sum(p.requires_grad for p in ours.parameters())
    torch.testing.assert_close(ours(tokens).logits, theirs(tokens).logits)
    ours(tokens).logits.square().sum().backward()
    theirs(tokens).logits.square().sum().backward()
    for name in names:
        layer = theirs.base_model.model.get_submodule(name)
        torch.testing.assert_close(layers[name].down.grad, layer.lora_A["default"].weight.grad)
        torch.testing.assert_close(layers[name].up.grad, layer.lora_B["default"].weight.grad)


def test_peft_reads_our_adapter_and_we_read_pefts(tokens, tmp_path):
    peft = pytest.importorskip("peft")
    ours = llama()
    add_lora(ours, TARGETS, rank=2, alpha=7)
    wanted = learned(ours)(tokens).logits
    save_adapter(ours, tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(llama(), tmp_path / "ours")
    torch.testing.assert_close(theirs(tokens).logits, wanted)
    theirs.save_pretrained(tmp_path / "theirs")
    again = llama()
    assert len(load_adapter(again, tmp_path / "theirs")) == 4
    torch.testing.assert_close(again(tokens).logits, wanted)


def test_it_begins_as_the_model_was(tokens):
    before = llama()(tokens).logits
    model = llama()
    add_lora(model, TARGETS)
    assert torch.equal(model(tokens).logits, before)


def test_only_the_detours_learn(tokens):
    model = GPT(GPTConfig(60, context_size=8, blocks=2, heads=2, embedding_size=16))
    frozen = copy.deepcopy(dict(model.named_parameters()))
    names = add_lora(model, ["query_key_value"], rank=1, alpha=2)
    assert names == ["blocks.0.attention.query_key_value", "blocks.1.attention.query_key_value"]
    learning = lora_parameters(model)
    assert {id(p) for p in learning} == {id(p) for p in model.parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(learning, lr=0.1)
    model(tokens).logits.square().mean().backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        if ".base." in name or "query_key_value" not in name:
            assert torch.equal(parameter, frozen[name.replace(".base.", ".")])
    assert trained_share(model) == pytest.approx(2 * (16 + 48) / sum(p.numel() for p in model.parameters()))


def test_merged_weights_answer_the_same_without_detours(tokens):
    model = llama()
    add_lora(model, (*TARGETS, "down_proj"), rank=2, alpha=4)
    wanted = learned(model)(tokens).logits
    assert merge_lora(model) == 6
    assert not list(lora_layers(model))
    torch.testing.assert_close(model(tokens).logits, wanted, rtol=1e-4, atol=1e-5)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_bfloat16_models_and_autocast_work(tokens):
    layer = LoRALinear(nn.Linear(4, 3).bfloat16(), 2, 4)
    assert layer.down.dtype == torch.float32
    assert layer(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert LoRALinear(nn.Linear(4, 3), 2, 4)(torch.ones(1, 4)).dtype == torch.bfloat16


def test_dropout_touches_the_detour_alone():
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(50, 3), 2, 4, dropout=0.5).train()
    states = torch.ones(1, 50)
    assert torch.equal(layer(states), layer(states))  # B is zero
    nn.init.ones_(layer.up)
    assert not torch.equal(layer(states), layer(states))


def test_an_empty_adapter_is_an_error_when_saved_and_when_loaded(tmp_path):
    with pytest.raises(UnusableAdapter, match="no LoRA layer, so its adapter would be empty"):
        save_adapter(llama(), tmp_path)
    untrained = llama()
    add_lora(untrained, TARGETS)
    with pytest.raises(UnusableAdapter, match="every B is still zero"):
        save_adapter(untrained, tmp_path)
    save_adapter(learned(untrained), tmp_path)
    save_file({}, tmp_path / ADAPTER_FILE)
    with pytest.raises(UnusableAdapter, match="has no tensor"):
        load_adapter(llama(), tmp_path)


def test_an_adapter_of_another_model_is_refused_and_changes_nothing(tmp_path):
    model = llama()
    add_lora(model, TARGETS)
    save_adapter(learned(model), tmp_path)
    other = GPT(GPTConfig(60, context_size=8, blocks=1, heads=2, embedding_size=16))
    with pytest.raises(UnusableAdapter, match="is of another model: it has model"):
        load_adapter(other, tmp_path)
    wide = transformers.AutoModelForCausalLM.from_config(
        transformers.LlamaConfig(
            vocab_size=60, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        )
    )
    with pytest.raises(UnusableAdapter, match="is 16 x 16, this model's 32 x 32"):
        load_adapter(wide, tmp_path)
    assert not list(lora_layers(wide))


def test_damaged_and_missing_files_are_named(tmp_path):
    with pytest.raises(UnusableAdapter, match="holds no whole adapter"):
        load_adapter(llama(), tmp_path)
    model = llama()
    add_lora(model, TARGETS)
    save_adapter(learned(model), tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 8
    (tmp_path / ADAPTER_FILE).write_bytes((tmp_path / ADAPTER_FILE).read_bytes()[:100])
    with pytest.raises(UnusableAdapter, match="holds no whole adapter"):
        load_adapter(llama(), tmp_path)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (("wq",), {}, r"no linear layer is called \['wq'\]; this model has .*'q_proj'"),
        (TARGETS, {"rank": 0}, "expected rank >= 1"),
        (TARGETS, {"alpha": 0}, "alpha > 0"),
        (TARGETS, {"dropout": 1.0}, "dropout < 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(targets, options, message):
    with pytest.raises(ValueError, match=message):
        add_lora(llama(), targets, **options)


def test_a_second_adapter_is_refused():
    model = llama()
    add_lora(model, TARGETS)
    with pytest.raises(ValueError, match="has LoRA layers already"):
        add_lora(model, TARGETS)


def test_nothing_to_merge_is_an_error():
    with pytest.raises(UnusableAdapter, match="no LoRA layer to merge"):
        merge_lora(llama())
