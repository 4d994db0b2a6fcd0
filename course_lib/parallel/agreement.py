"""Do all ranks speak of the same tensor? If not, they should hear so, instead of waiting or adding apples to pears.

A collective whose ranks bring different shapes hangs, crashes, or gives nonsense, depending on the library. So before
the numbers travel, each rank tells the others in a few bytes what it is about to do, as Horovod's coordinator has it
told. Sources: Horovod's documentation (concepts; stalled ranks), horovod/horovod issues #336, #403, #2107.
"""

import torch
from torch import Tensor, distributed

ROOM = 256  # bytes for a description: enough for a name and eight dimensions, and as cheap to send as one byte


class DisagreementError(ValueError):
    """The ranks called different operations, or one operation with tensors that do not fit together."""


def description(operation: str, tensor: Tensor, name: str = "", ignore_first_dimension: bool = False) -> str:
    """What a rank is about to do, in words that must be the same on all ranks."""
    shape = list(tensor.shape)
    shown = [*(["*"] if ignore_first_dimension else map(str, shape[:1])), *map(str, shape[1:])]
    return (
        f"{operation} of {name or 'a tensor'}, shape [{', '.join(shown)}], {str(tensor.dtype).removeprefix('torch.')}"
    )


def agree(what: str, device: torch.device | None = None) -> None:
    """Return if all ranks say the same. Raises DisagreementError on every rank, naming the first two that differ."""
    said = all_descriptions(what, device)
    for rank, other in enumerate(said):
        if other != said[0]:
            raise DisagreementError(
                f"the ranks disagree: rank 0 called {said[0]}; rank {rank} called {other}. All ranks must call "
                "the same operations in the same order with tensors that fit"
            )


def all_descriptions(what: str, device: torch.device | None = None) -> list[str]:
    """What each rank says, by rank."""
    encoded = what.encode()[:ROOM]
    mine = torch.zeros(ROOM, dtype=torch.uint8)
    mine[: len(encoded)] = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    mine = mine.to(device) if device is not None else mine
    rows = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(rows, mine)
    return [bytes(row.tolist()).rstrip(b"\0").decode(errors="replace") for row in rows]
