"""What if one layer is too large for one machine? Its weight is cut into columns or rows, one piece for each rank.

- Cut by outputs ("column parallel"): each rank computes some of the outputs from all of the inputs.
- Cut by inputs ("row parallel"): each rank computes a summand of all outputs from some of the inputs; the ranks add.

A column layer, then a row layer, need one sum forward and one backward between them, and nothing in the middle.
Source: Shoeybi et al. 2019, Megatron-LM (section 3, with its conjugate operators f and g).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn import functional as F


class _SumOfGradients(torch.autograd.Function):
    """f: nothing forward; backward, the sum over the ranks, as each used the input for its own outputs."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


class _SumOfOutputs(torch.autograd.Function):
    """g: forward, the sum over the ranks; nothing backward, as each summand's gradient is the sum's."""

    @staticmethod
    def forward(ctx: Any, summand: Tensor) -> Tensor:
        total = summand.contiguous().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class ColumnParallelLinear(nn.Module):
    """This rank's outputs of a linear layer; all ranks get the whole input.

    Cut from `whole`, which must be the same on all ranks. Raises ValueError if its outputs cannot be shared equally.
    """

    def __init__(self, whole: nn.Linear) -> None:
        super().__init__()
        share = _share(whole.out_features, "outputs")
        self.weight = nn.Parameter(whole.weight.detach()[share].clone())
        self.bias = None if whole.bias is None else nn.Parameter(whole.bias.detach()[share].clone())

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch my_outputs"]:
        """y_r = x W_r^T + b_r."""
        return F.linear(_SumOfGradients.apply(inputs), self.weight, self.bias)


class RowParallelLinear(nn.Module):
    """This rank's inputs of a linear layer; all ranks return the whole output. The bias is added once, after the sum.

    Cut from `whole`, which must be the same on all ranks. Raises ValueError if its inputs cannot be shared equally.
    """

    def __init__(self, whole: nn.Linear) -> None:
        super().__init__()
        share = _share(whole.in_features, "inputs")
        self.weight = nn.Parameter(whole.weight.detach()[:, share].clone())
        self.bias = None if whole.bias is None else nn.Parameter(whole.bias.detach().clone())

    def forward(self, my_inputs: Float[Tensor, "*batch my_inputs"]) -> Float[Tensor, "*batch outputs"]:
        """y = sum over ranks of x_r W_r^T, + b."""
        if my_inputs.shape[-1] != self.weight.shape[1]:
            raise ValueError(
                f"expected this rank's {self.weight.shape[1]} inputs, got {my_inputs.shape[-1]}; pass what a "
                "ColumnParallelLinear returned, or this rank's share of the columns"
            )
        total = _SumOfOutputs.apply(F.linear(my_inputs, self.weight))
        return total if self.bias is None else total + self.bias


def _share(features: int, what: str) -> slice:
    rank, size = distributed.get_rank(), distributed.get_world_size()
    if features % size:
        raise ValueError(f"{features} {what} cannot be shared equally by {size} ranks; use a multiple of {size}")
    width = features // size
    return slice(rank * width, (rank + 1) * width)
