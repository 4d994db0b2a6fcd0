import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import nbformat
import psutil
import pytest
import torch
from nbclient import NotebookClient
from torch import distributed

from course_lib.parallel import rank_process
from course_lib.parallel.launching import RanksFailedError, launch


def failure_of(function, *arguments, within, processes=3, **settings) -> RanksFailedError:
    """The error of a launch that must fail within so many seconds."""
    start = time.monotonic()
    with pytest.raises(RanksFailedError) as caught:
        launch(function, *arguments, processes=processes, show=None, **settings)
    assert time.monotonic() - start < within
    return caught.value


def sum_of_ranks():
    total = torch.tensor([float(distributed.get_rank())])
    distributed.all_reduce(total)
    return total


def who_am_i(word):
    print(word, distributed.get_rank())
    print("to stderr", file=sys.stderr)
    os.write(1, b"without an end of line")
    return distributed.get_rank(), distributed.get_world_size(), int(os.environ["LOCAL_RANK"])


# What it gives


def test_results_come_back_by_rank_and_each_line_says_who_printed_it():
    lines = []
    assert launch(who_am_i, "rank", processes=3, show=lines.append) == [(0, 3, 0), (1, 3, 1), (2, 3, 2)]
    assert sorted(lines) == sorted(
        line
        for rank in range(3)
        for line in (f"[{rank}] rank {rank}", f"[{rank}] to stderr", f"[{rank}] without an end of line")
    )


def test_a_function_without_a_name_and_with_things_around_it_can_be_launched():
    around = torch.arange(3.0)
    assert [result.tolist() for result in launch(lambda: around + 1, processes=2)] == [[1, 2, 3]] * 2


def test_one_process_is_a_group_too():
    assert launch(sum_of_ranks, processes=1)[0].item() == 0


def test_a_large_result_comes_back_whole():
    assert launch(lambda: torch.ones(3_000_000), processes=2)[1].sum().item() == 3_000_000


def test_ranks_can_compute_gradients_after_the_parent_did():
    def gradient():
        weights = torch.randn(300, 300, requires_grad=True)
        (weights @ weights).sum().backward()
        return weights.grad is not None

    assert gradient()
    assert launch(gradient, processes=2, timeout=20) == [True, True]


@pytest.mark.slow
def test_fresh_interpreters_do_the_same():
    script = """
        from course_lib.parallel.launching import launch
        from torch.distributed import get_rank
        if __name__ == "__main__":
            print(launch(get_rank, processes=2, start="spawn"))
    """
    assert run_python(script).stdout.strip() == "[0, 1]"


def run_python(script, *options):
    command = [sys.executable, *options, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)


@pytest.mark.slow
def test_the_same_script_runs_under_torchrun(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from course_lib.parallel.launching import launch\n"
        "from torch.distributed import get_rank\n"
        "for _ in range(2):\n"
        "    os.write(1, f'results {launch(get_rank)}\\n'.encode())\n"  # at once: the ranks write to the same pipe
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.stdout.count("results [0, 1]\n") == 2 * 2, ended.stderr


@pytest.mark.slow
def test_a_notebook_can_launch_what_its_own_cells_define():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("import torch\nfrom course_lib.parallel.launching import launch\nheight = 7"),
            nbformat.v4.new_code_cell(
                "def work():\n    torch.distributed.barrier()\n    print('hello')\n    return height\n\n"
                "launch(work, processes=2)"
            ),
            nbformat.v4.new_code_cell("def fail():\n    raise KeyError('lost')\nlaunch(fail, processes=2)"),
        ]
    )
    client = NotebookClient(notebook, timeout=60, allow_errors=True)
    client.execute()
    printed, result = notebook.cells[1].outputs
    assert sorted(printed.text.splitlines()) == ["[0] hello", "[1] hello"]
    assert result["data"]["text/plain"] == "[7, 7]"
    error = notebook.cells[2].outputs[-1]
    assert error.ename == "RanksFailedError"
    assert "KeyError: 'lost'" in error.evalue


# What goes wrong


def test_an_exception_in_one_rank_comes_with_its_traceback_and_ends_the_others():
    def fail_in_one():
        if distributed.get_rank() == 1:
            raise KeyError("lost")
        sum_of_ranks()

    error = failure_of(fail_in_one, within=5)
    assert error.rank == 1
    assert "in fail_in_one" in str(error)
    assert "KeyError: 'lost'" in str(error)
    assert "rank_process.py" not in str(error)


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_killed_rank_is_named_whenever_it_was_killed(when):
    def die():
        one = distributed.get_rank() == 1
        if one and when == "during":
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
            time.sleep(60)
        if one and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        sum_of_ranks()
        if one:
            os.kill(os.getpid(), signal.SIGKILL)

    error = failure_of(die, within=5)
    assert error.rank == 1
    assert "killed by SIGKILL" in str(error)


def test_a_rank_that_leaves_on_its_own_has_failed():
    def leave():
        if distributed.get_rank() == 0:
            os._exit(0)
        sum_of_ranks()

    assert "exit code 0 before it returned" in str(failure_of(leave, within=5))
    assert "SystemExit" in str(failure_of(sys.exit, 3, within=5))


def test_a_rank_that_never_arrives_is_named_with_the_line_where_it_is():
    def never_arrive():
        if distributed.get_rank() == 1:
            time.sleep(1000)
        sum_of_ranks()

    error = failure_of(never_arrive, within=6, collective_timeout=1)
    assert error.failures[-1].rank == 1
    assert "rank 1 had not ended" in str(error)
    assert "in never_arrive" in error.failures[-1].what


def test_when_time_is_up_the_error_says_where_each_rank_waits():
    def wait_for_ever():
        distributed.recv(torch.zeros(1), src=(distributed.get_rank() + 1) % 3)

    error = failure_of(wait_for_ever, within=6, timeout=1)
    assert str(error).startswith("3 of 3 ranks did not end in time")
    assert str(error).count("in wait_for_ever") == 3


def test_what_a_rank_started_ends_with_it():
    def start_a_child():
        child = subprocess.Popen(["sleep", "1000"])
        if distributed.get_rank() == 0:
            raise RuntimeError(f"child {child.pid}")
        time.sleep(100)

    error = failure_of(start_a_child, within=5, processes=2)
    child = int(str(error).split("RuntimeError: child ")[1].split()[0])
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_result_that_cannot_be_pickled_is_named():
    assert "a rank's result must be picklable, got function" in str(failure_of(lambda: lambda: 1, within=5))


def test_an_interrupt_ends_all_ranks():
    def interrupt():
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    launch(sum_of_ranks)  # what the first one imports is there
    thread = threading.Thread(target=interrupt)
    thread.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        launch(time.sleep, 100, processes=2)
    assert time.monotonic() - start < 5
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_no_rank_outlives_a_parent_that_is_killed():
    script = """
        import os, signal, time
        from course_lib.parallel.launching import launch
        def work():
            print(os.getpid(), flush=True)
            time.sleep(1000)
        told = []
        def show(line):
            print(line, flush=True)
            told.append(line)
            if len(told) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        launch(work, processes=2, show=show)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    pids = [int(line.split()[-1]) for line in ended.stdout.splitlines()]
    assert len(pids) == 2
    time.sleep(0.2)
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


@pytest.fixture
def arrive(monkeypatch):
    """Arrives as one of so many ranks at a store that stays, in a process that has just started."""
    kept = distributed.HashStore()

    def arrive(size, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(rank_process, "_store_of_torchrun", lambda: (kept, itertools.count()))
        monkeypatch.setattr(rank_process, "ARRIVAL", 0.1)
        return rank_process._store_where_all_have_arrived(size)

    return arrive


def test_a_restart_that_finds_the_ranks_before_it_says_what_to_do(arrive):
    arrive(1, GROUP_WORLD_SIZE="2")
    with pytest.raises(RuntimeError, match="TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment"):
        arrive(1, TORCHELASTIC_RESTART_COUNT="1")


def test_a_restart_on_one_machine_does_not_find_them(arrive):
    arrive(1, GROUP_WORLD_SIZE="1", TORCHELASTIC_RESTART_COUNT="0").set("address", "old")
    assert not arrive(1, TORCHELASTIC_RESTART_COUNT="1").check(["address"])


def test_a_machine_that_does_not_start_is_not_waited_for_for_ever(arrive):
    with pytest.raises(TimeoutError, match="1 of 2 ranks arrived within"):
        arrive(2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 0}, "processes of 1 or more"),
        ({"timeout": 0}, "seconds above 0"),
        ({"backend": "mpi"}, "expected backend"),
        ({"start": "thread"}, "expected backend 'gloo' or 'nccl' and start"),
        ({"backend": "nccl", "processes": 99}, "a GPU for each rank: 99 ranks"),
        ({"start": "spawn"}, "put it into a .py file"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        launch(lambda: None, **settings)
