"""Where in the document does the decoder look as it writes each word? The weights of cross-attention (notebook 09)."""

from contextlib import ExitStack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.models.long_attention import attention_weights
from course_lib.models.long_t5 import LongT5
from course_lib.models.scaled_attention import split_heads


@torch.no_grad()
def looks_at_document(
    model: LongT5,
    tokens: Int[Tensor, "batch source"],
    before: Int[Tensor, "batch target"],
    is_word: Bool[Tensor, "batch source"] | None = None,
) -> Float[Tensor, "batch blocks heads target source"]:
    """Each decoder block's weights over the document, as it guesses what follows each token of `before`.

    Rows sum to 1; padding gets 0. Equal to transformers' `cross_attentions`. The fused kernel of the model keeps no
    weights, so the queries are caught on their way and the weights reckoned once more.
    """
    memory = model.read(tokens, is_word)
    queries: list[Tensor] = []
    with ExitStack() as hooks:
        for block in model.decoder.blocks:
            attention = block.cross_attention
            handle = attention.query.register_forward_hook(lambda _, __, output: queries.append(output))  # type: ignore[union-attr]
            hooks.callback(handle.remove)
        model.write(memory, before)
    heads = model.config.heads
    weights = [
        attention_weights(split_heads(query, heads), key, memory.bias)
        for query, (key, _) in zip(queries, memory.keys_and_values, strict=True)
    ]
    return torch.stack(weights, dim=1)
