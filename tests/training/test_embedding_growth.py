import pytest
import torch
import transformers

from course_lib.data.byte_pairs import gpt_tokenizer, train_byte_pairs
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.training.embedding_growth import add_missing_tokens, grow_embeddings


def test_new_rows_are_the_mean_of_the_old_ones_which_stay():
    model = GPT(GPTConfig(20, context_size=8, blocks=1, heads=2, embedding_size=8)).eval()
    tokens = torch.tensor([[1, 2, 3]])
    old, before = model.embedding.weight.detach().clone(), model(tokens).logits
    assert grow_embeddings(model, 23) == 3
    torch.testing.assert_close(model.embedding.weight[20:], old.mean(dim=0).expand(3, -1))
    assert torch.equal(model.embedding.weight[:20], old)
    assert model.config.vocabulary_size == 23
    torch.testing.assert_close(model(tokens).logits[..., :20], before)
    model(torch.tensor([[22, 1]]))


@pytest.mark.parametrize("tied", [False, True])
def test_transformers_models_grow_at_both_ends(tied):
    config = transformers.LlamaConfig(
        vocab_size=20,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    old = [matrix.weight.detach().clone() for matrix in (model.get_input_embeddings(), model.get_output_embeddings())]
    assert grow_embeddings(model, 22) == 2
    for matrix, before in zip((model.get_input_embeddings(), model.get_output_embeddings()), old, strict=True):
        torch.testing.assert_close(matrix.weight[20:], before.mean(dim=0).expand(2, -1))
        torch.testing.assert_close(matrix.weight[:20], before)


def test_growing_to_the_same_size_does_nothing_and_shrinking_is_refused():
    model = GPT(GPTConfig(20, context_size=8, blocks=1, heads=2, embedding_size=8))
    assert grow_embeddings(model, 20) == 0
    with pytest.raises(ValueError, match="has 20 tokens already; growing to 19 would lose some"):
        grow_embeddings(model, 19)


def test_only_missing_special_tokens_are_added():
    tokenizer = gpt_tokenizer(train_byte_pairs(["abc"], 257))
    before = len(tokenizer)
    assert add_missing_tokens(tokenizer) == 1  # unk alone: the others are <|endoftext|> already
    assert (tokenizer.pad_token, tokenizer.unk_token) == ("<|endoftext|>", "<unk>")
    assert len(tokenizer) == before + 1
    assert add_missing_tokens(tokenizer) == 0
