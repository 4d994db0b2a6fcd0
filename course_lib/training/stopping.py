"""When does a training stop before its last step? At Ctrl-C, or when its time is used up; never in mid-step."""

import signal
import threading
import time
from types import FrameType
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.utils import reduce

StopReason = Literal["steps", "wall clock", "interrupted"]
_CODES: dict[int, StopReason] = {1: "wall clock", 2: "interrupted"}


class StopRequests:
    """Gathers the wishes to stop while used as a context; `reason()` is asked after each step.

    Ctrl-C (Jupyter's stop button) is held back until the step is done, so that weights, optimizer and random states fit
    together. A second one is not: it raises KeyboardInterrupt at once. All processes get the same answer from
    `reason()`, that of the process with the most urgent wish.
    """

    def __init__(self, accelerator: Accelerator, wall_clock_budget: float | None) -> None:
        self.accelerator, self.budget = accelerator, wall_clock_budget
        self.interrupted = False
        self.start = time.monotonic()

    def __enter__(self) -> "StopRequests":
        # Only the main thread gets signals, and one that was told to ignore Ctrl-C (nohup) goes on ignoring it.
        in_main_thread = threading.current_thread() is threading.main_thread()
        self.listens = in_main_thread and signal.getsignal(signal.SIGINT) not in (None, signal.SIG_IGN)
        if self.listens:
            self.before = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.listens:
            signal.signal(signal.SIGINT, self.before)

    def seconds(self) -> float:
        """Since this object was made."""
        return time.monotonic() - self.start

    def reason(self) -> StopReason | None:
        """Why to stop now, or None. With several processes, all must ask at the same step."""
        code = 0
        if self.budget is not None and self.seconds() >= self.budget:
            code = 1
        if self.interrupted:
            code = 2
        if self.accelerator.num_processes > 1:
            wishes = torch.zeros(len(_CODES) + 1, device=self.accelerator.device)
            wishes[code] = 1
            code = int(reduce(wishes, "sum").nonzero().max())
        return _CODES.get(code)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
