"""Going on with a text: cached as uncached, padded as alone, and as transformers' `generate` does."""

import pytest
import torch
import transformers

from course_lib.generation.continuing import beam_search_text, continue_text, perplexity
from course_lib.generation.sampling import Sampling
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.gpt_files import save_gpt

END = 1


@pytest.fixture(scope="module")
def gpt():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocabulary_size=23, context_size=48, blocks=2, heads=2, embedding_size=16))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)  # or every token would be about as likely
    return model.eval()


@pytest.fixture(scope="module")
def theirs(gpt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt")
    save_gpt(gpt, folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


PROMPTS = [[5, 6, 7], [9], [4, 8, 15, 16, 22, 2]]


def test_cached_and_uncached_tokens_are_the_same(gpt):
    for do_sample in (False, True):
        written = [
            continue_text(
                gpt,
                PROMPTS,
                max_new_tokens=20,
                do_sample=do_sample,
                use_cache=use_cache,
                generator=torch.Generator().manual_seed(3),
            )
            for use_cache in (True, False)
        ]
        assert [c.tokens for c in written[0]] == [c.tokens for c in written[1]]


def test_a_batch_of_prompts_gives_what_each_gives_alone(gpt):
    together = continue_text(gpt, PROMPTS, max_new_tokens=20, do_sample=False, end_token=END)
    for prompt, continuation in zip(PROMPTS, together, strict=True):
        (alone,) = continue_text(gpt, [prompt], max_new_tokens=20, do_sample=False, end_token=END)
        assert alone.tokens == continuation.tokens
        assert alone.finished == continuation.finished
        assert alone.log_probabilities == pytest.approx(continuation.log_probabilities, abs=1e-4)


@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_the_likeliest_tokens_are_those_of_generate(gpt, theirs, penalty):
    for prompt in PROMPTS:
        (ours,) = continue_text(
            gpt,
            [prompt],
            max_new_tokens=15,
            do_sample=False,
            end_token=END,
            sampling=Sampling(repetition_penalty=penalty),
        )
        output = theirs.generate(
            torch.tensor([prompt]),
            do_sample=False,
            max_new_tokens=15,
            eos_token_id=END,
            pad_token_id=0,
            repetition_penalty=penalty,
        )
        assert output[0, len(prompt) :].tolist() == ours.tokens


def test_a_temperature_near_zero_is_greedy(gpt):
    greedy = continue_text(gpt, PROMPTS, max_new_tokens=12, do_sample=False)
    cold = continue_text(gpt, PROMPTS, max_new_tokens=12, sampling=Sampling(1e-4))
    assert [c.tokens for c in greedy] == [c.tokens for c in cold]


def test_the_seed_decides_what_is_drawn(gpt):
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return [c.tokens for c in continue_text(gpt, [[5]] * 4, max_new_tokens=15, generator=generator)]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    assert len({tuple(tokens) for tokens in draw(0)}) == 4


def test_log_probabilities_are_the_models_own(gpt):
    (written,) = continue_text(gpt, [[5, 6]], max_new_tokens=8, sampling=Sampling(0.5, top_k=3))
    tokens = torch.tensor([[5, 6, *written.tokens]])
    log_probabilities = gpt(tokens).logits.log_softmax(-1)[0, 1:-1]
    expected = log_probabilities.gather(1, torch.tensor(written.tokens).unsqueeze(1)).squeeze(1)
    assert written.log_probabilities == pytest.approx(expected.tolist(), abs=1e-4)
    assert perplexity(expected) == pytest.approx(float((-expected.mean()).exp()))


def test_the_end_token_ends_a_row_and_is_kept(gpt):
    streamed = []
    written = continue_text(
        gpt,
        PROMPTS * 5,
        max_new_tokens=30,
        end_token=END,
        generator=torch.Generator().manual_seed(0),
        on_token=lambda row, token: streamed.append((row, token)),
    )
    assert any(c.finished for c in written)
    for row, continuation in enumerate(written):
        assert [token for number, token in streamed if number == row] == continuation.tokens
        assert END not in continuation.tokens[:-1]
        assert continuation.finished == (continuation.tokens[-1] == END)
        assert continuation.finished or len(continuation.tokens) == 30


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("beams", [1, 2, 4])
def test_the_best_beam_is_that_of_generate(gpt, theirs, beams, length_penalty):
    for prompt in PROMPTS:
        found = beam_search_text(
            gpt, prompt, beams=beams, max_new_tokens=12, end_token=END, length_penalty=length_penalty
        )
        output = theirs.generate(
            torch.tensor([prompt]),
            num_beams=beams,
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=END,
            pad_token_id=0,
            length_penalty=length_penalty,
        )[0, len(prompt) :].tolist()
        assert output[: len(found[0].tokens)] == found[0].tokens
        assert set(output[len(found[0].tokens) :]) <= {0}
        assert len(found) <= beams


def test_a_beam_as_wide_as_everything_finds_the_best_of_all(gpt):
    prompt, length = [5, 6], 2
    found = beam_search_text(gpt, prompt, beams=23, max_new_tokens=length)[0]
    first = gpt(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    best = max(
        (float(first[a] + gpt(torch.tensor([[*prompt, a]])).logits[0, -1].log_softmax(-1).max()), a) for a in range(23)
    )
    assert sum(found.log_probabilities) == pytest.approx(best[0], abs=1e-4)
    assert found.tokens[0] == best[1]


@pytest.mark.parametrize(
    ("prompts", "changes", "message"),
    [
        ([], {}, "there is no prompt"),
        ([[]], {}, "prompt 0 is empty"),
        ([[5], []], {}, "prompt 1 is empty"),
        ([[5, 23]], {}, "token 23, but the vocabulary ends at 22"),
        ([[-1]], {}, "token -1"),
        ([[5] * 47], {"max_new_tokens": 2}, "need 49 places, but the context has 48; .*max_new_tokens <= 1"),
        ([[5] * 60], {"max_new_tokens": 1}, "max_new_tokens <= 0"),
        ([[5]], {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ([[5]], {"do_sample": False, "sampling": Sampling(0.5)}, "no effect with do_sample=False"),
    ],
)
def test_what_cannot_be_continued_is_refused(gpt, prompts, changes, message):
    with pytest.raises(ValueError, match=message):
        continue_text(gpt, prompts, **({"max_new_tokens": 4} | changes))


def test_a_beam_of_none_is_refused(gpt):
    with pytest.raises(ValueError, match="beams must be at least 1, got 0"):
        beam_search_text(gpt, [5], beams=0, max_new_tokens=3)
