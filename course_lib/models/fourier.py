"""Is attention a kind of Fourier transform? Words mixed by fixed waves, without any weights (notebook 03)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.models.seq2seq import EncoderDecoder


def fourier_mix(
    states: Float[Tensor, "batch length embedding"], is_word: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch length embedding"]:
    """The real part of each row's Fourier transform over its places and its features; padding gets zeros.

    Each row is transformed over its own words alone, so that its result does not depend on the batch's padding (the
    published network transforms the padding along). The transform is divided by sqrt(length x embedding), so that
    states keep their size and fit beside a residual; the published one is not, and has a norm behind it instead.

    Source: Lee-Thorp, Ainslie, Eckstein, Ontanon 2021, section 3.2 (FNet).
    Raises ValueError if padding stands before a word.
    """
    if not (is_word[:, :-1] | ~is_word[:, 1:]).all():
        raise ValueError("padding must follow the words (right padding): is_word has a False before a True")
    lengths = is_word.sum(dim=-1)
    mixed = torch.zeros_like(states)
    for length in lengths.unique().tolist():  # batches are sorted by length, so these are few
        if length:
            rows = lengths == length
            mixed[rows, :length] = torch.fft.fft2(states[rows, :length], dim=(1, 2), norm="ortho").real
    return mixed


class FourierMixing(nn.Module):
    """Stands where an encoder's self-attention stands, and has nothing to learn."""

    def forward(
        self,
        target: Float[Tensor, "batch length embedding"],
        source: Float[Tensor, "batch length embedding"],
        may_look: Bool[Tensor, "batch 1 1 length"] | None = None,
        want_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch length embedding"], None]:
        """As `MultiHeadAttention` is called, with target and source the same; it has no weights to show."""
        everywhere = torch.ones(target.shape[:2], dtype=torch.bool, device=target.device)
        return fourier_mix(target, everywhere if may_look is None else may_look[:, 0, 0]), None


def mix_encoder_by_fourier(model: EncoderDecoder) -> EncoderDecoder:
    """Put Fourier mixing in the place of the encoder's self-attention, in a new transformer; returns it.

    The decoder keeps its attention: a transform over all places would let each word see those after it.
    """
    for block in model.encoder.blocks:
        block.attention = FourierMixing()
    return model
