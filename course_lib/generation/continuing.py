"""How does a language model go on? Token by token: greedily, by drawing, or with a beam (notebook 04)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.generation.sampling import Sampling, choose
from course_lib.models.gpt import GPT


@dataclass
class Continuation:
    """What was written after one prompt.

    tokens: without the prompt, with the end token if it came. log_probabilities: of each token under the model
    itself, in nats, before temperature and filters. finished: the end token came; else the length was used up.
    """

    tokens: list[int]
    log_probabilities: list[float] = field(default_factory=list)
    finished: bool = False


@torch.no_grad()
def continue_text(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    do_sample: bool = True,
    sampling: Sampling | None = None,
    end_token: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    on_token: Callable[[int, int], None] | None = None,
) -> list[Continuation]:
    """Goes on after each prompt; prompts of different lengths are padded on the left, which changes nothing.

    do_sample: draw each token as `sampling` says; False takes the likeliest one (of equals the first).
    on_token(row, token) is called for each new token, for streaming. use_cache=False reads everything anew at each
    step: the same tokens, slower. For several samples of one prompt, repeat the prompt.
    Raises ValueError for an empty prompt, an unknown token, no room for a single new token, or settings that clash.
    """
    if not do_sample and sampling is not None and sampling != Sampling(repetition_penalty=sampling.repetition_penalty):
        raise ValueError("temperature, top_k, top_p and min_p have no effect with do_sample=False; leave them out")
    sampling = sampling or Sampling()
    tokens, is_word = left_padded(model, prompts, max_new_tokens)
    rows, prompt_length = tokens.shape
    continuations = [Continuation([]) for _ in prompts]
    cache = model.empty_cache() if use_cache else None
    padded = not bool(is_word.all())
    new = tokens
    for _ in range(max_new_tokens):
        output = model(new if use_cache else tokens, is_word if padded else None, cache)
        logits = output.logits[:, -1].float()
        history = tokens if not padded else _own_tokens(tokens, is_word)
        chosen = choose(logits, history, sampling, do_sample=do_sample, generator=generator)
        said = logits.log_softmax(dim=-1).gather(1, chosen)
        for row, (token, log_probability) in enumerate(zip(chosen[:, 0].tolist(), said[:, 0].tolist(), strict=True)):
            if continuations[row].finished:
                continue
            continuations[row].tokens.append(token)
            continuations[row].log_probabilities.append(log_probability)
            continuations[row].finished = token == end_token
            if on_token:
                on_token(row, token)
        if all(continuation.finished for continuation in continuations):
            break
        tokens, new = torch.cat([tokens, chosen], dim=1), chosen
        is_word = torch.cat([is_word, is_word.new_ones(rows, 1)], dim=1)
    assert tokens.shape[1] >= prompt_length
    return continuations


@torch.no_grad()
def beam_search_text(
    model: GPT,
    prompt: Sequence[int],
    *,
    beams: int,
    max_new_tokens: int,
    end_token: int | None = None,
    length_penalty: float = 1.0,
) -> list[Continuation]:
    """The `beams` best continuations found, best first, ranked by log-probability / length ** length_penalty.

    The length is that of the continuation, as in transformers' `generate`, which finds the same best one.
    Raises ValueError as `continue_text` does, and for fewer than one beam.
    """
    if beams < 1:
        raise ValueError(f"beams must be at least 1, got {beams}")
    tokens, _ = left_padded(model, [prompt], max_new_tokens)
    cache = model.empty_cache()
    alive = [Continuation([])]
    totals = tokens.new_zeros(1, dtype=torch.float32)
    ended: list[Continuation] = []
    new = tokens
    for step in range(1, max_new_tokens + 1):
        scores = model(new, cache=cache).logits[:, -1].float().log_softmax(dim=-1)
        both = totals.unsqueeze(1) + scores
        # Twice as many as needed: at most `beams` of them can end here, so enough are left to go on.
        best, places = both.flatten().topk(min(2 * beams, both.numel()))
        going_on: list[tuple[Continuation, float]] = []
        kept_rows: list[int] = []
        for rank, (total, place) in enumerate(zip(best.tolist(), places.tolist(), strict=True)):
            row, token = divmod(place, both.shape[1])
            longer = Continuation(
                [*alive[row].tokens, token],
                [*alive[row].log_probabilities, float(scores[row, token])],
                finished=token == end_token,
            )
            if longer.finished:
                if rank < beams:
                    ended.append(longer)
            elif len(going_on) < beams:
                going_on.append((longer, total))
                kept_rows.append(row)
        ended = sorted(ended, key=lambda c: -_score(c, length_penalty))[:beams]
        if not going_on:
            break
        alive = [continuation for continuation, _ in going_on]
        totals = totals.new_tensor([total for _, total in going_on])
        hopeful = max(totals.tolist()) / step**length_penalty
        if len(ended) == beams and _score(ended[-1], length_penalty) >= hopeful:
            alive = []
            break
        if step < max_new_tokens:
            cache.keep(torch.tensor(kept_rows, device=tokens.device))
            new = tokens.new_tensor([[continuation.tokens[-1]] for continuation in alive])
    return sorted([*ended, *alive], key=lambda c: -_score(c, length_penalty))[:beams]


def _score(continuation: Continuation, length_penalty: float) -> float:
    return sum(continuation.log_probabilities) / len(continuation.tokens) ** length_penalty


def left_padded(
    model: GPT, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> tuple[Int[Tensor, "batch length"], Tensor]:
    """The prompts as one batch, padded on the left, and where there are words. Raises ValueError for what cannot be."""
    if not prompts:
        raise ValueError("there is no prompt; give at least one")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    device = next(model.parameters()).device
    longest, vocabulary_size = max(map(len, prompts)), model.config.vocabulary_size
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise ValueError(f"prompt {number} is empty; begin with a token such as end-of-text")
        if wrong := [token for token in prompt if not 0 <= token < vocabulary_size]:
            raise ValueError(
                f"prompt {number} has the token {wrong[0]}, but the vocabulary ends at {vocabulary_size - 1}; "
                "use the model's own tokenizer"
            )
    context = model.config.context_size
    if longest + max_new_tokens > context:
        raise ValueError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones need {longest + max_new_tokens} places, but "
            f"the context has {context}; shorten the prompt or set max_new_tokens <= {max(context - longest, 0)}"
        )
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    is_word = torch.zeros(len(prompts), longest, dtype=torch.bool, device=device)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(list(prompt), device=device)
        is_word[row, longest - len(prompt) :] = True
    return tokens, is_word


def _own_tokens(tokens: Int[Tensor, "batch length"], is_word: Tensor) -> Int[Tensor, "batch length"]:
    """Padding replaced by the row's last word, so that the repetition penalty does not count padding as said."""
    return torch.where(is_word, tokens, tokens[:, -1:])


def perplexity(log_probabilities: Float[Tensor, " tokens"]) -> float:
    """exp of the mean negative log-probability: among how many equally likely tokens the model seems to choose."""
    return float((-log_probabilities.detach().double().mean()).exp())
