"""Is a gradient written by hand the one that autograd finds?"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    Answer,
    Example,
    Mistake,
    answer_to,
    copy_of,
    described,
    recognised,
    smallest_first,
)


def gradient_equals_autograd(
    gradient: Answer,
    forward: Callable[..., Tensor],
    examples: Iterable[Example],
    *,
    with_respect_to: Sequence[str],
    tolerance: float = 1e-4,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """The learner's gradient is that of `forward`, which is trusted; both take the example's arguments.

    with_respect_to: the arguments of floating point to differentiate by. The answer is a tensor where there is one, and
    a tuple in this order where there are several. forward: gives a number; to ask for the gradient of a vector y given
    the gradient that arrives at it, make that an argument `arriving` and let forward give `(y * arriving).sum()`.
    Raises PropertyFailed with the first (smallest) example; ValueError if `forward` gives no single number.
    """
    failed = "the gradient is the one that autograd finds"
    for example in smallest_first(examples):
        expected = autograd_gradients(forward, example, with_respect_to)
        output = answer_to(gradient, example)
        given = (output,) if len(expected) == 1 and not isinstance(output, tuple | list) else output
        if not isinstance(given, tuple | list) or len(given) != len(expected):
            found = f"expected a gradient each for {', '.join(with_respect_to)}, got {described(output)}"
            raise PropertyFailed(failed, found, example, output, recognised(mistakes, example, output))
        for name, right, found_gradient in zip(with_respect_to, expected, given, strict=True):
            if differs := difference(right, found_gradient, tolerance, expected_is="autograd"):
                mistake = recognised(mistakes, example, output)
                raise PropertyFailed(failed, f"the gradient of {name}, {differs}", example, output, mistake)


def autograd_gradients(
    forward: Callable[..., Tensor], example: Example, with_respect_to: Sequence[str]
) -> tuple[Tensor, ...]:
    """The gradients of `forward` by the named arguments; 0 for one it does not use. Raises ValueError."""
    arguments = {name: copy_of(value) for name, value in example.items()}
    leaves = [arguments[name].requires_grad_() for name in with_respect_to]
    with torch.enable_grad():
        value = forward(*arguments.values())
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ValueError(f"forward must give one number to differentiate, got {described(value)}")
        if not value.requires_grad:
            raise ValueError(
                f"forward does not depend on {', '.join(with_respect_to)}, so there is no gradient to find"
            )
        return torch.autograd.grad(value.sum(), leaves, allow_unused=True, materialize_grads=True)
