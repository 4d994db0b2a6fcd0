"""Do random draws follow the distribution they should? Pearson's chi-square test says when they do not."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    as_tensor,
    described,
    recognised,
)

SMALLEST_EXPECTED = 5.0
"""Below this expected count, the chi-square distribution is a poor approximation, so rare outcomes are put together."""


def same_distribution(
    sample: Answer,
    probabilities: Float[Tensor, " outcomes"] | Sequence[float],
    *,
    draws: int = 4000,
    significance: float = 1e-4,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """`sample(draws)` draws outcomes 0, 1, … with these probabilities.

    An answer that seems wrong is drawn from once more, so that a right one fails once in significance⁻² times.
    An outcome of probability 0 may not come at all. Raises PropertyFailed; its example holds draws and probabilities,
    and so does the one that the mistakes' recognisers get. Raises ValueError if the probabilities do not sum to 1.
    """
    right = torch.as_tensor(probabilities, dtype=torch.float64)
    if not (right.min() >= 0 and abs(right.sum().item() - 1) <= 1e-5):  # so said, NaN is refused too
        raise ValueError(f"probabilities must be at least 0 and sum to 1, got {right.tolist()}")
    example: Example = {"draws": draws, "probabilities": right.float()}
    failed = "the draws follow the probabilities"
    for last in (False, True):
        output = answer_to(sample, {"draws": draws})
        counts = _counts(output, draws, len(right), example, failed, mistakes)
        mistake = recognised(mistakes, example, output)
        impossible = ((right == 0) & (counts > 0)).nonzero()
        if len(impossible):
            outcome = int(impossible[0])
            found = f"{outcome} came {int(counts[outcome])} times in {draws}, and has the probability 0"
            raise PropertyFailed(failed, found, example, output, mistake)
        if chi_square_p_value(counts, right) >= significance:
            return
        if last:
            apart = (counts - right * draws).abs() / (right * draws).clamp(min=1.0).sqrt()
            outcome = int(apart.argmax())
            found = (
                f"{outcome} came {int(counts[outcome])} times in {draws}, "
                f"and should come about {right[outcome].item() * draws:.0f} times"
            )
            raise PropertyFailed(failed, found, example, output, mistake)


def chi_square_p_value(counts: Float[Tensor, " outcomes"], probabilities: Float[Tensor, " outcomes"]) -> float:
    """How often draws from these probabilities lie at least as far from them as these counts do.

    Outcomes expected fewer than five times are put together. With one (joint) outcome left it is 1.
    Source: Pearson 1900; the tail of the chi-square distribution is the regularised incomplete gamma function.
    """
    total = counts.sum()
    cells: list[list[float]] = [[0.0, 0.0]]  # drawn, expected; the last one is still being filled
    for outcome in probabilities.argsort().tolist():
        if cells[-1][1] >= SMALLEST_EXPECTED:
            cells.append([0.0, 0.0])
        cells[-1][0] += counts[outcome].item()
        cells[-1][1] += (probabilities[outcome] * total).item()
    if len(cells) == 1:
        return 1.0
    statistic = sum((drawn - expected) ** 2 / expected for drawn, expected in cells)
    freedom = torch.tensor((len(cells) - 1) / 2, dtype=torch.float64)
    return torch.special.gammaincc(freedom, torch.tensor(statistic / 2, dtype=torch.float64)).item()


def _counts(
    output: Any, draws: int, outcomes: int, example: Example, failed: str, mistakes: Sequence[Mistake]
) -> Float[Tensor, " outcomes"]:
    """How often each outcome came. Raises PropertyFailed unless the output is `draws` outcomes."""
    drawn = torch.tensor(output) if _is_list_of_ints(output) else output
    mistake = recognised(mistakes, example, output)
    if not _are_whole_numbers(drawn) or drawn.dim() != 1 or len(drawn) != draws:
        found = f"expected a tensor of {draws} whole numbers, got {described(output)}"
        raise PropertyFailed(failed, found, example, output, mistake or "not_a_tensor")
    drawn = drawn.cpu().long()
    if len(drawn) and not 0 <= drawn.min() <= drawn.max() < outcomes:
        found = f"expected outcomes from 0 to {outcomes - 1}, got {int(drawn.min())} to {int(drawn.max())}"
        raise PropertyFailed(failed, found, example, output, mistake)
    return drawn.bincount(minlength=outcomes).double()


def _is_list_of_ints(output: Any) -> bool:
    return isinstance(output, list) and all(isinstance(item, int) and abs(item) < 2**63 for item in output)


def _are_whole_numbers(output: Any) -> TypeGuard[Tensor]:
    tensor = as_tensor(output) if isinstance(output, Tensor) else None
    return tensor is not None and not tensor.is_floating_point() and tensor.dtype != torch.bool
