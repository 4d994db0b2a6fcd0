"""How do several short texts share one row without reading each other? A mask in blocks, and places that begin anew.

Source: Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination", section 3.2.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def places_in_documents(documents: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Each token's place in its own document, from 0. `documents`: the number of each token's text, in stretches."""
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(begins, places, 0).cummax(dim=1).values


def within_documents(documents: Int[Tensor, "batch length"]) -> Bool[Tensor, "batch 1 length length"]:
    """Who may look at whom: at its own document's tokens, itself and those before it."""
    same = documents[:, :, None] == documents[:, None, :]
    return same.tril()[:, None]
