"""What can be said of a head in one number, and of all heads in one map? Entropy, average and rollout."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from course_lib.widgets.attention_maps import AttentionView
from course_lib.widgets.packing import thumbnails

AVERAGE, ROLLOUT = "average", "rollout"


def entropy_in_bits(weights: Float[Tensor, "*maps query key"]) -> Float[Tensor, "*maps"]:
    """How widely a head looks: -sum p log2 p of each row, the mean over the rows.

    0: each token looks at one token alone. log2(keys): at all keys alike. Rows are scaled to sum to 1 first, since a
    window may have cut them; a row without weight counts 0.
    """
    maps = weights.reshape(-1, *weights.shape[-2:])
    # One map at a time stays in the processor's cache, which takes half the time.
    return torch.stack([_entropy_of_one(one) for one in maps]).view(weights.shape[:-2])


def _entropy_of_one(weights: Float[Tensor, "query key"]) -> Float[Tensor, ""]:
    sums = weights.sum(dim=-1).clamp(min=1e-12)  # s, [query]
    plogs = (weights * weights.clamp(min=1e-30).log2()).sum(dim=-1)  # sum p log2 p
    rows = sums.log2() - plogs / sums  # = -sum (p/s) log2 (p/s)
    return rows.where(sums > 1e-9, 0.0).clamp(min=0).mean()


def widest_entropy(view: AttentionView) -> float:
    """The entropy of a head that looks at everything it may alike: log2(keys), for causal views the mean over rows."""
    if not view.is_causal:
        return float(torch.tensor(float(len(view.keys))).log2())
    return float(torch.arange(1, len(view.keys) + 1).float().log2().mean())


def average_over_heads(weights: Float[Tensor, "layer head query key"]) -> Float[Tensor, "layer query key"]:
    return weights.mean(dim=1)


def rollout(averages: Float[Tensor, "layer length length"]) -> Float[Tensor, "layer length length"]:
    """From which token of the text does each place draw, through all layers up to this one?

        A_l = 0.5 W_l + 0.5 I,   R_l = A_l R_{l-1}

    W_l is the layer's average over the heads, R_0 the identity; the identity in A_l stands for the residual
    connection. Source: Abnar, Zuidema 2020, section 3. Rows sum to 1 if those of the weights do.
    """
    mixed = 0.5 * averages + 0.5 * torch.eye(averages.shape[-1])  # A_l
    all_layers = [mixed[0]]
    for layer in mixed[1:]:
        all_layers.append(layer @ all_layers[-1])
    return torch.stack(all_layers)


@dataclass(frozen=True)
class MeasuredView:
    """A view with its average, its rollout (self-attention only) and the entropy of every map, [layer, column].

    The columns of the overview are the heads, then "average" and "rollout".
    """

    view: AttentionView
    extra: dict[str, Tensor]  # name -> [layer, query, key]
    entropies: Float[Tensor, "layer column"]

    @property
    def columns(self) -> list[str]:
        """What stands over each column of the overview; heads are counted from 1."""
        return [*(str(number) for number in range(1, self.view.heads + 1)), *self.extra]

    def map_of(self, layer: int, column: int) -> Float[Tensor, "query key"]:
        """The weights of one cell of the overview, counted from 0."""
        if column < self.view.heads:
            return self.view.weights[layer, column]
        return self.extra[self.columns[column]][layer]

    def small_maps(self, keep_special: bool = True) -> UInt8[Tensor, "layer column rows columns"]:
        """The thumbnails of the overview; with keep_special=False, of the maps without the special tokens."""
        rows = [keep_special or not special for special in self.view.special_queries]
        columns = [keep_special or not special for special in self.view.special_keys]
        layers = []
        for layer, heads in enumerate(self.view.weights):
            maps = [heads, *(extra[layer : layer + 1] for extra in self.extra.values())]
            if not keep_special:
                maps = [part[:, rows][:, :, columns] for part in maps]
            layers.append(torch.cat([thumbnails(part) for part in maps]))
        return torch.stack(layers)

    def name_of(self, layer: int, column: int) -> str:
        """What a reader calls a cell of the overview: "layer 1, head 3"."""
        name = self.columns[column]
        where = f"layer {self.view.layers[layer]}" if self.view.layers[layer].isdigit() else self.view.layers[layer]
        if name == AVERAGE:
            return f"{where}, average over heads"
        return f"rollout up to {where}" if name == ROLLOUT else f"{where}, head {name}"


def measured(view: AttentionView) -> MeasuredView:
    """The view with all its measures."""
    averages = average_over_heads(view.weights)
    extra = {AVERAGE: averages}
    if view.is_self_attention:
        extra[ROLLOUT] = rollout(averages)
    entropies = [entropy_in_bits(view.weights)]
    entropies += [entropy_in_bits(maps)[:, None] for maps in extra.values()]
    return MeasuredView(view, extra, torch.cat(entropies, dim=1))
