"""Are the weights those that the model used, whichever model it is?"""

import pytest
import torch
import transformers
from torch import nn

from course_lib.data.byte_pairs import BERT_TOKENS, bert_tokenizer, gpt_tokenizer, train_byte_pairs
from course_lib.data.vocabulary import Vocabulary
from course_lib.models.bert import BERT, BERTConfig, Classifier, MaskedLanguageModel
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.seq2seq import attention_model, fixed_context_model
from course_lib.models.transformer import transformer_model
from course_lib.widgets.attention_reading import around, read_views, special_numbers

TEXT = "Return the pen. The pen is in the box."
SMALL = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


@pytest.fixture(scope="module")
def gpt_words():
    return gpt_tokenizer(train_byte_pairs([TEXT], 280))


@pytest.fixture(scope="module")
def bert_words():
    return bert_tokenizer(train_byte_pairs([TEXT], 280, BERT_TOKENS))


def small_gpt(**changes):
    return GPT(GPTConfig(300, **{"context_size": 64, "blocks": 2, "heads": 2, "embedding_size": 16, **changes}))


def small_bert():
    return BERT(BERTConfig(300, 64, blocks=2, heads=2, embedding_size=16, inner_size=16))


def theirs(kind, config, **settings):
    torch.manual_seed(0)
    return kind(config(**SMALL, **settings)).eval()


def small_t5():
    return transformers.T5Config(
        vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0, eos_token_id=0
    )


def test_our_gpt_is_causal_and_read_as_it_looks(gpt_words):
    model = small_gpt()
    (view,) = read_views(model, gpt_words, TEXT)
    numbers = torch.tensor([gpt_words(TEXT)["input_ids"]])
    expected = torch.cat(model.eval()(numbers, want_weights=True).weights)
    torch.testing.assert_close(view.weights, expected)
    assert view.is_causal
    assert "".join(view.queries) == TEXT


@pytest.mark.parametrize("around_encoder", [lambda e: e, MaskedLanguageModel, lambda e: Classifier(e, 3)])
def test_our_bert_is_read_whatever_stands_on_it(bert_words, around_encoder):
    encoder = small_bert()
    (view,) = read_views(around_encoder(encoder), bert_words, TEXT)
    numbers = torch.tensor([bert_words(TEXT)["input_ids"]])
    torch.testing.assert_close(view.weights, torch.cat(encoder.eval()(numbers, want_weights=True).weights))
    assert not view.is_causal
    assert view.queries[0] == "[CLS]"
    assert [place for place, special in enumerate(view.special_keys) if special] == [0, len(view.keys) - 1]


def test_a_model_in_training_is_read_without_dropout_and_goes_on_training(bert_words):
    model = MaskedLanguageModel(small_bert()).train()  # dropout 0.1
    model.norm.eval()
    read_views(model, bert_words, TEXT)
    assert model.training
    assert model.encoder.training
    assert not model.norm.training


WORDS = Vocabulary(["the", "pen", "is", "in", "box"])
OTHER_WORDS = Vocabulary(["der", "Stift", "ist", "im", "Kasten"])


def test_our_transformer_shows_encoder_decoder_and_the_look_between():
    model = transformer_model(len(WORDS), len(OTHER_WORDS), embedding_size=16, heads=2, blocks=3).train()
    views = read_views(model, (WORDS, OTHER_WORDS), "the pen is in the box", target="der Stift ist im Kasten")
    assert [view.name for view in views] == ["encoder", "decoder", "cross-attention"]
    encoder, decoder, cross = views
    assert encoder.weights.shape == (3, 2, 6, 6)
    assert decoder.queries == ("<begin>", "der", "Stift", "ist", "im", "Kasten")
    assert decoder.special_queries[:2] == (True, False)
    assert decoder.is_causal
    assert cross.weights.shape == (3, 2, 6, 6)
    assert cross.keys == encoder.keys
    assert "while the next one was written" in cross.note
    assert model.training


def test_without_a_target_our_transformer_writes_one():
    model = transformer_model(len(WORDS), len(OTHER_WORDS), embedding_size=16, heads=2, blocks=1)
    views = read_views(model, (WORDS, OTHER_WORDS), "the pen")
    assert views[1].queries[0] == "<begin>"


def test_bahdanaus_model_has_one_look():
    model = attention_model(len(WORDS), len(OTHER_WORDS), embedding_size=8, hidden_size=8, attention_size=8)
    (view,) = read_views(model, (WORDS, OTHER_WORDS), "the pen", target="der Stift")
    assert view.name == "cross-attention"
    assert view.weights.shape == (1, 1, 3, 2)


def test_a_model_with_a_fixed_context_gives_none():
    model = fixed_context_model(len(WORDS), len(OTHER_WORDS), context_size=8, embedding_size=8, hidden_size=8)
    with pytest.raises(ValueError, match="EncoderDecoder gives no attention weights: its decoder sees one fixed"):
        read_views(model, (WORDS, OTHER_WORDS), "the pen", target="der Stift")


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_their_bert_is_read_by_eager_attention_and_gets_its_own_back(bert_words, kind):
    model = theirs(transformers.BertForMaskedLM, transformers.BertConfig, attn_implementation=kind)
    (view,) = read_views(model, bert_words, TEXT)
    assert model.config._attn_implementation == kind
    model.set_attn_implementation("eager")
    expected = model(torch.tensor([bert_words(TEXT)["input_ids"]]), output_attentions=True).attentions
    torch.testing.assert_close(view.weights, torch.cat(expected))


def test_their_gpt_is_causal(gpt_words):
    config = transformers.GPT2Config(vocab_size=300, n_embd=16, n_layer=2, n_head=2, n_positions=64)
    model = transformers.GPT2LMHeadModel(config)
    (view,) = read_views(model, gpt_words, TEXT)
    assert view.is_causal
    assert view.weights.shape[:2] == (2, 2)
    assert model.training  # it came in training mode, with dropout


def test_another_decoder_with_grouped_heads_is_read(gpt_words):
    model = theirs(transformers.LlamaForCausalLM, transformers.LlamaConfig, num_key_value_heads=1)
    (view,) = read_views(model, gpt_words, TEXT)
    assert view.is_causal
    assert model.config._attn_implementation == "sdpa"


def test_their_encoder_decoder_shows_three_views_and_restores_both_halves(gpt_words):
    model = transformers.T5ForConditionalGeneration(small_t5()).eval()
    views = read_views(model, gpt_words, TEXT, target="The box.")
    assert [view.name for view in views] == ["encoder", "decoder", "cross-attention"]
    assert [view.is_causal for view in views] == [False, True, False]
    assert views[1].queries[0] == "<|endoftext|>"
    assert "".join(views[1].queries[1:]) == "The box."
    assert views[2].weights.shape[2:] == (len(views[1].queries), len(views[0].queries))


def test_without_a_target_their_encoder_decoder_writes_one(gpt_words):
    model = transformers.T5ForConditionalGeneration(small_t5()).eval()
    assert read_views(model, gpt_words, TEXT)[1].queries[0] == "<|endoftext|>"
    with pytest.raises(ValueError, match=r"T5Model writes no text by itself; give .* target="):
        read_views(transformers.T5Model(small_t5()).eval(), gpt_words, TEXT)


def test_bart_reads_its_start_token_and_gets_its_attention_back(gpt_words):
    config = transformers.BartConfig(
        vocab_size=300, d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, pad_token_id=0, bos_token_id=0,
        eos_token_id=0, decoder_start_token_id=0, forced_eos_token_id=0,
    )  # fmt: skip
    model = transformers.BartForConditionalGeneration(config).eval()
    before = model.config._attn_implementation
    encoder, decoder, cross = read_views(model, gpt_words, TEXT, target="The box.")
    assert (encoder.layers, decoder.layers) == (("1",), ("1", "2"))
    assert cross.layers == ("1", "2")
    assert model.config._attn_implementation == before == "sdpa"


def test_a_stack_of_an_encoder_decoder_alone_is_an_encoder(gpt_words):
    (view,) = read_views(transformers.T5EncoderModel(small_t5()).eval(), gpt_words, TEXT)
    assert view.name == "self-attention"


def test_a_model_without_attention_is_refused(gpt_words):
    config = transformers.MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(ValueError, match=r"MambaForCausalLM gives no attention weights.*from_weights"):
        read_views(transformers.MambaForCausalLM(config).eval(), gpt_words, TEXT)


@pytest.mark.parametrize("model", [nn.Linear(2, 2), "gpt2", None])
def test_what_is_no_model_is_refused(gpt_words, model):
    with pytest.raises(ValueError, match=r"is neither a model of the course nor of Hugging Face; .*from_weights"):
        read_views(model, gpt_words, TEXT)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_text_is_refused(bert_words, text):
    words = bert_tokenizer(train_byte_pairs([TEXT], 280, BERT_TOKENS))
    if text:
        from tokenizers import normalizers

        words.backend_tokenizer.normalizer = normalizers.Strip()  # as BERT's own tokenizer drops spaces
    with pytest.raises(ValueError, match="has no tokens; give at least one word"):
        read_views(small_bert(), words, text)


def test_five_thousand_tokens_are_refused_and_a_window_of_them_is_read_alone(gpt_words):
    model = small_gpt(context_size=6000)
    text = "pen " * 5000
    total = len(gpt_words(text)["input_ids"])
    with pytest.raises(ValueError, match=rf"{total:,} tokens: at most 512 .*window=\(0, 512\)"):
        read_views(model, gpt_words, text)
    (view,) = read_views(model, gpt_words, text, window=(100, 130))
    assert len(view.queries) == 30
    assert f"has read tokens 101 to 130 of {total:,}, and nothing else" in view.note


def test_a_window_keeps_the_special_tokens_around_it_and_within_what_the_model_reads(bert_words):
    (view,) = read_views(small_bert(), bert_words, "pen " * 100, window=(0, 10))
    assert (view.queries[0], view.queries[-1], len(view.queries)) == ("[CLS]", "[SEP]", 12)
    with pytest.raises(ValueError, match=r"the model reads 64 with its special tokens: at most 62 .*window=\(0, 62\)"):
        read_views(small_bert(), bert_words, "pen " * 100)


def test_a_text_longer_than_their_model_reads_is_refused(bert_words):
    model = theirs(transformers.BertModel, transformers.BertConfig, max_position_embeddings=32)
    with pytest.raises(ValueError, match=r"the model reads 32 .*window="):
        read_views(model, bert_words, "pen " * 100)


def test_a_target_for_a_model_that_reads_none_is_refused(gpt_words):
    with pytest.raises(ValueError, match="a GPT has no decoder that reads a target"):
        read_views(small_gpt(), gpt_words, TEXT, target="x")


def test_a_tokenizer_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="a str is no tokenizer"):
        read_views(small_gpt(), "gpt2", TEXT)


def test_what_a_tokenizer_puts_around_a_text_is_found():
    assert around([9, 1, 2, 8], [1, 2]) == ([9], [8])
    assert around([1, 2], [1, 2]) == ([], [])
    assert around([5, 6], [1, 2, 3]) == ([], [])


def test_masked_and_unknown_words_are_words(bert_words, gpt_words):
    assert special_numbers(bert_words) == {
        bert_words.convert_tokens_to_ids(mark) for mark in ("[PAD]", "[CLS]", "[SEP]")
    }
    gpt_words.unk_token = gpt_words.eos_token  # as GPT-2's has it
    assert special_numbers(gpt_words) == {gpt_words.eos_token_id}
