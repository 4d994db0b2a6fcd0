"""How does T5 know where a word stands? By a number for each head and distance, added to the scores (notebook 09).

Near distances have a number each, far ones share it in ever wider buckets, and all beyond the last have one together:
so a trained model can read texts longer than any that it has seen. Source: Raffel et al. 2020, section 2.1.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def distance_buckets(
    distance: Int[Tensor, "*shape"], buckets: int = 32, max_distance: int = 128, both_ways: bool = True
) -> Int[Tensor, "*shape"]:
    """The bucket of each distance: position of the key minus position of the query.

    both_ways: the first half of the buckets is for keys before the query and itself, the second for those after it.
    Otherwise all are for keys before it, and those after it count as itself. Of each half's buckets, half have one
    distance each; the others grow with the logarithm up to `max_distance`, and the last takes all beyond.
    """
    bucket = torch.zeros_like(distance)
    if both_ways:
        buckets //= 2
        bucket = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    growth = torch.log(distance.float() / exact) / math.log(max_distance / exact)
    far = (exact + (growth.clamp(min=0) * (buckets - exact)).long()).clamp(max=buckets - 1)
    return bucket + torch.where(distance < exact, distance, far)


class DistanceBias(nn.Module):
    """A number for each bucket and head."""

    def __init__(self, heads: int, buckets: int, max_distance: int, both_ways: bool = True) -> None:
        super().__init__()
        self.buckets, self.max_distance, self.both_ways = buckets, max_distance, both_ways
        self.table = nn.Embedding(buckets, heads)

    def at(self, distance: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape heads"]:
        """The number of each distance, for each head."""
        return self.table(distance_buckets(distance, self.buckets, self.max_distance, self.both_ways))

    @torch.no_grad()
    def start_near(self, neighbours: Sequence[int], slope: float = 2.0, floor: float = -4.0) -> None:
        """Let head i begin with a liking for the place `neighbours[i]` away; further heads keep what they have.

        The bias falls by `slope` with each place from there, down to `floor`. Copying needs a head that sees the word
        before; from T5's small initial numbers it takes thousands of steps until one has grown.
        """
        distances = torch.arange(-self.max_distance, self.max_distance + 1)
        buckets = distance_buckets(distances, self.buckets, self.max_distance, self.both_ways)
        for head, neighbour in zip(range(self.table.embedding_dim), neighbours, strict=False):
            liking = (-slope * (distances - neighbour).abs().float()).clamp(min=floor)
            # From far to near, so that a bucket of several distances gets the number of its nearest one.
            for bucket, number in sorted(zip(buckets.tolist(), liking.tolist(), strict=True), key=lambda pair: pair[1]):
                self.table.weight[bucket, head] = number

    def forward(self, queries: int, keys: int, first_query: int = 0) -> Float[Tensor, "heads {queries} {keys}"]:
        """The biases of queries at first_query, first_query + 1, ... and keys at 0, 1, ...

        There are only queries + keys - 1 distances, so each is looked up once, and its bias laid along a diagonal.
        """
        nearest = first_query + queries - 1
        distances = torch.arange(-nearest, keys - first_query, device=self.table.weight.device)
        by_distance = self.at(distances).T  # [heads, queries + keys - 1]
        # Row r of the windows begins r distances later; the last query's row begins with the smallest distance.
        return by_distance.unfold(-1, keys, 1).flip(1)
