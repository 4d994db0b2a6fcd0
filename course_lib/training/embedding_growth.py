"""How does a trained model learn a new token? Its row begins at the mean of the old ones (notebook 12).

A random row can be far longer than all others and would win or lose every softmax; at the mean, the new token begins as
likely as an average one. Source: Taori et al. 2023 (Stanford Alpaca), train.py, smart_tokenizer_and_embedding_resize;
Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models".
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from course_lib.models.gpt import GPT

SPECIAL_TOKENS = {"pad_token": "[PAD]", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}  # Alpaca's


def add_missing_tokens(tokenizer: Any, wanted: dict[str, str] | None = None) -> int:
    """Give a tokenizer the special tokens that it lacks, and none that it has; gives how many were new.

    `wanted`: by role, such as {"pad_token": "[PAD]"}; default: Alpaca's four.
    """
    wanted = SPECIAL_TOKENS if wanted is None else wanted
    missing = {role: token for role, token in wanted.items() if getattr(tokenizer, role) is None}
    return tokenizer.add_special_tokens(missing) if missing else 0


@torch.no_grad()
def grow_embeddings(model: nn.Module, vocabulary_size: int) -> int:
    """Make room for new tokens, whose rows are the mean of the old ones, at both ends; gives how many were added.

    `model` is the course's GPT, which has one matrix for both ends, or a model of transformers. Make the optimizer
    afterwards. Raises ValueError for fewer tokens than there are.
    """
    embedding = model.embedding if isinstance(model, GPT) else model.get_input_embeddings()  # type: ignore[operator]
    assert isinstance(embedding, nn.Embedding)
    old = embedding.num_embeddings
    if vocabulary_size < old:
        raise ValueError(f"the model has {old} tokens already; growing to {vocabulary_size} would lose some")
    if vocabulary_size == old:
        return 0
    if isinstance(model, GPT):
        grown = nn.Embedding(vocabulary_size, embedding.embedding_dim).to(embedding.weight)
        grown.weight[:old] = embedding.weight
        model.embedding = grown
        model.config = replace(model.config, vocabulary_size=vocabulary_size)
        ends = [grown.weight]
    else:
        model.resize_token_embeddings(vocabulary_size, mean_resizing=False)  # type: ignore[operator]
        output = model.get_output_embeddings()  # type: ignore[operator]
        ends = [model.get_input_embeddings().weight, *([] if output is None else [output.weight])]  # type: ignore[operator]
    for matrix in ends:
        matrix[old:] = matrix[:old].float().mean(dim=0).to(matrix.dtype)
    return vocabulary_size - old
