"""What holds in every test: nothing leaves this machine, and notebooks are checked as they were made."""

import ipaddress
import os
import signal
import socket
import threading
import time
from queue import Empty

import pytest


class NetworkBlocked(RuntimeError):  # noqa: N818 - it reads as what happened
    """A test tried to reach another machine. Not an OSError, so that no library takes it for a passing failure."""


def is_loopback(address: object) -> bool:
    """Whether a socket address stays on this machine: loopback, or a socket in the file system."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    def guarded(connect):
        def guarded_connect(self, address, *rest):
            if not is_loopback(address):
                raise NetworkBlocked(
                    f"a test tried to connect to {address!r}; tests use generated data, or a mirror in COURSE_DATA_DIR"
                )
            return connect(self, address, *rest)

        return guarded_connect

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
        yield


def pytest_configure(config):
    _heed_ctrl_c()
    if config.getoption("nbval", False) or config.getoption("nbval_lax", False):
        _set_kernel_environment(keep_gpus=config.getoption("nbval_lax", False))
        _notice_dead_kernels()


def _heed_ctrl_c() -> None:
    """Undo an ignored Ctrl-C, which a shell gives to what it starts in the background, as some CI does.

    Children inherit it, and the tests that interrupt a run would wait for its end.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _set_kernel_environment(keep_gpus: bool) -> None:
    """nbval's kernels inherit this process's environment, so it is set here, as `course refresh` sets it."""
    from course_lib.batch.refresh import KERNEL_ENVIRONMENT, NOT_IN_KERNELS

    for name, value in KERNEL_ENVIRONMENT.items():
        if not (keep_gpus and name == "CUDA_VISIBLE_DEVICES"):
            os.environ[name] = value
    for name in NOT_IN_KERNELS:
        os.environ.pop(name, None)


def _notice_dead_kernels() -> None:
    """Let nbval see within a second that a kernel died; by itself it waits for the whole cell timeout."""
    from nbval.kernel import RunningKernel

    def await_reply(self, msg_id, timeout=None):
        deadline = time.monotonic() + (timeout or float("inf"))
        while True:
            try:
                message = self.get_message(stream="shell", timeout=1)
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("the kernel died while it ran this cell") from None
                if time.monotonic() > deadline:
                    raise
                continue
            if message["parent_header"].get("msg_id") == msg_id:
                if message["content"]["status"] == "aborted":
                    raise RuntimeError("the kernel aborted this cell")
                return

    RunningKernel.await_reply = await_reply
