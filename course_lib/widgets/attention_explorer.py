"""Who looks at whom? All heads of a model at a glance, and each of them closely (notebooks 02 to 05, and 15)."""

from collections.abc import Sequence
from typing import Any

import torch
import traitlets

from course_lib.lesson.suggestions import unknown_name
from course_lib.widgets import attention_static
from course_lib.widgets.attention_maps import AttentionView, Window, views_of
from course_lib.widgets.attention_measures import AVERAGE, ROLLOUT, MeasuredView, measured, widest_entropy
from course_lib.widgets.attention_reading import read_views
from course_lib.widgets.base import CourseWidget, script, style
from course_lib.widgets.packing import packed
from course_lib.widgets.token_text import visible

# With few tokens, all maps are sent at once: then no kernel is needed, which may be busy running the next cells.
ALL_AT_ONCE_TOKENS = 64
ALL_AT_ONCE_BYTES = 2_000_000


class AttentionExplorer(CourseWidget):
    """Layers by heads as thumbnails, one of them enlarged as a heat map or as lines between tokens.

        AttentionExplorer(model, tokenizer, "The pen is in the box.")
        AttentionExplorer(translator, (source_vocabulary, target_vocabulary), "a house", target="ein Haus")
        AttentionExplorer.from_weights(weights, ["The", "pen"])  # weights [layer, head, query, key]

    model: the course's GPT, BERT (with any head on it) and encoder-decoders, or a Hugging Face model whose attention
    can be read; its own attention implementation is put back afterwards. target: what an encoder-decoder writes; None
    for what it writes by itself. window: read only the tokens from `first` to `last - 1`; needed beyond 512. view,
    layer and head say what is shown first: layers and heads count from 1, head may be "average" or "rollout".

    `chosen` tells what the reader looks at: view, layer and head.
    """

    _esm = script("attention_explorer.js")
    _css = style("attention_explorer.css")
    views: traitlets.List = traitlets.List().tag(sync=True)
    thumbnails = traitlets.Bytes().tag(sync=True)
    maps = traitlets.Bytes().tag(sync=True)  # all of them, or only the one that is shown first
    all_at_once = traitlets.Bool().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)  # {"view", "layer", "head"}, counted from 0; the columns follow the heads

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        text: str,
        *,
        target: str | None = None,
        window: Window | None = None,
        view: str | None = None,
        layer: int = 1,
        head: int | str = 1,
    ) -> None:
        self._begin(read_views(model, tokenizer, text, target, window), view, layer, head)

    @classmethod
    def from_weights(
        cls,
        weights: Any,
        tokens: Sequence[str] | None = None,
        key_tokens: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        *,
        window: Window | None = None,
        key_window: Window | None = None,
        view: str | None = None,
        layer: int = 1,
        head: int | str = 1,
    ) -> "AttentionExplorer":
        """Shows weights that come from anywhere: [layer, head, query, key], a list with a tensor for each layer,
        [query, key] of one head, or a dict of views, {"encoder": (weights, tokens), "cross": (weights, rows, columns)}.

        tokens: the texts of the rows; key_tokens: of the columns, if other ones. names: of the layers.
        """
        explorer = cls.__new__(cls)
        explorer._begin(
            views_of(weights, tokens, key_tokens, names, window=window, key_window=key_window), view, layer, head
        )
        return explorer

    def _begin(self, views: list[AttentionView], view: str | None, layer: int, head: int | str) -> None:
        self.measured = [measured(one) for one in views]
        chosen = self._find(view, layer, head)
        described, small = self._describe()
        total = sum(len(m.view.layers) * len(m.columns) * len(m.view.queries) * len(m.view.keys) for m in self.measured)
        longest = max(max(len(one.queries), len(one.keys)) for one in views)
        all_at_once = longest <= ALL_AT_ONCE_TOKENS and total <= ALL_AT_ONCE_BYTES
        super().__init__(
            views=described,
            thumbnails=small,
            maps=self._all_maps() if all_at_once else packed(self._map(**chosen)),
            all_at_once=all_at_once,
            chosen=chosen,
        )

    def on_head(self, view: int, layer: int, head: int) -> tuple[dict[str, int], list[bytes]]:
        """The page asks for one map. Raises ValueError for one that is not there."""
        places = {"view": view, "layer": layer, "head": head}
        try:
            if min(places.values()) < 0:
                raise IndexError
            return places, [packed(self._map(**places))]
        except IndexError:
            raise ValueError(f"there is no map {places}") from None

    def static_html(self) -> str:
        """The overview and the chosen map as pictures, and their numbers as tables."""
        return attention_static.static_html(self.measured, **self.chosen)

    def static_text(self) -> str:
        """The entropy of all heads, and the chosen map, as text tables."""
        return attention_static.static_text(self.measured, **self.chosen)

    def _map(self, view: int, layer: int, head: int) -> torch.Tensor:
        return self.measured[view].map_of(layer, head)

    def _all_maps(self) -> bytes:
        return b"".join(
            packed(one.map_of(layer, column))
            for one in self.measured
            for layer in range(len(one.view.layers))
            for column in range(len(one.columns))
        )

    def _find(self, view: str | None, layer: int, head: int | str) -> dict[str, int]:
        names = [one.view.name for one in self.measured]
        if view is not None and view not in names:
            raise unknown_name("view", view, names)
        number = 0 if view is None else names.index(view)
        one = self.measured[number]
        if not 1 <= layer <= len(one.view.layers):
            raise ValueError(f"layer={layer}: {one.view.name} has layers 1 to {len(one.view.layers)}")
        if str(head) not in one.columns:
            raise ValueError(
                f"head={head!r}: {one.view.name} has heads 1 to {one.view.heads}, {AVERAGE!r} and, in self-attention, "
                f"{ROLLOUT!r}"
            )
        return {"view": number, "layer": layer - 1, "head": one.columns.index(str(head))}

    def _describe(self) -> tuple[list[dict[str, Any]], bytes]:
        """Each view as the page reads it, and all thumbnails; those without special tokens stand behind the others."""
        described, small = [], b""
        for one in self.measured:
            sizes, offsets = [], []
            for keep in (True, False) if _can_hide(one.view) else (True,):
                pictures = one.small_maps(keep)
                sizes.append(list(pictures.shape[2:]))
                offsets.append(len(small))
                small += pictures.numpy().tobytes()
            described.append(_described(one) | {"thumbnail_sizes": sizes, "thumbnail_offsets": offsets})
        return described, small


def _can_hide(view: AttentionView) -> bool:
    """Whether there are special tokens, and others."""
    specials = (view.special_queries, view.special_keys)
    return any(map(any, specials)) and not any(map(all, specials))


def _described(one: MeasuredView) -> dict[str, Any]:
    view = one.view
    return {
        "name": view.name,
        "layers": list(view.layers),
        "heads": view.heads,
        "columns": one.columns,
        "queries": [visible(token) for token in view.queries],
        "keys": [visible(token) for token in view.keys],
        "special_queries": list(view.special_queries),
        "special_keys": list(view.special_keys),
        "can_hide": _can_hide(view),
        "same_tokens": view.is_self_attention,
        "causal": view.is_causal,
        "note": view.note,
        "names": [
            [one.name_of(layer, column) for column in range(len(one.columns))] for layer in range(len(view.layers))
        ],
        "entropies": [[round(float(bits), 3) for bits in row] for row in one.entropies],
        "widest": round(widest_entropy(view), 3),
    }
