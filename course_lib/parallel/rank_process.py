"""What does a process do to become rank r of N? It meets the others, works, answers, and leaves."""

import contextlib
import ctypes
import faulthandler
import functools
import io
import itertools
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ARRIVAL = 300.0  # seconds in which all machines must have started
LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


@dataclass(frozen=True)
class Invitation:
    """Which rank a process is to be, and the folder where the ranks meet, through a file."""

    rank: int
    world_size: int
    folder: str
    backend: str
    collective_timeout: float
    parent: int

    @property
    def meeting_file(self) -> str:
        """Where each writes how it can be reached."""
        return os.path.join(self.folder, "meeting")

    @property
    def stack_file(self) -> str:
        """Where this rank writes what it is doing, when it is asked."""
        return os.path.join(self.folder, f"stack-{self.rank}")


def run_rank(
    invitation: Invitation,
    function: Callable[..., Any],
    arguments: tuple,
    output: Connection,
    answer: Connection,
) -> None:
    """The whole life of a process that `launch` started. It never returns."""
    _separate_from_parent(invitation, output)
    code = 0
    try:
        with _member_of_group(invitation):
            result = function(*arguments)
        message = _pickled_result(result)
    except BaseException as error:  # KeyboardInterrupt and SystemExit are failures of a rank, too
        moment = time.monotonic()
        told = "".join(traceback.format_exception(type(error), error, _without_own_frames(error)))
        message, code = pickle.dumps(("failure", told, moment)), 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        answer.send_bytes(message)
    os._exit(code)  # a fork must not run what the parent registered for its own end


def join_as_torchrun_says(
    function: Callable[..., Any], arguments: tuple, processes: int | None, backend: str, collective_timeout: float
) -> list[Any]:
    """Call `function` as the rank that `torchrun` made this process; all ranks get all results."""
    size = int(os.environ["WORLD_SIZE"])
    if processes not in (None, size):
        raise ValueError(f"torchrun started {size} processes, launch was asked for {processes}; leave `processes` out")
    join_group_of_torchrun(backend, collective_timeout)
    try:
        results: list[Any] = [None] * size
        distributed.all_gather_object(results, function(*arguments))
        return results
    finally:
        distributed.destroy_process_group()


def join_group_of_torchrun(backend: str, collective_timeout: float) -> None:
    """Become the member of the default group that torchrun's environment variables say.

    The ranks wait for each other to arrive, for machines do not start at the same moment; only then
    `collective_timeout` counts. Raises RuntimeError where a restart finds the addresses of the ranks before it, with
    the remedy; TimeoutError if not all arrive.
    """
    size = int(os.environ["WORLD_SIZE"])
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(
        backend,
        store=_store_where_all_have_arrived(size),
        rank=int(os.environ["RANK"]),
        world_size=size,
        timeout=timedelta(seconds=collective_timeout),
    )


@functools.cache
def _store_of_torchrun() -> tuple[distributed.Store, Iterator[int]]:
    """Where this process's ranks leave their addresses, and numbers for its launches."""
    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=ARRIVAL)))
    except distributed.DistNetworkError as error:
        if "EADDRINUSE" not in str(error):
            raise
        raise RuntimeError(
            f"another program uses port {os.environ['MASTER_PORT']} of this machine, where the ranks were to meet; "
            "give torchrun another --master-port or --rdzv-endpoint, or leave it out on a single machine"
        ) from error
    return store, itertools.count()


def _store_where_all_have_arrived(size: int) -> distributed.Store:
    """A part of torchrun's store for one launch, once all ranks are there.

    torchrun can keep its store over a restart (pytorch/pytorch#135712), with addresses of ranks that are gone. On one
    machine the restarts are counted; on several each machine has a count of its own, which helps nobody.
    """
    whole, numbers = _store_of_torchrun()
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if os.environ.get("GROUP_WORLD_SIZE") == "1" else "any"
    store = distributed.PrefixStore(f"launch-{next(numbers)}-attempt-{attempt}", whole)
    if store.add("arrived", 1) > size:
        raise RuntimeError(
            "torchrun's store still has the addresses of the ranks before this restart; start torchrun with "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment, on all machines"
        )
    deadline = time.monotonic() + ARRIVAL
    while store.add("arrived", 0) < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{store.add('arrived', 0)} of {size} ranks arrived within {ARRIVAL:.0f} seconds")
        time.sleep(0.02)
    return store


def _separate_from_parent(invitation: Invitation, output: Connection) -> None:
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C in a terminal goes to the parent alone, which ends this group as a whole
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != invitation.parent:  # it died before this line
            os._exit(1)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    # New objects: under Jupyter the inherited ones hand what is printed to a thread that a fork does not have.
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), line_buffering=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, file=open(invitation.stack_file, "w"), all_threads=False)  # noqa: SIM115
    torch.set_num_threads(1)  # the pool's other threads did not come along into a fork


@contextlib.contextmanager
def _member_of_group(invitation: Invitation) -> Iterator[None]:
    """A member of the default group, and with the variables that torchrun would have set."""
    rank, size = invitation.rank, invitation.world_size
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(size),
        LOCAL_WORLD_SIZE=str(size),
        GLOO_SOCKET_IFNAME=LOOPBACK,
    )
    if invitation.backend == "nccl":
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        invitation.backend,
        store=distributed.FileStore(invitation.meeting_file, size),
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=invitation.collective_timeout),
    )
    yield
    distributed.barrier()  # or a rank that is done early would cut the line to one that still sends


def _pickled_result(result: Any) -> bytes:
    try:
        return pickle.dumps(("result", result, time.monotonic()))
    except Exception as error:
        raise TypeError(
            f"a rank's result must be picklable, got {type(result).__name__}: {error}; return tensors, numbers, "
            "strings, and lists or dicts of them"
        ) from error


def _without_own_frames(error: BaseException) -> Any:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__ and frames.tb_next is not None:
        frames = frames.tb_next
    return frames
