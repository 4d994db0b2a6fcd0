"""What does a model answer to many prompts at once, and does it stop by itself? Greedily, in batches (notebook 12)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.data.batching import of_similar_length
from course_lib.generation.continuing import continue_text
from course_lib.models.gpt import GPT
from course_lib.models.modes import evaluating


@dataclass(frozen=True)
class Answer:
    """What was written after a prompt, without the end token; `stopped`: the end token came by itself."""

    text: str
    tokens: int
    stopped: bool


def greedy_answers(
    model: GPT, tokenizer: Any, prompts: Sequence[Sequence[int]], *, most_tokens: int = 64, batch_size: int = 128
) -> list[Answer]:
    """The likeliest answer to each prompt (its tokens), of at most `most_tokens` tokens, and what the context holds.

    Prompts of similar length share a batch. An empty context's rest counts as an answer that did not stop.
    Raises ValueError for a tokenizer without an end token.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end-of-text token, so no answer could stop by itself")
    end = int(tokenizer.eos_token_id)
    context = model.config.context_size
    answers: dict[int, Answer] = {}
    with evaluating(model):
        for group in of_similar_length([len(prompt) for prompt in prompts], batch_size):
            room = context - max(len(prompts[number]) for number in group)
            if room < 1:
                answers |= dict.fromkeys(group, Answer("", 0, stopped=False))
                continue
            written = continue_text(
                model,
                [prompts[number] for number in group],
                max_new_tokens=min(most_tokens, room),
                do_sample=False,
                end_token=end,
            )
            for number, continuation in zip(group, written, strict=True):
                tokens = continuation.tokens[: len(continuation.tokens) - continuation.finished]
                text = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
                answers[number] = Answer(text, len(continuation.tokens), continuation.finished)
    return [answers[number] for number in range(len(prompts))]
