"""What need not be read again at the next turn? All that the new prompt has in common with the last (notebook 11).

A conversation's prompt is the last one, the answer, and the new message: if keys and values of the earlier tokens are
kept, a turn costs what is new in it. A memory that drops the oldest turn changes the beginning, and all is read anew.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import DynamicCache

from course_lib.models.gpt import GPT


class PrefixReader:
    """Reads prompts with one model, keeping what it read. `model`: the course's GPT, or a causal one of transformers.

    reused, computed: how many of the last prompt's tokens were kept from before, and how many were read.
    keep=False reads each prompt anew (and keeps keys and values within an answer alone).
    """

    def __init__(self, model: nn.Module, *, keep: bool = True) -> None:
        self.model, self.keep = model, keep
        self.tokens: list[int] = []  # whose keys and values are in the cache
        self.reused = self.computed = 0
        self._cache: Any = None

    @property
    def context_size(self) -> int | None:
        """The most tokens that the model reads; None if it has no limit."""
        if isinstance(self.model, GPT):
            return self.model.config.context_size
        config: Any = self.model.config
        return getattr(config.get_text_config(), "max_position_embeddings", None)

    @torch.no_grad()
    def read(self, tokens: Sequence[int]) -> Float[Tensor, " vocabulary"]:
        """The scores of what comes after a prompt, float32. Raises ValueError for an empty prompt."""
        tokens = list(tokens)
        if not tokens:
            raise ValueError("the prompt has no token; begin with at least one, such as the end-of-text token")
        same = common_prefix(self.tokens, tokens) if self.keep else 0
        self.reused = min(same, len(tokens) - 1)  # the last token is always read: its scores are what is asked for
        self.computed = len(tokens) - self.reused
        self._cut(self.reused)
        return self._read_on(tokens[self.reused :])

    @torch.no_grad()
    def add(self, token: int) -> Float[Tensor, " vocabulary"]:
        """The scores of what comes after one more token."""
        return self._read_on([token])

    def forget(self) -> None:
        """Let all keys and values go."""
        self.tokens, self._cache = [], None

    def _cut(self, length: int) -> None:
        if length == 0:
            self.forget()
        elif isinstance(self._cache, DynamicCache):
            if length < len(self.tokens):
                self._cache.crop(length - len(self.tokens))  # a negative number: so many are taken off
        else:
            self._cache.cut(length)
        self.tokens = self.tokens[:length]

    def _read_on(self, tokens: list[int]) -> Float[Tensor, " vocabulary"]:
        device = next(self.model.parameters()).device
        given = torch.tensor([tokens], device=device)
        try:
            if isinstance(self.model, GPT):
                self._cache = self._cache or self.model.empty_cache()
                logits = self.model(given, cache=self._cache).logits
            else:
                self._cache = self._cache if self._cache is not None else DynamicCache()
                logits = self.model(given, past_key_values=self._cache, use_cache=True).logits
        except BaseException:  # Ctrl-C, too: some blocks may have kept the new tokens, and others not
            self.forget()
            raise
        self.tokens += tokens
        return logits[0, -1].float()


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common from the beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))
