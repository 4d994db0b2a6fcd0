import pytest
import torch

from course_lib.data.byte_pairs import gpt_tokenizer, train_byte_pairs
from course_lib.generation.answering import greedy_answers
from course_lib.generation.continuing import continue_text
from course_lib.models.gpt import GPT, GPTConfig


@pytest.fixture
def tokenizer():
    return gpt_tokenizer(train_byte_pairs(["a"], 257))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = GPT(GPTConfig(257, context_size=30, blocks=2, heads=2, embedding_size=16))
    torch.nn.init.normal_(model.embedding.weight)
    return model.eval()


def test_batches_give_what_each_prompt_gives_alone_in_the_given_order(model, tokenizer):
    prompts = [[5, 6, 7, 8], [9], [10, 11], [5, 6]]
    together = greedy_answers(model, tokenizer, prompts, most_tokens=8, batch_size=2)
    for prompt, answer in zip(prompts, together, strict=True):
        (alone,) = continue_text(model, [prompt], max_new_tokens=8, do_sample=False, end_token=0)
        assert answer.text == tokenizer.decode([token for token in alone.tokens if token])
        assert answer.tokens == len(alone.tokens)
        assert answer.stopped == alone.finished


def test_an_answer_that_ends_has_no_end_token_in_its_text(model, tokenizer):
    with torch.no_grad():
        model.embedding.weight[0] = 100 * model(torch.tensor([[5]])).states[0, -1]
    (answer,) = greedy_answers(model, tokenizer, [[5]], most_tokens=8)
    assert (answer.text, answer.tokens, answer.stopped) == ("", 1, True)


def test_a_full_context_gives_an_empty_answer_that_did_not_stop(model, tokenizer):
    answers = greedy_answers(model, tokenizer, [[5] * 30, [6] * 28], most_tokens=8, batch_size=1)
    assert (answers[0].text, answers[0].stopped) == ("", False)
    assert answers[1].tokens <= 2


def test_a_tokenizer_without_an_end_is_refused(model, tokenizer):
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no end-of-text token"):
        greedy_answers(model, tokenizer, [[5]])
