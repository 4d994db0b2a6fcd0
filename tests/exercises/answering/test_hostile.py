"""Whatever submitted code does, its session ends or goes on, says so, and leaves nothing behind."""

import os
import socket
import threading
import time

import psutil
import pytest
import torch

from course_lib.batch.processes import JOB_VARIABLE, marked
from course_lib.exercises.answering import AnswerSession, Isolation, Opaque, SessionLimits
from course_lib.exercises.failures import AnswerRaised

FUNCTION = "def f(x=1):\n    return x"


def left_over(session: AnswerSession) -> list[psutil.Process]:
    """What still lives of a session a moment after its end."""
    deadline = time.monotonic() + 2
    while (left := marked(session._job_id)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def raised_by(session: AnswerSession, name: str = "f", *args) -> AnswerRaised:
    with pytest.raises(AnswerRaised) as raised:
        session.answers[name](*args)
    return raised.value


# Time


def test_an_endless_loop_in_a_cell_is_interrupted_and_the_rest_goes_on(begin, isolation):
    session = begin(FUNCTION, "while True:\n    pass", "print('after')", isolation=isolation, cell_seconds=0.5)
    assert [outcome.error_kind for outcome in session.cells] == [None, "TimeLimit", None]
    assert session.cells[1].where.startswith("cell 2, line")
    assert session.answers["f"](3) == 3
    assert session.ended is None


def test_an_endless_loop_in_a_call_costs_its_time_once_and_the_rest_goes_on(begin, isolation):
    session = begin("def loop():\n    while True:\n        pass", FUNCTION, isolation=isolation, call_seconds=0.5)
    assert raised_by(session, "loop").kind == "TimeLimit"
    began = time.monotonic()
    assert raised_by(session, "loop").kind == "TimeLimit"
    assert time.monotonic() - began < 0.3
    assert session.answers["f"](3) == 3


STUBBORN = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
"""


def test_who_ignores_every_signal_is_killed(begin, isolation):
    session = begin(FUNCTION, STUBBORN + "time.sleep(100)", "x = 1", isolation=isolation, cell_seconds=0.3)
    assert session.ended == "time"
    assert [outcome.error_kind for outcome in session.cells] == [None, "TimeLimit"]
    assert raised_by(session).kind == "TimeLimit"
    assert left_over(session) == []


def test_who_swallows_the_interrupt_is_killed(begin):
    swallow = "def f():\n  while True:\n    try:\n      time.sleep(100)\n    except BaseException: pass"
    session = begin("import time", swallow, call_seconds=0.3)
    assert raised_by(session).kind == "TimeLimit"
    assert session.ended == "time"
    assert left_over(session) == []


def test_all_cells_and_calls_share_the_sessions_time(begin):
    session = begin("import time", "time.sleep(0.6)", "time.sleep(100)", seconds=1.5)
    assert session.ended == "time"
    assert len(session.cells) == 3
    assert sum(outcome.seconds for outcome in session.cells) < 10


def test_a_function_passed_in_does_not_stop_the_clock(begin):
    session = begin("def f(g):\n    while True:\n        g()", call_seconds=0.5)
    calls = []
    assert raised_by(session, "f", lambda: calls.append(1)).kind == "TimeLimit"
    assert calls


# Death


DEATHS = {
    "os._exit": "import os; os._exit(0)",
    "kill -9": "import os; os.kill(os.getpid(), 9)",
    "segmentation fault": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
    "close every descriptor": "import os; os.closerange(0, 500)",
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_death_in_a_cell_and_in_a_call_is_told(begin, isolation, death):
    session = begin(FUNCTION, death, "x = 1", isolation=isolation)
    assert session.ended == "died"
    assert [outcome.error_kind for outcome in session.cells] == [None, "ProcessDied"]
    assert raised_by(session).kind == "ProcessDied"

    session = begin(f"def f():\n    {death}", isolation=isolation)
    raised = raised_by(session)
    assert raised.kind == "ProcessDied"
    assert "process" in raised.error
    assert left_over(session) == []


def test_closing_what_is_printed_to_harms_nobody(begin, isolation):
    session = begin(
        "import os, sys\nfor d in (0, 1, 2): os.close(d)\nsys.stdout = sys.stderr = sys.stdin = None",
        FUNCTION,
        isolation=isolation,
    )
    assert session.answers["f"](2) == 2


KILL_ALL = """
import ctypes, os
libc = ctypes.CDLL(None)
mine = os.getpid()
for pid in [int(name) for name in os.listdir('/proc') if name.isdigit()]:
    if pid != mine:
        libc.kill(pid, 9)
"""


def test_no_process_outside_can_be_killed_or_seen(begin, strong_isolation):
    session = begin(
        "import os\npids = [int(n) for n in os.listdir('/proc') if n.isdigit()]", isolation=strong_isolation
    )
    assert len(session.answers["pids"]) <= 3
    session = begin(KILL_ALL, FUNCTION, isolation=strong_isolation)
    assert psutil.pid_exists(os.getpid())
    assert session.ended in (None, "died")


def test_killing_the_parent_is_refused(begin, basic_isolation):
    session = begin(
        "import os\nos.kill(os.getppid(), 9)", "import os\nos.killpg(os.getpgid(os.getppid()), 9)", FUNCTION
    )
    assert [outcome.error_kind for outcome in session.cells] == ["PermissionError", "PermissionError", None]


# Processes

FORK_BOMB = "import os\nwhile True:\n    os.fork()"
# Around what Python reports, as someone determined would.
CHILDREN = """
import ctypes, time
libc = ctypes.CDLL(None)
for _ in range(30):
    if libc.fork() == 0:
        while True: time.sleep(1)
time.sleep(60)
"""
ORPHAN = """
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
if libc.fork() == 0:
    libc.setsid()
    if libc.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while True: time.sleep(1)
    os._exit(0)
os.wait()
"""


def test_a_fork_bomb_is_stopped(begin, strong_isolation):
    session = begin(FORK_BOMB, isolation=strong_isolation, processes=20, cell_seconds=10)
    assert session.ended == "processes"
    assert session.cells[0].error_kind == "ProcessLimit"
    assert left_over(session) == []


def test_too_many_children_are_stopped(begin, isolation):
    session = begin(CHILDREN, isolation=isolation, processes=10, cell_seconds=10)
    assert session.ended == "processes"
    assert left_over(session) == []


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"], ids=["close", "exit", "kill"])
def test_orphans_are_gone_afterwards(begin, isolation, end):
    session = begin(ORPHAN, end, isolation=isolation)
    if not end and isolation.level == "basic":
        assert len(marked(session._job_id)) == 2  # the worker and the orphan
    session.close()
    assert left_over(session) == []


def test_an_orphan_that_holds_the_pipes_delays_nobody(begin, isolation):
    began = time.monotonic()
    session = begin(ORPHAN + "os._exit(0)", isolation=isolation, cell_seconds=60, seconds=90)
    assert session.ended == "died"
    assert time.monotonic() - began < 30


def test_programs_are_refused_without_a_sandbox(begin):
    session = begin("!touch made", "import subprocess; subprocess.run(['ls'])", FORK_BOMB, "import os; os.listdir()")
    assert [outcome.error_kind for outcome in session.cells] == ["PermissionError"] * 3 + [None]
    assert "made" not in session.cells[3].stdout


# Memory


def test_memory_beyond_the_limit_is_refused(begin, isolation):
    session = begin(FUNCTION, "x = bytearray(900 * 2**20)", isolation=isolation, memory=600 * 2**20)
    assert session.cells[1].error_kind == "MemoryLimit"
    assert session.answers["f"](1) == 1


def test_a_tensor_beyond_the_limit_is_refused(begin):
    session = begin("import torch\ndef f():\n    return torch.ones(2**31).sum()", memory=2**30)
    assert raised_by(session).kind == "MemoryLimit"


SHARED = """
import mmap, time
held = []
for _ in range(60):
    held.append(mmap.mmap(-1, 20 * 2**20))
    held[-1].write(b'x' * 20 * 2**20)
    time.sleep(0.01)
time.sleep(20)
"""


def test_memory_that_the_system_does_not_count_is_watched(begin, isolation):
    session = begin(SHARED, isolation=isolation, memory=400 * 2**20)
    assert session.ended == "memory"
    assert session.cells[0].error_kind == "MemoryLimit"
    assert raised_by(begin(FUNCTION, SHARED, memory=400 * 2**20)).kind == "MemoryLimit"


def test_memory_that_nobody_has_mapped_is_refused(begin, strong_isolation):
    if not strong_isolation.filtered:
        pytest.skip("no filter of the kernel's calls on this machine")
    session = begin(
        "import os; os.memfd_create('x')",
        "import ctypes; shared = ctypes.CDLL(None).shmget(0, 2**20, 0o1600)",
        isolation=strong_isolation,
    )
    assert session.cells[0].error_kind == "PermissionError"
    assert session.answers["shared"] == -1


# Files


@pytest.fixture
def secret(tmp_path):
    """A file such as a master, with what the hidden tests ask."""
    file = tmp_path / "masters" / "master.py"
    file.parent.mkdir()
    file.write_text("### BEGIN HIDDEN TESTS")
    return file


def test_files_elsewhere_cannot_be_read_or_listed(begin, isolation, secret, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", "hidden")
    session = begin(
        f"open({str(secret)!r}).read()",
        f"import os; os.listdir({str(secret.parent)!r})",
        f"import pathlib; list(pathlib.Path({str(secret.parent.parent)!r}).iterdir())",
        f"os.symlink({str(secret)!r}, 'link'); open('link').read()",
        f"open('../' * 20 + {str(secret)!r}).read()",
        "import os; environment = sorted(os.environ)",
        isolation=isolation,
    )
    assert all(outcome.error_kind in ("FileNotFoundError", "PermissionError") for outcome in session.cells[:5])
    assert "COURSE_SECRET" not in session.answers["environment"]


def test_the_courses_own_exercises_are_out_of_sight(begin, isolation):
    look = (
        "import course_lib, pathlib\nplace = pathlib.Path(course_lib.__file__).parent.parent\n"
        "try:\n    seen = [p.name for p in place.iterdir()]\nexcept PermissionError:\n    seen = []\n"
        "try:\n    masters = [str(p) for p in (place / 'exercises').rglob('*')]\n"
        "except PermissionError:\n    masters = []\n"
    )
    session = begin(look, isolation=isolation)
    assert session.cells[0].error_kind is None
    assert not {"exercises", "tests", "notebooks", ".git"} & set(session.answers["seen"])
    assert session.answers["masters"] == []


def test_nothing_is_written_elsewhere(begin, isolation, tmp_path):
    there = tmp_path / "there"
    there.write_text("mine")
    session = begin(
        f"open({str(tmp_path / 'new')!r}, 'w').write('x')",
        f"open({str(there)!r}, 'a').write('x')",
        f"import os; os.remove({str(there)!r})",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        "import course_lib; open(course_lib.__file__, 'a').write('x')",
        "import sys; open(sys.executable, 'ab').write(b'x')",
        "open('/usr/x', 'w')",
        "open('mine.txt', 'w').write('x')",
        isolation=isolation,
    )
    assert [outcome.error_kind is None for outcome in session.cells] == [False] * 7 + [True]
    assert [file.name for file in tmp_path.iterdir()] == ["there"]
    assert there.read_text() == "mine"


def test_the_scratch_folder_is_removed_even_if_it_was_closed(begin):
    session = begin("import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\nos.chmod('a/b', 0)\nos.chmod('a', 0)")
    scratch = session._scratch
    assert scratch.exists()
    session.close()
    assert not scratch.exists()


def test_files_are_bounded(begin, isolation):
    write = "with open('large', 'wb') as file:\n    for _ in range(20): file.write(bytes(2**20))"
    session = begin(write, isolation=isolation, file_size=5 * 2**20)
    assert session.cells[0].error_kind == "OSError"


def test_all_files_together_are_bounded(begin, strong_isolation):
    places = ("/tmp", "/dev/shm", "/", "/dev", "/usr", "/root", "/tmp/scratch")
    write = (
        "import os\nwritten = 0\n"
        f"for place in {places!r}:\n    for number in range(200):\n        try:\n"
        "            with open(f'{place}/f{number}', 'wb') as file: written += file.write(bytes(2**20))\n"
        "        except OSError: break\n"
    )
    session = begin(write, isolation=strong_isolation, scratch=20 * 2**20)
    assert session.answers["written"] < 100 * 2**20


def test_no_privilege_is_left(begin, strong_isolation):
    status = "status = dict(l.split(':\\t') for l in open('/proc/self/status').read().splitlines() if ':\\t' in l)\n"
    session = begin(
        status + "held = [status['CapEff'], status['CapBnd'], status['NoNewPrivs']]", isolation=strong_isolation
    )
    effective, bounding, no_new = session.answers["held"]
    assert int(effective, 16) == int(bounding, 16) == 0
    assert no_new.strip() == "1"


OPEN_FOR_WRITING = """
import os
opened = []
def attempt(path):
    try:
        os.close(os.open(path, os.O_WRONLY))
        opened.append(path)
    except OSError:
        pass
for folder, _, files in os.walk('/proc/sys'):
    for name in files:
        attempt(os.path.join(folder, name))
for name in os.listdir('/proc'):
    attempt('/proc/' + name)
for name in os.listdir('/proc/self'):
    attempt('/proc/self/' + name)
"""


def test_the_systems_settings_cannot_be_written(begin, strong_isolation):
    """Only opened, never written: had it succeeded, this machine would be changed."""
    session = begin(OPEN_FOR_WRITING, isolation=strong_isolation)
    assert session.cells[0].error_kind is None
    assert session.answers["opened"] == []


# Network


@pytest.fixture
def server():
    """A server on this machine, and what it was told."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.2)
    heard: list[object] = []
    stop = threading.Event()

    def listen():
        while not stop.is_set():
            try:
                heard.append(listening.accept()[1])
            except TimeoutError:
                continue

    thread = threading.Thread(target=listen)
    thread.start()
    yield listening.getsockname()[1], heard
    stop.set()
    thread.join()
    listening.close()


def test_there_is_no_network(begin, isolation, server):
    port, heard = server
    session = begin(
        f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=2)",
        f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}', timeout=2)",
        "socket.getaddrinfo('example.org', 80)",
        f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('192.0.2.1', {port}))",
        isolation=isolation,
    )
    assert all(outcome.error_kind is not None for outcome in session.cells)
    assert heard == []


# The connection and the verdict

GARBAGE = """
import os
for descriptor in range(3, 600):
    try:
        os.set_blocking(descriptor, False)
        os.write(descriptor, GARBAGE)
    except OSError:
        pass
"""


@pytest.mark.parametrize(
    "garbage", [b"nonsense" * 100, b"CAns\xff\xff\xff\xff\xff\xff\xff\xff", b"CAns\x04\0\0\0\0\0\0\0[[[["]
)
def test_garbage_on_the_connection_ends_the_session(begin, garbage):
    session = begin(FUNCTION, GARBAGE.replace("GARBAGE", repr(garbage)), isolation=Isolation("basic"), cell_seconds=2)
    assert session.ended == "protocol"
    assert raised_by(session).kind == "ProcessDied"
    session = begin("def f():" + GARBAGE.replace("GARBAGE", repr(garbage)).replace("\n", "\n    "), call_seconds=2)
    assert raised_by(session).kind == "ProcessDied"
    assert left_over(session) == []


def test_half_a_message_ends_with_the_time(begin):
    session = begin(FUNCTION, GARBAGE.replace("GARBAGE", "b'CAns'") + "while True: pass", cell_seconds=0.3)
    assert session.ended in ("time", "protocol")


def test_a_message_out_of_turn_ends_the_session(begin):
    forged = (
        "from course_lib.exercises.answering.codec import encode\n"
        "GARBAGE = encode({'kind': 'callback', 'number': 7, 'args': (), 'kwargs': {}})\n" + GARBAGE
    )
    session = begin("def f(g):\n    " + forged.replace("\n", "\n    "))
    assert raised_by(session, "f", lambda: 1).kind == "ProcessDied"
    assert session.ended == "protocol"


PATCHES = """
import builtins, json, torch, course_lib.exercises.checking, course_lib.exercises.answering.codec
torch.allclose = torch.equal = lambda *a, **k: True
builtins.abs = builtins.sum = lambda *a: 0
torch.Tensor.__eq__ = torch.Tensor.__le__ = torch.Tensor.__sub__ = lambda *a: torch.tensor(True)
course_lib.exercises.checking.run_check = None
course_lib.exercises.failures = None
builtins.isinstance, json.dumps = (lambda *a: True), (lambda *a, **k: '0')
"""


def test_patches_over_there_change_no_verdict_here(begin, isolation):
    session = begin(FUNCTION, PATCHES, isolation=isolation, call_seconds=2)
    try:
        answer = session.answers["f"](torch.ones(2))
    except AnswerRaised:
        answer = None
    assert not (isinstance(answer, torch.Tensor) and torch.equal(answer, torch.zeros(2)))
    assert not torch.allclose(torch.ones(2), torch.zeros(2))
    assert sum([1, 2]) == 3


def test_odd_objects_are_named_only(begin, isolation):
    session = begin(
        "class Odd:\n    def __repr__(self): raise RuntimeError('no')\n"
        "    def __reduce__(self): return eval, ('1/0',)\n    def __class__(self): raise RuntimeError('no')",
        "class Text(str):\n    def __str__(self): return 'other'",
        "def f(): return Odd()\ndef g(): return [Text('same'), float('nan')]",
        "class Slow:\n    def __repr__(self):\n        while True: pass\ndef slow(): return Slow()",
        isolation=isolation,
        call_seconds=0.5,
    )
    try:
        odd = session.answers["f"]()
        assert isinstance(odd, Opaque)
    except AnswerRaised:
        assert session.ended is None
    assert session.answers["g"]()[0] == "same"
    assert raised_by(session, "slow").kind == "TimeLimit"


def test_an_error_that_cannot_be_shown_is_told(begin):
    session = begin(
        "class Odd(Exception):\n    def __str__(self): raise SystemExit",
        "def f(): raise Odd",
        "raise Odd",
        "def g(): raise type('x' * 10**6, (Exception,), {})('y' * 10**6)",
    )
    assert raised_by(session).kind == "Odd"
    assert session.cells[2].error_kind in ("Odd", "SystemExit")
    raised = raised_by(session, "g")
    assert len(raised.kind) <= 100
    assert len(raised.error) <= 2000


def test_threads_left_running_harm_nobody(begin, isolation):
    chatter = (
        "import threading\ndef chat():\n    while True: print('x' * 1000)\n"
        "for _ in range(3): threading.Thread(target=chat, daemon=False).start()"
    )
    session = begin(chatter, FUNCTION, isolation=isolation)
    assert [session.answers["f"](number) for number in range(5)] == list(range(5))
    session.close()
    assert left_over(session) == []


def test_no_session_and_no_descriptor_is_left_in_this_process(begin):
    with AnswerSession([FUNCTION]):
        pass
    process = psutil.Process()
    before = process.num_fds()
    for _ in range(3):
        with AnswerSession(["import os; os._exit(1)"], limits=SessionLimits()) as session:
            pass
        assert left_over(session) == []
    assert process.num_fds() <= before
    assert JOB_VARIABLE not in os.environ
