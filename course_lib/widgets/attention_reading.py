"""Where does this model look in this text? Runs the course's models and Hugging Face's, and reads their attention."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from course_lib.data.vocabulary import BEGIN, END, PADDING, Vocabulary
from course_lib.generation.translate import greedy
from course_lib.models.bert import BERT, Classifier, MaskedLanguageModel
from course_lib.models.gpt import GPT
from course_lib.models.modes import evaluating
from course_lib.models.seq2seq import EncoderDecoder
from course_lib.widgets.attention_maps import LONGEST, AttentionView, Window, check_length, view_of
from course_lib.widgets.token_text import tokens_of

LONGEST_WRITTEN = 64  # tokens that a model writes itself where no target is given


@dataclass(frozen=True)
class ReadText:
    """A text as a model reads it: numbers, their texts, and which are marks that the model needs."""

    numbers: list[int]
    tokens: list[str]
    special: list[bool]
    note: str = ""


def read_views(
    model: Any, tokenizer: Any, text: str, target: str | None = None, window: Window | None = None
) -> list[AttentionView]:
    """One view for a model of one stack; encoder, decoder and cross-attention for one of two.

    target: what an encoder-decoder writes (None: what it writes by itself, greedily). window: the model reads only the
    text's tokens from `first` to `last - 1`, with its special tokens around them. The model is read in evaluation mode
    and without gradients, and left as it was.

    Raises ValueError for an empty or too long text, a target for a model that writes none, and a model that gives no
    attention.
    """
    if isinstance(model, EncoderDecoder):
        reader = _read_course_pair
    elif isinstance(model, GPT | BERT | MaskedLanguageModel | Classifier):
        reader = _read_course_stack
    elif isinstance(model, nn.Module) and hasattr(model, "config"):
        reader = _read_hugging_face
    else:
        raise ValueError(
            f"a {type(model).__name__} is neither a model of the course nor of Hugging Face; show any weights by "
            "AttentionExplorer.from_weights(weights, tokens)"
        )
    with evaluating(model), torch.no_grad():
        return reader(model, tokenizer, text, target, window)


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Attention computed step by step: the fused kernels (sdpa, flash) never form the weights. Undone afterwards."""
    configs = {id(part.config): part.config for part in model.modules() if hasattr(part, "set_attn_implementation")}
    before = [(config, getattr(config, "_attn_implementation", None)) for config in configs.values()]
    changed = any(kind not in (None, "eager") for _, kind in before)
    if changed:
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        if changed:
            for config, kind in before:  # parents come first, so that what differs in a child is set last
                config._attn_implementation = kind


def _read_course_stack(
    model: Any, tokenizer: Any, text: str, target: str | None, window: Window | None
) -> list[AttentionView]:
    _refuse_target(model, target)
    stack = model if isinstance(model, GPT | BERT) else model.encoder
    read = read_text(tokenizer, text, window, model_limit=stack.config.context_size)
    output = stack(torch.tensor([read.numbers], device=_device(model)), want_weights=True)
    return [_self_view("self-attention", output.weights, read)]


def _read_course_pair(
    model: Any, tokenizer: Any, text: str, target: str | None, window: Window | None
) -> list[AttentionView]:
    """`tokenizer` is a vocabulary, or those of source and target; texts are words with spaces between them."""
    source_side, target_side = tokenizer if isinstance(tokenizer, tuple | list) else (tokenizer, tokenizer)
    read = read_text(source_side, text, window)
    source = torch.tensor([read.numbers], device=_device(model))
    is_word = torch.ones_like(source, dtype=torch.bool)
    if target is None:
        numbers = greedy(model, source, is_word, LONGEST_WRITTEN)[0].ids
    else:
        numbers = read_text(target_side, target, None, what="target").numbers
    written = _as_read(target_side, [BEGIN, *numbers])
    annotations = model.encoder(source, is_word)
    decoder = model.decoder
    targets = torch.tensor([written.numbers], device=source.device)
    output, _ = decoder(targets, decoder.start(annotations), annotations, decoder.prepare(annotations))
    views = []
    if getattr(annotations, "encoder_weights", None):
        views.append(_self_view("encoder", annotations.encoder_weights, read))
    if getattr(output, "self_weights", None):
        views.append(_self_view("decoder", output.self_weights, written))
    cross = getattr(output, "cross_weights", None)
    if not cross and output.weights is not None:
        cross = [output.weights[:, None]]  # recurrent decoders have a single look: one layer of one head
    if cross:
        views.append(_cross_view(cross, written, read))
    return views or _refuse_no_weights(model, "its decoder sees one fixed context vector")


def _read_hugging_face(
    model: Any, tokenizer: Any, text: str, target: str | None, window: Window | None
) -> list[AttentionView]:
    accepted = inspect.signature(model.forward).parameters
    writes = "decoder_input_ids" in accepted
    if not writes:
        _refuse_target(model, target)
    read = read_text(tokenizer, text, window, model_limit=_positions(model, tokenizer))
    numbers = torch.tensor([read.numbers], device=_device(model))
    inputs = {"input_ids": numbers, "attention_mask": torch.ones_like(numbers)}
    with eager(model):
        written = None
        if writes:
            written = _target_of(model, tokenizer, inputs, target)
            inputs["decoder_input_ids"] = torch.tensor([written.numbers], device=numbers.device)
        try:
            output = model(**inputs, output_attentions=True, return_dict=True)
        except TypeError as error:
            if "output_attentions" not in str(error):
                raise
            return _refuse_no_weights(model, "its forward takes no output_attentions")
        except IndexError as error:
            raise ValueError(
                f"{type(model).__name__} cannot read {len(read.numbers)} tokens ({error}); show a part by "
                "window=(first, last)"
            ) from error
    views = []
    if maps := _given(output, "attentions"):
        views.append(_self_view("self-attention", maps, read))
    if maps := _given(output, "encoder_attentions"):
        views.append(_self_view("encoder", maps, read))
    if written is not None:
        if maps := _given(output, "decoder_attentions"):
            views.append(_self_view("decoder", maps, written))
        if maps := _given(output, "cross_attentions"):
            views.append(_cross_view(maps, written, read))
    return views or _refuse_no_weights(
        model, "output_attentions=True returned none; load it with attn_implementation='eager' if it has attention"
    )


def _given(output: Any, field: str) -> Any:
    """The weights of all layers, or None if the output has none under this name."""
    maps = getattr(output, field, None)
    return maps if maps and any(layer is not None for layer in maps) else None


def _target_of(model: Any, tokenizer: Any, inputs: dict[str, torch.Tensor], target: str | None) -> ReadText:
    """What the decoder reads: its start token, then the target without its end."""
    if target is None:
        if not (hasattr(model, "can_generate") and model.can_generate()):
            raise ValueError(
                f"{type(model).__name__} writes no text by itself; give what its decoder reads by target='…'"
            )
        made = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=LONGEST_WRITTEN)
        numbers = made[0].tolist()
    else:
        start = getattr(model.config, "decoder_start_token_id", None)
        start = getattr(model.config, "bos_token_id", None) if start is None else start
        if start is None:
            raise ValueError(
                f"the configuration of {type(model).__name__} names no token that a target begins with; set "
                "model.config.decoder_start_token_id"
            )
        if not target:
            raise ValueError("the target is empty; give at least one word, or target=None for what the model writes")
        numbers = [start, *tokenizer(text_target=target, verbose=False)["input_ids"]]
    if len(numbers) > 1 and numbers[-1] == getattr(tokenizer, "eos_token_id", None):
        numbers = numbers[:-1]
    check_target(len(numbers))
    return _as_read(tokenizer, numbers)


def check_target(length: int) -> None:
    if length > LONGEST:
        raise ValueError(f"the target has {length:,} tokens; at most {LONGEST} can be shown: give a shorter one")


def read_text(
    tokenizer: Any, text: str, window: Window | None, what: str = "text", model_limit: int | None = None
) -> ReadText:
    """The text's tokens, or those of a window of it with the special tokens that the tokenizer puts around a text.

    Raises ValueError for a text without tokens, and for more than the explorer shows or the model reads.
    """
    if not isinstance(text, str):
        raise ValueError(f"the {what} must be a string, got {type(text).__name__}")
    if isinstance(tokenizer, Vocabulary):
        content = tokenizer.encode(text)
        before, after = list[int](), list[int]()
    elif callable(tokenizer) and hasattr(tokenizer, "decode"):
        content = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        before, after = around(list(tokenizer(text, verbose=False)["input_ids"]), content)
    else:
        raise ValueError(
            f"a {type(tokenizer).__name__} is no tokenizer for this; expected Hugging Face's, or a Vocabulary (for the "
            "course's encoder-decoders: the pair of source and target)"
        )
    if not content:
        raise ValueError(f"the {what} {text[:40]!r} has no tokens; give at least one word")
    limit = min(LONGEST, model_limit or LONGEST) - len(before) - len(after)
    described = f"the {what} has {len(content):,} tokens"
    if model_limit is not None and model_limit < LONGEST:
        described += f" and the model reads {model_limit} with its special tokens"
    if what == "target":
        check_target(len(content))
    else:
        check_length(described, len(content), window, limit=limit)
    note = ""
    if window is not None:
        first, last = window
        note = f"A window: the model has read tokens {first + 1} to {last} of {len(content):,}, and nothing else."
        content = content[first:last]
    read = _as_read(tokenizer, [*before, *content, *after])
    return ReadText(read.numbers, read.tokens, read.special, note)


def around(numbers: Sequence[int], content: Sequence[int]) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text: `numbers` without the run `content`, if it is there."""
    spare = len(numbers) - len(content)
    for first in range(spare + 1):
        if list(numbers[first : first + len(content)]) == list(content):
            return list(numbers[:first]), list(numbers[first + len(content) :])
    return [], []


def special_numbers(tokenizer: Any) -> set[int]:
    """The marks of a tokenizer. Masked and unknown words are words, unless the same number also ends texts (GPT-2)."""
    if isinstance(tokenizer, Vocabulary):
        return {PADDING, BEGIN, END}
    marks = {getattr(tokenizer, f"{kind}_token_id", None) for kind in ("bos", "eos", "pad", "cls", "sep")}
    words = {getattr(tokenizer, f"{kind}_token_id", None) for kind in ("unk", "mask")} - marks
    known = (set(getattr(tokenizer, "all_special_ids", [])) | marks) - words
    return {number for number in known if number is not None}


def _as_read(tokenizer: Any, numbers: list[int]) -> ReadText:
    if isinstance(tokenizer, Vocabulary):
        tokens = [tokenizer.token_of(number) for number in numbers]
    else:
        tokens = tokens_of(tokenizer, numbers)
    specials = special_numbers(tokenizer)
    return ReadText(numbers, tokens, [number in specials for number in numbers])


def _self_view(name: str, maps: Any, read: ReadText) -> AttentionView:
    return _noted(view_of(name, maps, read.tokens, special_queries=read.special), read.note)


def _cross_view(maps: Any, written: ReadText, read: ReadText) -> AttentionView:
    return _noted(
        view_of(
            "cross-attention",
            maps,
            written.tokens,
            read.tokens,
            special_queries=written.special,
            special_keys=read.special,
        ),
        f"{read.note} Each row stands for the token that was read while the next one was written.".strip(),
    )


def _noted(view: AttentionView, note: str) -> AttentionView:
    return replace(view, note=note)


def _positions(model: Any, tokenizer: Any) -> int | None:
    """How many tokens the model reads at once, as far as its configuration and its tokenizer say."""
    known = [getattr(model.config, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    sizes = [int(size) for size in known if size and size < 10**9]
    return min(sizes) if sizes else None


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _refuse_target(model: Any, target: str | None) -> None:
    if target is not None:
        raise ValueError(f"a {type(model).__name__} has no decoder that reads a target; leave target= out")


def _refuse_no_weights(model: Any, why: str) -> list[AttentionView]:
    raise ValueError(
        f"{type(model).__name__} gives no attention weights: {why}. Weights that you have by other ways are shown by "
        "AttentionExplorer.from_weights(weights, tokens)"
    )
