"""Which isolation there is, what it says of itself, and that nothing outlives the process that grades."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib.batch.processes import JOB_VARIABLE, marked
from course_lib.exercises.answering import AnswerSession, Isolation, IsolationError, SessionLimits, isolation, seccomp


@pytest.fixture
def anew():
    """Lets bubblewrap be tried again, in the test and after it."""
    isolation._strongest.cache_clear()
    yield
    isolation._strongest.cache_clear()


def pretend_bwrap(folder: Path, script: str, monkeypatch) -> None:
    (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_without_bubblewrap_it_is_basic_and_says_so(tmp_path, monkeypatch, anew):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = isolation.choose()
    assert chosen.level == "basic"
    assert "bubblewrap is not installed" in chosen.describe()
    assert "container" in chosen.describe()
    with pytest.raises(IsolationError, match=r"not installed.*apt install bubblewrap"):
        isolation.choose(require_strong=True)


def test_a_bubblewrap_that_does_not_work_is_not_used(tmp_path, monkeypatch, anew):
    monkeypatch.setattr(sys, "platform", "linux")
    pretend_bwrap(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1", monkeypatch)
    assert "No permissions to create new namespace" in isolation.choose().describe()


def test_a_bubblewrap_that_does_nothing_is_not_used(tmp_path, monkeypatch, anew):
    monkeypatch.setattr(sys, "platform", "linux")
    pretend_bwrap(tmp_path, "exit 0", monkeypatch)
    assert isolation.choose().level == "basic"


def test_the_strong_kind_describes_itself(strong_isolation):
    assert strong_isolation.level == "strong"
    assert "no network" in strong_isolation.describe()
    assert "kernel" in strong_isolation.describe()


def test_on_windows_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(IsolationError, match="WSL"):
        isolation.choose()


def test_a_process_that_does_not_start_is_told(tmp_path, monkeypatch):
    pretend_bwrap(tmp_path, "echo 'bwrap: broken' >&2; exit 3", monkeypatch)
    with (
        pytest.raises(IsolationError, match=r"does not start.*broken"),
        AnswerSession([], isolation=Isolation("strong")),
    ):
        pass


def test_only_what_python_needs_is_shown():
    places = isolation.python_places()
    project = isolation.package().parent
    assert all(place != project and not project.is_relative_to(place) for place in places)
    assert not any((place / "masters").exists() or place.name == "exercises" for place in places)
    command = isolation.sandbox((), SessionLimits(), {"A": "b"})
    shown = [command[at + 2] for at, word in enumerate(command) if word in ("--ro-bind", "--bind", "--ro-bind-try")]
    assert str(Path.home()) not in shown
    assert str(project) not in shown
    assert str(project / "course_lib") in shown
    assert "--bind" not in command
    assert {"--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--remount-ro"} <= set(command)


def test_a_course_within_the_systems_folders_is_hidden(monkeypatch):
    inside = Path("/usr/src/course/course_lib")
    monkeypatch.setattr(isolation, "package", lambda: inside)
    assert isolation._hidden() == [inside.parent]
    command = isolation.sandbox((), SessionLimits(), {})
    assert command[command.index("/usr/src/course") - 1] == "--tmpfs"
    assert command.index("/usr") < command.index("/usr/src/course")
    # The interpreter, wherever it lies, is shown again after that.
    python = [at for at, word in enumerate(command) if word == str(Path(sys.prefix) / "lib")]
    assert python
    assert python[0] > command.index("/usr/src/course")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_kernels_filter_refuses_the_named_calls_only(machine):
    """Runs the filter step by step, as the kernel does."""
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))

    def verdict(number: int, architecture: int = seccomp.ARCHITECTURES[machine]) -> int:
        at, value = 0, 0
        while True:
            operation, if_true, if_false, operand = steps[at]
            if operation == seccomp.RETURN:
                return operand
            if operation == seccomp.LOAD:
                value = {seccomp.NUMBER_AT: number, seccomp.ARCHITECTURE_AT: architecture}[operand]
                at += 1
                continue
            holds = value == operand if operation == seccomp.JUMP_IF_EQUAL else value >= operand
            at += 1 + (if_true if holds else if_false)

    refused = {number for number in range(600) if verdict(number) != seccomp.ALLOW}
    assert refused == set(seccomp.REFUSED[machine].values())
    assert verdict(0, architecture=0x40000003) != seccomp.ALLOW  # the same call of 32-bit programs
    assert verdict(seccomp.OTHER_ABI) != seccomp.ALLOW


def test_a_machine_of_unknown_numbers_has_no_filter():
    assert seccomp.program("riscv64") == b""


@pytest.mark.parametrize("name", ["seconds", "memory", "processes", "message"])
def test_a_limit_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be > 0, got 0"):
        SessionLimits(**{name: 0})


GRADER = """
import sys, time
from course_lib.exercises.answering import AnswerSession, Isolation, SessionLimits, choose

level = Isolation("basic") if sys.argv[1] == "basic" else choose()
session = AnswerSession(["print(1)", "import time\\nwhile True: time.sleep(0.01)"], isolation=level)
import threading
def tell():
    while not session.cells: time.sleep(0.05)
    print(session._job_id, session._scratch, flush=True)
threading.Thread(target=tell, daemon=True).start()
with session:
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_grader(isolation, number):
    grader = subprocess.Popen(
        [sys.executable, "-c", GRADER, isolation.level], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert grader.stdout is not None
    try:
        job_id, scratch = grader.stdout.readline().split()
        assert marked(job_id)
        os.kill(grader.pid, number)
        assert grader.wait(timeout=20) != 0
        deadline = time.monotonic() + 10
        while (left := marked(job_id)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []
        if number == signal.SIGINT:
            assert not Path(scratch).exists()
    finally:
        grader.kill()
        grader.wait()
        grader.stdout.close()
        if number == signal.SIGKILL and scratch != "None":
            from course_lib.exercises.answering.session import remove

            remove(Path(scratch))


def test_the_marker_is_not_this_processs_own():
    assert JOB_VARIABLE not in os.environ
