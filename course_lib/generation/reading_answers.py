"""How does an encoder-decoder write its answers? Token by token, the likeliest each time (notebooks 09 and 10)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from course_lib.data.batching import of_similar_length
from course_lib.data.question_format import encode_question
from course_lib.models.long_t5 import LongT5


@torch.no_grad()
def answer_tokens(
    model: LongT5,
    inputs: Sequence[Sequence[int]],
    *,
    max_new_tokens: int = 32,
    start_token: int = 0,
    end_token: int = 1,
    use_cache: bool = True,
    on_token: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """The answers to inputs of any lengths, read as one batch; without the start and end marks.

    on_token(row, token) is called for each new token, for streaming. use_cache=False computes all words anew at each
    step: the same tokens, slower. Raises ValueError for an empty input or fewer than one token to write.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if not inputs or any(len(row) == 0 for row in inputs):
        raise ValueError("each input needs at least one token; give a document and a question")
    device = model.embedding.weight.device
    tokens = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in inputs], batch_first=True).to(device)
    lengths = torch.tensor([len(row) for row in inputs], device=device)
    memory = model.read(tokens, torch.arange(tokens.shape[1], device=device) < lengths[:, None])
    cache = model.empty_cache(max_new_tokens) if use_cache else None
    written = tokens.new_full((len(inputs), 1), start_token)
    answers: list[list[int]] = [[] for _ in inputs]
    finished = [False] * len(inputs)
    for _ in range(max_new_tokens):
        scores = model.write(memory, written[:, -1:] if use_cache else written, cache)[:, -1]
        chosen = scores.argmax(dim=-1, keepdim=True)
        for row, token in enumerate(chosen[:, 0].tolist()):
            finished[row] = finished[row] or token == end_token
            if not finished[row]:
                answers[row].append(token)
                if on_token:
                    on_token(row, token)
        if all(finished):
            break
        written = torch.cat([written, chosen], dim=1)
    return answers


def answers_to_rows(
    model: LongT5,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[Mapping[str, Any]],
    *,
    last: int = 2,
    longest: int | None = None,
    max_new_tokens: int = 32,
    batch_size: int = 64,
) -> list[str]:
    """The answers, as text, to rows of a set (`context`, `question`, `history`), in the rows' order.

    last: pairs of the history that are read. longest: tokens of an input; the end of its document is cut off.
    Inputs of similar length are read together. Raises ValueError as `encode_question` and `answer_tokens` do.
    """
    inputs = [encode_question(tokenizer, r["context"], r["question"], r["history"], last, longest) for r in rows]
    said = [""] * len(inputs)
    for chosen in of_similar_length([len(each) for each in inputs], batch_size):
        written = answer_tokens(model, [inputs[number] for number in chosen], max_new_tokens=max_new_tokens)
        for number, text in zip(chosen, tokenizer.batch_decode(written), strict=True):
            said[number] = text.strip()
    return said
