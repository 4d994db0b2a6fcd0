"""What goes wrong in the middle, and at the edges: it ends within seconds, says what it was, and leaves no process."""

import os
import queue
import signal
import socket
import sys
import time

import psutil
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from torch import distributed

from course_lib.parallel import horovod_style as hvd
from course_lib.parallel.alltoall import alltoall
from course_lib.parallel.launching import RanksFailedError, launch
from course_lib.parallel.parameter_server import Worker, serve
from course_lib.parallel.ring import ring_allgather, ring_allreduce, ring_reduce_scatter
from course_lib.parallel.tree import halving_allreduce, tree_allreduce


def failure_of(function, *arguments, within, **settings) -> RanksFailedError:
    """The error of a launch that must fail within so many seconds."""
    launch(hvd.rank, processes=1)  # what the first launch imports is not counted
    start = time.monotonic()
    with pytest.raises(RanksFailedError) as caught:
        launch(function, *arguments, show=None, **settings)
    assert time.monotonic() - start < within
    return caught.value


# In the middle


def serve_or_work(gradient):
    if distributed.get_rank() == 0:
        serve(torch.zeros(len(gradient)), [1, 2, 3], learning_rate=0.1)
    worker = Worker({0: (0, len(gradient))})
    worker.pull(gradient)
    worker.push(gradient)
    worker.leave()


COLLECTIVES = {
    "ring": ring_allreduce,
    "reduce-scatter": ring_reduce_scatter,
    "allgather": ring_allgather,
    "tree": tree_allreduce,
    "halving": halving_allreduce,
    "alltoall": alltoall,
    "parameter server": serve_or_work,
    "Horovod's allgather": hvd.allgather,
}


def die_at_the_second_message(name):
    begin, begun = distributed.batch_isend_irecv, []

    def begin_or_die(operations):
        begun.append(operations)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return begin(operations)

    if distributed.get_rank() == 1:
        distributed.batch_isend_irecv = begin_or_die
    COLLECTIVES[name](torch.ones(1000))
    time.sleep(60)  # who needed nothing more of the dead one


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_rank_that_is_killed_between_two_messages_of_a_collective_is_named(name):
    error = failure_of(die_at_the_second_message, name, processes=4, within=6)
    assert error.rank == 1
    assert "killed by SIGKILL" in str(error)


def die_while_others_have_joined():
    if hvd.rank() == 1:
        hvd.allreduce(torch.ones(2))
        os.kill(os.getpid(), signal.SIGKILL)
    hvd.join()


def test_who_has_joined_hears_when_one_that_has_not_is_killed():
    error = failure_of(die_while_others_have_joined, processes=3, within=6)
    assert error.rank == 1
    assert "killed by SIGKILL" in str(error)


def never_join():
    if hvd.rank() == 1:
        time.sleep(1000)
    hvd.join()


def test_who_has_joined_does_not_wait_for_ever_for_the_last_one():
    error = failure_of(never_join, processes=2, within=6, collective_timeout=1)
    assert error.rank == 0
    assert "in never_join" in error.failures[-1].what, "where the other one is"


def disagree(how):
    rank = hvd.rank()
    kind = torch.float64 if how == "kinds" and rank else torch.float32
    hvd.allreduce(torch.ones(2 + (how == "shapes") * rank, dtype=kind), name=f"tensor {rank if how == 'names' else ''}")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("shapes", ["allreduce tensor shapes: rank 0", "shape [2]", "rank 1", "shape [3]"]),
        ("kinds", ["data types: rank 0", "float32", "rank 1", "float64"]),
        ("names", ["tensor names: rank 0", "of tensor 0", "rank 1", "of tensor 1"]),
    ],
)
def test_ranks_with_tensors_that_do_not_fit_both_hear_what_the_other_brought(how, said):
    error = failure_of(disagree, how, processes=2, within=6)
    assert [failure.kind for failure in error.failures] == ["raised"] * 2
    for failure in error.failures:
        message = failure.what.splitlines()[-1]
        places = [message.index(word) for word in said]
        assert places == sorted(places)


# Ports


@pytest.fixture
def busy_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


def test_a_launch_needs_no_port(busy_port, monkeypatch):
    monkeypatch.setenv("MASTER_PORT", busy_port)
    assert launch(hvd.rank, processes=2, timeout=20) == [0, 1]


def test_a_port_that_another_program_uses_is_named_at_once(busy_port, monkeypatch):
    settings = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": busy_port}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=f"another program uses port {busy_port} .* --master-port"):
        hvd.init()
    assert time.monotonic() - start < 5


# Ctrl-C


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the ranks are forks of the kernel")
def test_an_interrupt_of_the_notebooks_kernel_ends_the_cell_and_its_ranks():
    manager, client = start_new_kernel()
    try:
        code = (
            "import time\n"
            "from course_lib.parallel.launching import launch\n"
            "def work():\n"
            "    print('at work')\n"
            "    time.sleep(1000)\n"
            "launch(work, processes=2)"
        )
        # The kernel drops what is asked shortly after an error, unless it is told not to: the next cell comes at once.
        request = client.execute(code, stop_on_error=False)
        printed = ""
        while printed.count("at work") < 2:
            message = client.get_iopub_msg(timeout=60)
            printed += message["content"].get("text", "")
        manager.interrupt_kernel()
        start = time.monotonic()
        reply = reply_to(request, client)
        assert time.monotonic() - start < 5
        assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
        assert not psutil.Process(manager.provisioner.pid).children(recursive=True)
        assert reply_to(client.execute("launch(lambda: 1, processes=2)"), client)["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def reply_to(request, client):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            message = client.get_shell_msg(timeout=5)
        except queue.Empty:
            continue
        if message["parent_header"]["msg_id"] == request:
            return message["content"]
    raise TimeoutError("the kernel did not answer")


# At the edges: one rank, no numbers, fewer rows than ranks, not a number


def at_the_edges():
    rank, size = hvd.rank(), hvd.size()
    checks = {}
    for op in (hvd.Average, hvd.Sum, hvd.Min, hvd.Max, hvd.Product, hvd.Adasum):
        if op is not hvd.Adasum or size in (1, 2, 4):
            checks[f"nothing, {op.value}"] = hvd.allreduce(torch.empty(0, 3), op).shape == (0, 3)
    checks["nothing from everyone"] = hvd.allgather(torch.empty(0, 2)).shape == (0, 2)
    checks["nothing to everyone"] = hvd.alltoall(torch.empty(0, 2)).shape == (0, 2)
    checks["nothing from the root"] = hvd.broadcast(torch.empty(0), size - 1).shape == (0,)
    share = hvd.reducescatter(torch.tensor([[2.0, 4.0]]))  # a single row
    checks["one row"] = share.tolist() == ([[2, 4]] if rank == 0 else [])
    unknown = torch.tensor([float("nan") if rank == size - 1 else 1.0, 1.0])
    for op in (hvd.Average, hvd.Sum):
        checks[f"not a number, {op.value}"] = hvd.allreduce(unknown, op).isnan().tolist() == [True, False]
    checks["number"] = hvd.allreduce(torch.tensor(3.0)).item() == 3
    checks["join"] = hvd.join() == size - 1
    return [name for name, passed in checks.items() if not passed]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_at_the_edges_everything_has_a_result(size):
    assert launch(at_the_edges, processes=size, show=None) == [[]] * size
