"""Rows, steps and entropies are those of Sampling; every kind of model is asked alike, and bad ones are refused."""

import math

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from course_lib.data.byte_pairs import gpt_tokenizer, train_byte_pairs
from course_lib.generation.sampling import Sampling, entropy
from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.gpt_files import save_gpt
from course_lib.widgets.causal_model import LONGEST_PROMPT, CausalModel
from course_lib.widgets.next_token import best, described, draw, likeliest, look, probabilities

SIZES = GPTConfig(300, 32, 2, 2, 16)
SETTINGS = [
    Sampling(),
    Sampling(0.5, top_k=9, top_p=0.8, min_p=0.02, repetition_penalty=1.4),
    Sampling(2.5, top_p=0.95),
    Sampling(top_k=1),
]


@pytest.fixture(scope="module")
def logits():
    return 2 * torch.randn(300, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def tokenizer():
    return gpt_tokenizer(train_byte_pairs(["Return the list of the names."] * 9, 290))


@pytest.fixture(scope="module")
def ours():
    torch.manual_seed(0)
    return GPT(SIZES).eval()


@pytest.fixture(scope="module")
def theirs(ours, tmp_path_factory):
    """The same weights in transformers' class."""
    folder = tmp_path_factory.mktemp("gpt")
    save_gpt(ours, folder)
    return GPT2LMHeadModel.from_pretrained(folder).eval()


@pytest.mark.parametrize("sampling", SETTINGS)
def test_rows_are_the_models_likeliest_tokens_with_samplings_probabilities(logits, sampling):
    view = look(logits, [1, 2, 2], sampling)
    after = sampling.scores(logits[None], torch.tensor([[1, 2, 2]]))[0].softmax(-1)
    before = logits.softmax(-1)
    assert [row.token for row in view.rows] == before.argsort(descending=True)[:24].tolist()
    for row in view.rows:
        assert row.before == pytest.approx(float(before[row.token]))
        assert row.after == pytest.approx(float(after[row.token]))
        assert (row.cut_by is None) == (row.after > 0)
    for rest, side in zip(view.others, ("before", "after"), strict=True):
        assert rest + sum(getattr(row, side) for row in view.rows) == pytest.approx(1, abs=1e-5)


def test_each_cut_token_names_the_first_filter_that_cut_it(logits):
    view = look(logits, [1], Sampling(top_k=10, top_p=0.5, min_p=0.6))
    by_rank = [row.cut_by for row in view.rows]
    assert by_rank[0] is None
    assert set(by_rank[10:]) == {"top_k"}
    assert "top_p" in by_rank[:10]
    assert by_rank == sorted(by_rank, key=[None, "min_p", "top_p", "top_k"].index)


def test_steps_tell_entropy_and_what_stays_after_each_filter(logits):
    sampling = Sampling(0.8, top_k=12, min_p=0.1, repetition_penalty=1.2)
    view = look(logits, [5], sampling)
    stages = [("model", logits[None]), *sampling.stages(logits[None], torch.tensor([[5]]))]
    assert [step.name for step in view.steps] == ["model", "repetition_penalty", "temperature", "top_k", "min_p"]
    assert [step.entropy for step in view.steps] == pytest.approx([float(entropy(scores[0])) for _, scores in stages])
    assert [step.kept for step in view.steps[:4]] == [300, 300, 300, 12]


def test_of_equal_scores_the_first_in_the_vocabulary_is_likelier():
    assert likeliest(torch.tensor([0.0, 1.0, 1.0, 1.0]), 3) == [1, 2, 3]


def test_a_vocabulary_smaller_than_the_chart_is_shown_whole():
    view = look(torch.zeros(5), [0], Sampling())
    assert len(view.rows) == 5
    assert view.others == (0, 0)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused_with_their_place(wrong):
    scores = torch.zeros(9)
    scores[4] = wrong
    with pytest.raises(ValueError, match=r"score of token 4 is (nan|inf) \(1 of 9"):
        look(scores, [0], Sampling())


def test_scores_that_leave_no_token_are_refused():
    with pytest.raises(ValueError, match="no token can come next"):
        look(torch.full((3,), -math.inf), [0], Sampling())


def test_a_seed_draws_the_same_token_again_and_follows_the_distribution(logits):
    sampling = Sampling(0.7, top_k=3)
    drawn = [draw(logits, [1], sampling, seed) for seed in range(200)]
    assert drawn == [draw(logits, [1], sampling, seed) for seed in range(200)]
    assert set(drawn) == set(likeliest(logits, 3))


def test_the_likeliest_token_heeds_the_repetition_penalty():
    scores = torch.tensor([3.0, 2.9, 0.0])
    assert best(scores, [0]) == 0
    assert best(scores, [0], repetition_penalty=2.0) == 1


def test_a_setting_in_words_leaves_out_what_is_off():
    assert described(Sampling()) == "T 1"
    assert described(Sampling(0.7, top_k=40, top_p=0.9, repetition_penalty=1.2)) == (
        "T 0.7, top-k 40, top-p 0.9, repetition penalty 1.2"
    )


def test_our_model_and_transformers_with_its_weights_give_the_same(ours, theirs, tokenizer):
    one, other = CausalModel(ours, tokenizer), CausalModel(theirs, tokenizer)
    assert (one.context_size, one.vocabulary_size) == (other.context_size, other.vocabulary_size) == (32, 300)
    tokens = one.tokens_of("Return the list")
    torch.testing.assert_close(one.next_logits(tokens), other.next_logits(tokens), atol=1e-4, rtol=1e-4)
    sampling = Sampling(0.8, top_p=0.9, repetition_penalty=1.3)
    for greedy in (False, True):
        wanted = {"count": 3, "new_tokens": 8, "seed": 5, "do_sample": not greedy}
        mine = one.go_on(tokens, sampling, **wanted)
        yours = other.go_on(tokens, sampling, **wanted)
        assert [each.tokens for each in mine] == [each.tokens for each in yours]
        for a, b in zip(mine, yours, strict=True):
            assert probabilities(a) == pytest.approx(probabilities(b), rel=1e-3)


def test_the_model_is_left_as_it_was(tokenizer):
    model = GPT(GPTConfig(300, 32, 1, 2, 16, dropout=0.5)).train()
    asked = CausalModel(model, tokenizer)
    assert torch.equal(asked.next_logits([1, 2]), asked.next_logits([1, 2]))  # without dropout
    assert model.training


def test_an_empty_prompt_begins_at_the_end_of_text_token(ours, tokenizer):
    assert CausalModel(ours, tokenizer).tokens_of("") == [tokenizer.eos_token_id]


def test_an_empty_prompt_is_refused_where_no_token_can_begin_a_text(ours, tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "bos_token_id", None, raising=False)
    monkeypatch.setattr(type(tokenizer), "eos_token_id", None, raising=False)
    with pytest.raises(ValueError, match="no end-of-text token to begin at"):
        CausalModel(ours, tokenizer).tokens_of("")


def test_a_prompt_longer_than_the_context_is_refused_with_the_numbers(ours, tokenizer):
    with pytest.raises(ValueError, match=r"5,0\d\d tokens.*context holds 32; shorten it by 4,9"):
        CausalModel(ours, tokenizer).tokens_of("@" * 5000)


def test_a_prompt_too_long_for_play_is_refused_even_if_the_context_holds_it(tokenizer):
    model = GPT(GPTConfig(300, 8_000, 1, 1, 4))
    with pytest.raises(ValueError, match=f"at most {LONGEST_PROMPT:,}"):
        CausalModel(model, tokenizer).tokens_of("@" * 5000)


def test_continuations_without_room_are_refused_with_the_numbers(ours, tokenizer):
    with pytest.raises(ValueError, match="sample at most 2 new tokens"):
        CausalModel(ours, tokenizer).go_on([1] * 30, Sampling(), count=1, new_tokens=3, seed=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MaskedLanguageModel(BERT(BERTConfig(300, 16, 1, 1, 8))),
        lambda: BertForMaskedLM(
            BertConfig(vocab_size=300, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
        ),
        lambda: T5ForConditionalGeneration(
            T5Config(vocab_size=300, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1)
        ),
        lambda: torch.nn.Linear(2, 2),
    ],
)
def test_models_that_do_not_write_from_left_to_right_are_refused(make, tokenizer):
    with pytest.raises(ValueError, match="does not write from left to right"):
        CausalModel(make(), tokenizer)


def test_a_tokenizer_larger_than_the_model_is_refused(tokenizer):
    with pytest.raises(ValueError, match="use the model's own tokenizer"):
        CausalModel(GPT(GPTConfig(200, 8, 1, 1, 4)), tokenizer)


def test_numbers_beyond_the_tokenizer_are_shown_as_numbers(ours, tokenizer):
    assert CausalModel(ours, tokenizer).shown([299]) == ["‹token 299›"]
