"""How well does a language model predict? Cross-entropy over a whole text, and bits per byte (notebooks 04, 06)."""

import math

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from course_lib.models.gpt import GPT


@torch.no_grad()
def stream_nats(
    model: GPT, stream: Int[Tensor, " tokens"], *, stride: int | None = None, batch_size: int = 16
) -> tuple[float, int]:
    """The total negative log-likelihood of a stream, in nats, and the number of tokens scored (all but the first).

    The stream is read in windows of the model's context that begin every `stride` tokens (default: half a context),
    and each token is scored once, in the first window that reaches it: all but the first window give it at least
    context - stride tokens to look back at. A smaller stride is slower and scores a little better.
    Raises ValueError for a stride outside 1..context, or a stream of fewer than two tokens.
    """
    context = model.config.context_size
    stride = context // 2 if stride is None else stride
    if not 1 <= stride <= context:
        raise ValueError(f"stride must be between 1 and the context of {context}, got {stride}")
    if len(stream) < 2:
        raise ValueError("at least two tokens are needed: the first is only read")
    device = next(model.parameters()).device
    inputs, labels = stream[:-1], stream[1:]
    # The first window scores all its places, later ones only what is new in them.
    starts = [0, *range(stride, max(len(inputs) - context, 0) + stride, stride)] if len(inputs) > context else [0]
    starts = [min(start, max(len(inputs) - context, 0)) for start in starts]
    total, scored = 0.0, 0
    for first in range(0, len(starts), batch_size):
        group = starts[first : first + batch_size]
        width = min(context, len(inputs))
        rows = torch.stack([inputs[start : start + width] for start in group]).to(device)
        wanted = torch.stack([labels[start : start + width] for start in group]).to(device)
        losses = F.cross_entropy(model(rows).logits.float().flatten(0, 1), wanted.flatten(), reduction="none")
        for start, row in zip(group, losses.view(len(group), width), strict=True):
            new = row[max(scored - start, 0) :]
            total += float(new.double().sum())
            scored = start + width
    return total, scored


def perplexity_of(model: GPT, stream: Int[Tensor, " tokens"], **options: int) -> float:
    """exp of the mean negative log-likelihood of a token; `options` as in `stream_nats`."""
    total, scored = stream_nats(model, stream, **options)
    return math.exp(total / scored)
