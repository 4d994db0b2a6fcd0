"""Who looks at whom? Attention weights of any shape a model gives them, checked, as views over their tokens."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from course_lib.widgets.token_text import visible

LONGEST = 512  # tokens on a side: what a screen can show
Window = tuple[int, int]
# Marks that models add to a text; the widget can hide them. What is masked or unknown was a word, and stays.
SPECIAL_TOKENS = frozenset(
    [
        "[CLS]",
        "[SEP]",
        "[PAD]",
        "<s>",
        "</s>",
        "<pad>",
        "<bos>",
        "<eos>",
        "<|endoftext|>",
        "<begin>",
        "<end>",
        "<padding>",
    ]
)


@dataclass(frozen=True)
class AttentionView:
    """Attention maps over the same tokens: those of an encoder, of a decoder, or of the look from one to the other.

    The queries are the tokens that look, the keys those that are looked at; in self-attention they are the same.
    Layers have names, since some models have layers without attention between them.
    """

    name: str
    weights: Float[Tensor, "layer head query key"]
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    special_queries: tuple[bool, ...]
    special_keys: tuple[bool, ...]
    layers: tuple[str, ...]
    note: str = ""

    @property
    def is_self_attention(self) -> bool:
        return self.queries == self.keys

    @cached_property
    def is_causal(self) -> bool:
        """Whether no token looks at one behind it."""
        if not self.is_self_attention or len(self.keys) < 2 or bool(self.weights[:, :, 0, -1].any()):
            return False
        return not bool(self.weights.amax(dim=(0, 1)).triu(1).any())

    @property
    def heads(self) -> int:
        return self.weights.shape[1]


def view_of(
    name: str,
    weights: Any,
    queries: Sequence[str],
    keys: Sequence[str] | None = None,
    *,
    special_queries: Sequence[bool] | None = None,
    special_keys: Sequence[bool] | None = None,
    layers: Sequence[str] | None = None,
    window: Window | None = None,
    key_window: Window | None = None,
) -> AttentionView:
    """A view of checked weights; `keys` None: the queries look at themselves.

    weights: [layer, head, query, key], or a list with [head, query, key] or [1, head, query, key] for each layer (None
    for a layer without attention), or [query, key] of a single head. special_*: which tokens are marks; by default
    those in SPECIAL_TOKENS. window, key_window: show the queries and the keys from `first` to `last - 1` only.

    Raises ValueError for weights that do not fit the tokens or are no weights, with their place, and for more than 512
    tokens on a side without a window.
    """
    if keys is None:
        keys, special_keys, key_window = queries, special_queries, window if key_window is None else key_window
    _check_tokens(name, queries, keys)
    stacked, numbers = stack_layers(weights, name)
    if stacked.shape[2:] != (len(queries), len(keys)):
        raise ValueError(
            f"{name}: weights of shape {list(stacked.shape)} do not fit {len(queries)} tokens that look and "
            f"{len(keys)} that are looked at; expected [layer, head, query, key], one row and column a token"
        )
    if layers is not None and len(layers) != len(stacked):
        raise ValueError(f"{name}: {len(layers)} names for {len(stacked)} layers; give one for each")
    for what, tokens, part, argument in [
        ("tokens", queries, window, "window"),
        ("key tokens", keys, key_window, "window" if keys is queries else "key_window"),
    ]:
        check_length(f"{name} of {len(tokens):,} {what}", len(tokens), part, argument)
    check_weights(stacked, name, queries)
    view = AttentionView(
        name,
        stacked.float(),
        tuple(queries),
        tuple(keys),
        tuple(_specials(queries) if special_queries is None else special_queries),
        tuple(_specials(keys) if special_keys is None else special_keys),
        tuple(str(layer) for layer in (numbers if layers is None else layers)),
    )
    return cut(view, window, key_window)


def views_of(
    weights: Any,
    tokens: Sequence[str] | None,
    key_tokens: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    *,
    window: Window | None = None,
    key_window: Window | None = None,
) -> list[AttentionView]:
    """The views of weights given by hand: one for a tensor or list, or one for each entry of a dict.

    A dict holds {"encoder": (weights, tokens), "cross-attention": (weights, tokens, key tokens), …}. names: of the
    layers. Raises ValueError as `view_of` does.
    """
    if not isinstance(weights, Mapping):
        if tokens is None:
            raise ValueError("weights came without tokens; expected one text for each row, such as tokens=['a', 'b']")
        name = "self-attention" if key_tokens is None else "cross-attention"
        return [view_of(name, weights, tokens, key_tokens, layers=names, window=window, key_window=key_window)]
    if tokens is not None or key_tokens is not None or window is not None or key_window is not None:
        raise ValueError(
            "with a dict of views, the tokens stand in it: {'encoder': (weights, tokens)}; for a window, show one "
            "view: from_weights(weights, tokens, key_tokens, window=(first, last), key_window=(first, last))"
        )
    if not weights:
        raise ValueError("an empty dict has no view to show; expected {'encoder': (weights, tokens), …}")
    views = []
    for name, parts in weights.items():
        if not isinstance(parts, tuple) or len(parts) not in (2, 3):
            raise ValueError(
                f"view {name!r} must be (weights, tokens) or (weights, tokens, key tokens), got {type(parts).__name__}"
            )
        views.append(view_of(str(name), *parts, layers=names))
    return views


def stack_layers(weights: Any, name: str = "attention") -> tuple[Float[Tensor, "layer head query key"], list[int]]:
    """One tensor on the CPU of all layers that have weights, and their numbers, counted from 1."""
    if isinstance(weights, list | tuple) and any(layer is None or hasattr(layer, "shape") for layer in weights):
        present = [(number, torch.as_tensor(w)) for number, w in enumerate(weights, start=1) if w is not None]
        if not present:
            raise ValueError(f"{name}: none of the {len(weights)} layers gives weights")
        layers: list[Tensor] = []
        for number, layer in present:
            if layer.dim() == 4 and layer.shape[0] == 1:
                layer = layer[0]
            if layer.dim() != 3:
                raise ValueError(
                    f"{name}, layer {number}: weights of shape {list(layer.shape)}; expected [head, query, key] of "
                    "one text"
                )
            if layers and layer.shape != layers[0].shape:
                raise ValueError(
                    f"{name}: layer {number} has weights of shape {list(layer.shape)}, layer {present[0][0]} of "
                    f"{list(layers[0].shape)}; show layers of different shapes in views of their own"
                )
            layers.append(layer.detach().cpu())
        return torch.stack(layers), [number for number, _ in present]
    tensor = torch.as_tensor(weights).detach().cpu()
    if tensor.dim() == 2:
        tensor = tensor[None, None]
    if tensor.dim() != 4:
        raise ValueError(
            f"{name}: weights of shape {list(tensor.shape)}; expected [layer, head, query, key]: a missing axis is "
            "added by weights[None]"
        )
    if 0 in tensor.shape:
        raise ValueError(f"{name}: weights of shape {list(tensor.shape)} are empty")
    return tensor if tensor.is_floating_point() else tensor.float(), list(range(1, len(tensor) + 1))


def check_length(what: str, length: int, window: Window | None, argument: str = "window", limit: int = LONGEST) -> None:
    """Refuses more than `limit` tokens on a side, naming the argument that shows a part; and windows outside."""
    if window is None:
        if length > limit:
            raise ValueError(
                f"{what}: at most {limit} can be shown at once; show a part by {argument}=(first, last), such as "
                f"{argument}=(0, {limit})"
            )
        return
    first, last = window
    if not 0 <= first < last <= length:
        raise ValueError(f"{argument}=({first}, {last}) does not lie in {what}; expected 0 <= first < last <= {length}")
    if last - first > limit:
        raise ValueError(f"{argument}=({first}, {last}) holds {last - first:,} tokens; at most {limit} can be shown")


def check_weights(weights: Float[Tensor, "layer head query key"], name: str, queries: Sequence[str]) -> None:
    """Raises ValueError, naming the first place, for what is no number, negative, or a row that does not sum to 1."""
    tolerance = 1e-3 if weights.dtype in (torch.float32, torch.float64) else 2e-2  # bfloat16 has three digits
    for number, layer in enumerate(weights, start=1):  # [head, query, key]: a layer at a time needs little memory
        sums = layer.sum(dim=-1, dtype=torch.float32)
        wrong = ~((sums - 1).abs() <= tolerance)  # True for NaN too
        if bool(wrong.any()):
            head, row = _first_place(wrong)
            place = f"{name}, layer {number}, head {head + 1}, row {row + 1} ({visible(queries[row])})"
            values = layer[head, row].float()
            if not bool(values.isfinite().all()):
                column = int((~values.isfinite()).nonzero()[0])
                raise ValueError(f"{place}: the weight in column {column + 1} is {values[column].item()}, no number")
            raise ValueError(
                f"{place}: the weights sum to {float(sums[head, row]):.4g}, expected 1; give weights after the "
                "softmax, without dropout (model.eval())"
            )
        if float(layer.min()) < 0:
            head, row = _first_place((layer < 0).any(dim=-1))
            raise ValueError(
                f"{name}, layer {number}, head {head + 1}, row {row + 1} ({visible(queries[row])}): the weight "
                f"{float(layer[head, row].min()):.4g} is negative; give weights after the softmax"
            )


def cut(view: AttentionView, window: Window | None, key_window: Window | None) -> AttentionView:
    """The same weights, of a part of the tokens; what the part looks at outside is no longer seen, and said so."""
    if window is None and key_window is None:
        return view
    (first, last), (key_first, key_last) = window or (0, len(view.queries)), key_window or (0, len(view.keys))
    rows = f"tokens {first + 1} to {last} of {len(view.queries):,}"
    columns = f" at tokens {key_first + 1} to {key_last} of {len(view.keys):,}" if key_window != window else ""
    return replace(
        view,
        weights=view.weights[:, :, first:last, key_first:key_last].clone(),
        queries=view.queries[first:last],
        keys=view.keys[key_first:key_last],
        special_queries=view.special_queries[first:last],
        special_keys=view.special_keys[key_first:key_last],
        note=f"A window: {rows}{columns}. Weight on tokens outside is not shown, so rows can sum to less than 1.",
    )


def _specials(tokens: Collection[str]) -> list[bool]:
    return [token in SPECIAL_TOKENS for token in tokens]


def _first_place(wrong: Bool[Tensor, "head query"]) -> tuple[int, int]:
    head, row = wrong.nonzero()[0].tolist()
    return head, row


def _check_tokens(name: str, queries: Any, keys: Any) -> None:
    for tokens in (queries, keys):
        if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"{name}: tokens must be a list of texts, one for each token, got {type(tokens).__name__}")
        if not tokens:
            raise ValueError(f"{name}: there are no tokens; give at least one")
