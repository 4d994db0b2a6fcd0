"""How is any language model asked what comes next? Our GPT and Hugging Face's causal models, by the same calls."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.generation.continuing import Continuation, continue_text
from course_lib.generation.sampling import Sampling, choose
from course_lib.models.gpt import GPT
from course_lib.models.modes import evaluating
from course_lib.widgets.token_text import tokens_of, visible

LONGEST_PROMPT = 2_048  # tokens; a page that one plays with should answer at once


class CausalModel:
    """A model and its tokenizer. Nothing of either is changed.

    context_size: the most tokens that the model reads, None if it has no limit. end_token: ends a text, or None.
    Raises ValueError for a model that does not write from left to right, and for a tokenizer that is not the model's.
    """

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        if isinstance(model, GPT):
            self.context_size: int | None = model.config.context_size
            self.vocabulary_size = model.config.vocabulary_size
        else:
            self.context_size, self.vocabulary_size = _sizes_of_theirs(model)
        if (known := len(tokenizer)) > self.vocabulary_size:
            raise ValueError(
                f"the tokenizer has {known} tokens, but the model's vocabulary {self.vocabulary_size}; use the model's "
                "own tokenizer"
            )
        self.end_token: int | None = tokenizer.eos_token_id

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def tokens_of(self, text: str) -> list[int]:
        """The prompt's tokens; an empty prompt begins at the token that begins or ends a text.

        Raises ValueError if there is no such token, and for a prompt longer than the context.
        """
        tokens = list(self.tokenizer(text, verbose=False)["input_ids"])
        if not tokens:
            begin = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.end_token
            if begin is None:
                raise ValueError(
                    "the prompt is empty, and this tokenizer has no end-of-text token to begin at; type one"
                )
            tokens = [begin]
        self.refuse_too_long(len(tokens))
        return tokens

    def shown(self, tokens: Sequence[int]) -> list[str]:
        """Each token as visible text; numbers that the tokenizer does not know, as `‹token 50260›`."""
        known = len(self.tokenizer)
        return [
            visible(tokens_of(self.tokenizer, [token])[0]) if token < known else f"‹token {token}›" for token in tokens
        ]

    def end_of(self, tokens: Sequence[int], longest: int = 60) -> str:
        """The last signs of a text, as visible text."""
        text = self.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
        shown = visible(text[-longest:], 8 * longest).replace("␣", " ")
        return shown if len(text) <= longest else f"…{shown}"

    def refuse_too_long(self, length: int) -> None:
        """Raises ValueError, with the numbers, for more tokens than can be read."""
        if self.context_size is not None and length > self.context_size:
            raise ValueError(
                f"the prompt has {length:,} tokens, but the model's context holds {self.context_size:,}; shorten it by "
                f"{length - self.context_size:,} or more"
            )
        if length > LONGEST_PROMPT:
            raise ValueError(
                f"the prompt has {length:,} tokens; the laboratory reads at most {LONGEST_PROMPT:,}, to answer at "
                f"once; shorten it by {length - LONGEST_PROMPT:,} or more"
            )

    @torch.no_grad()
    def next_logits(self, tokens: Sequence[int]) -> Float[Tensor, " vocabulary"]:
        """The score of each token to come next, float32 on the CPU. Raises ValueError if one is not a number."""
        self.refuse_too_long(len(tokens))
        given = torch.tensor([list(tokens)], device=self.device)
        with evaluating(self.model):
            output = self.model(given) if isinstance(self.model, GPT) else self.model(given, **_last_only(self.model))
        logits = output.logits[0, -1].float().cpu()
        refuse_unusable(logits)
        return logits

    def go_on(
        self,
        tokens: Sequence[int],
        sampling: Sampling,
        *,
        count: int,
        new_tokens: int,
        seed: int,
        do_sample: bool = True,
    ) -> list[Continuation]:
        """`count` continuations of the same tokens. do_sample=False: the likeliest token each time.

        Raises ValueError if the context has no room for them.
        """
        if self.context_size is not None and len(tokens) + new_tokens > self.context_size:
            raise ValueError(
                f"{len(tokens):,} tokens and {new_tokens:,} new ones need {len(tokens) + new_tokens:,} places, but the "
                f"model's context holds {self.context_size:,}; sample at most "
                f"{max(self.context_size - len(tokens), 0):,} new tokens"
            )
        generator = torch.Generator(device=self.device).manual_seed(seed)
        if not do_sample:
            sampling = Sampling(repetition_penalty=sampling.repetition_penalty)
        with evaluating(self.model):
            if not isinstance(self.model, GPT):
                prompts = torch.tensor([list(tokens)] * count, device=self.device)
                return _continue_theirs(self.model, prompts, sampling, new_tokens, do_sample, self.end_token, generator)
            return continue_text(
                self.model,
                [tokens] * count,
                max_new_tokens=new_tokens,
                do_sample=do_sample,
                sampling=sampling,
                end_token=self.end_token,
                generator=generator,
            )


def refuse_unusable(logits: Float[Tensor, " vocabulary"]) -> None:
    """Raises ValueError, naming the place, for scores that no softmax can take."""
    wrong = logits.isnan() | (logits == float("inf"))
    if wrong.any():
        place = int(wrong.nonzero()[0])
        raise ValueError(
            f"the score of token {place} is {logits[place].item()} ({int(wrong.sum()):,} of {len(logits):,} scores are "
            "no finite numbers); the model's weights are damaged, or its precision is too low: try model.float()"
        )
    if not logits.isfinite().any():
        raise ValueError(
            f"all {len(logits):,} scores are -inf, so that no token can come next; look at the model's head"
        )


@torch.no_grad()
def _continue_theirs(
    model: Any,
    tokens: Tensor,
    sampling: Sampling,
    new_tokens: int,
    do_sample: bool,
    end_token: int | None,
    generator: torch.Generator,
) -> list[Continuation]:
    """`continue_text` for Hugging Face's models: the same steps in the same order, so the same seed draws the same."""
    continuations = [Continuation([]) for _ in tokens]
    cache, new = None, tokens
    for _ in range(new_tokens):
        output = model(new, past_key_values=cache, use_cache=True, **_last_only(model))
        cache = getattr(output, "past_key_values", None)
        logits = output.logits[:, -1].float()
        chosen = choose(logits, tokens, sampling, do_sample=do_sample, generator=generator)
        said = logits.log_softmax(dim=-1).gather(1, chosen)
        for continuation, token, log_probability in zip(
            continuations, chosen[:, 0].tolist(), said[:, 0].tolist(), strict=True
        ):
            if not continuation.finished:
                continuation.tokens.append(token)
                continuation.log_probabilities.append(log_probability)
                continuation.finished = token == end_token
        if all(continuation.finished for continuation in continuations):
            break
        tokens = torch.cat([tokens, chosen], dim=1)
        new = chosen if cache is not None else tokens  # a model without a cache reads everything anew
    return continuations


def _sizes_of_theirs(model: Any) -> tuple[int | None, int]:
    """The context and the vocabulary of a Hugging Face model. Raises ValueError for what is no causal model."""
    config: Any = getattr(model, "config", None)
    writes = callable(getattr(model, "can_generate", None)) and model.can_generate()
    if not writes or getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"{type(model).__name__} does not write from left to right; give course_lib's GPT or a causal model of "
            "transformers, such as AutoModelForCausalLM.from_pretrained(…) or zoo.load('pydoc-gpt')"
        )
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    return getattr(text_config, "max_position_embeddings", None), int(text_config.vocab_size)


def _last_only(model: nn.Module) -> dict[str, int]:
    """Asks for the scores of the last place alone, where a model can leave out the others."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
