import os
import subprocess
import sys

import psutil
import pytest

from course_lib.batch.processes import JOB_VARIABLE, descendants, end_marked, marked, memory_in_use

MIB = 2**20
FORKS = "import os, time\nkept = b'x' * (60 * 2**20)\nos.fork()\nprint(len(kept), flush=True)\ntime.sleep(60)"


@pytest.fixture
def child():
    started = []

    def start(*command, **environment):
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        for each in [*descendants(process.pid), process]:
            each.kill()
        process.wait()
        process.stdout.close()


def test_a_process_is_found_and_ended_by_its_mark_and_others_are_left_alone(child):
    mine = child("sleep", "60", **{JOB_VARIABLE: "run-a/01/1/"})
    other = child("sleep", "60", **{JOB_VARIABLE: "run-b/01/1/"})
    assert [process.pid for process in marked("run-a")] == [mine.pid]
    assert end_marked("run-a/01") == []
    assert not psutil.pid_exists(mine.pid)
    assert other.poll() is None


def test_a_process_does_not_find_itself(monkeypatch):
    monkeypatch.setenv(JOB_VARIABLE, "run-c")
    assert os.getpid() not in [process.pid for process in marked("run-c")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory processes share")
def test_memory_that_children_share_counts_once(child):
    parent = child(sys.executable, "-c", FORKS)
    for _ in range(2):
        parent.stdout.readline()
    family = [psutil.Process(parent.pid), *descendants(parent.pid)]
    assert len(family) == 2
    simple = memory_in_use(family, at_least=10**12)
    shared_once = memory_in_use(family, at_least=0)
    assert simple > 120 * MIB
    assert 60 * MIB < shared_once < 100 * MIB


def test_a_process_that_is_gone_holds_nothing(child):
    gone = child("true")
    process = psutil.Process(gone.pid)
    gone.wait()
    assert memory_in_use([process], at_least=0) == 0
    assert descendants(gone.pid) == []
