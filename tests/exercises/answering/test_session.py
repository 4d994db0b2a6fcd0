"""A learner's notebook runs in a process of its own, and its functions can be called from here."""

import math
import threading

import numpy
import pytest
import torch

from course_lib.exercises.answering import AnswerSession, Opaque, RemoteFunction, end_all_sessions
from course_lib.exercises.failures import AnswerRaised, PropertyFailed

NOTEBOOK = (
    "import torch\n\ndef softmax(energies, dim=-1):\n    return energies.softmax(dim)",
    "def square(x):\n    total = (x * x).sum()\n    total.backward()\n    return [total, x.grad]",
    "def same(value):\n    return value\n\ndef apply(function, *args, **kwargs):\n    return function(*args, **kwargs)",
    "size = 3\ntable = {'a': torch.ones(2)}\n_hidden = 1\nclass Own: pass\nown = Own()",
)


@pytest.fixture(scope="module")
def session():
    with AnswerSession(NOTEBOOK) as session:
        yield session


def test_it_tells_what_was_defined(session):
    assert session.ended is None
    assert [outcome.error_kind for outcome in session.cells] == [None] * 4
    assert {"softmax", "square", "same", "apply", "size", "table", "Own", "own"} == set(session.answers)
    assert isinstance(session.answers["softmax"], RemoteFunction)
    assert session.answers["size"] == 3
    assert torch.equal(session.answers["table"]["a"], torch.ones(2))
    assert "_hidden" not in session.answers
    assert "absent" not in session.answers
    assert session.answers.get("absent") is None


def test_a_call_gives_what_the_function_gives(session):
    energies = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    softmax = session.answers["softmax"]
    assert torch.allclose(softmax(energies), energies.softmax(-1))
    assert torch.allclose(softmax(energies, dim=0), energies.softmax(0))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -1.5,
        math.inf,
        "é",
        [1, (2, [])],
        {"a": 1, 2: None},
        torch.arange(6).reshape(2, 3),
        torch.tensor(True),
    ],
    ids=str,
)
def test_values_travel_there_and_back(session, value):
    back = session.answers["same"](value)
    assert type(back) is type(value)
    assert torch.equal(back, value) if isinstance(value, torch.Tensor) else back == value


def test_numpy_arrives_as_a_tensor_and_an_object_as_its_name(session):
    assert torch.equal(session.answers["same"](numpy.arange(3)), torch.arange(3))
    own = session.answers["own"]
    assert isinstance(own, Opaque)
    assert type(own).__name__ == "Own"


def test_a_result_needs_no_gradient_and_an_argument_keeps_its(session):
    total, gradient = session.answers["square"](torch.ones(2, requires_grad=True))
    assert not total.requires_grad
    assert gradient.tolist() == [2.0, 2.0]


def test_functions_passed_in_run_here(session):
    apply = session.answers["apply"]
    here = []
    assert apply(lambda x, times=1: here.append(x) or x * times, torch.ones(2), times=3).tolist() == [3.0, 3.0]
    assert here[0].tolist() == [1.0, 1.0]


def test_calls_nest(session):
    apply, same = session.answers["apply"], session.answers["same"]
    assert apply(same, 5) == 5  # their own function, passed back
    assert apply(lambda x: same(x) + apply(lambda y: y + 1, x), 1) == 3


def test_endless_nesting_ends(session):
    apply = session.answers["apply"]

    def again():
        return apply(again)

    with pytest.raises(AnswerRaised, match="RecursionError"):
        again()
    assert session.answers["same"](1) == 1


def test_errors_of_functions_passed_in_can_be_caught_there(begin):
    session = begin(
        "def careful(f):\n    try:\n        return f()\n    except KeyError as error:\n        return repr(error)",
        "def careless(f):\n    return f()",
    )

    def fails():
        raise KeyError("absent")

    def finds():
        raise PropertyFailed("sums to 1", "it sums to 2", mistake="axis")

    assert "absent" in session.answers["careful"](fails)
    with pytest.raises(AnswerRaised) as raised:
        session.answers["careless"](fails)
    assert raised.value.kind == "KeyError"
    with pytest.raises(PropertyFailed) as failed:
        session.answers["careless"](finds)
    assert failed.value.mistake == "axis"


def test_a_function_passed_in_lives_as_long_as_the_call(begin):
    session = begin("kept = []\ndef keep(f):\n    kept.append(f)\ndef use():\n    return kept[0]()")
    session.answers["keep"](lambda: 1)
    with pytest.raises(AnswerRaised, match="only while the call lasts"):
        session.answers["use"]()
    assert session.ended is None


def test_an_error_tells_its_kind_and_the_learners_own_line(begin):
    session = begin("x = 1", "def inner(d):\n    return d['key']\n\ndef outer(d):\n    return inner(d)")
    with pytest.raises(AnswerRaised) as raised:
        session.answers["outer"]({})
    assert raised.value.kind == "KeyError"
    assert raised.value.error == "'key'"
    assert raised.value.where.splitlines() == [
        "cell 2, line 5, in outer:",
        "    return inner(d)",
        "cell 2, line 2, in inner:",
        "    return d['key']",
    ]


def test_an_error_in_a_cell_is_told_and_later_cells_still_run(begin):
    session = begin("def f():\n    return 1", "y = 1\n1 / 0", "def broken(:", "raise SystemExit", "print(y)")
    kinds = [outcome.error_kind for outcome in session.cells]
    assert kinds == [None, "ZeroDivisionError", "SyntaxError", "SystemExit", None]
    assert session.cells[1].where == "cell 2, line 2, in module:\n    1 / 0"
    assert "ZeroDivisionError: division by zero" in session.cells[1].traceback
    assert "\x1b" not in session.cells[1].traceback
    assert session.cells[4].stdout == "1\n"
    assert session.answers["f"]() == 1


@pytest.mark.parametrize("last", ["raise KeyboardInterrupt", "import sys; sys.exit(3)", "raise BaseException('odd')"])
def test_what_usually_ends_a_process_is_an_error_like_others(begin, last):
    session = begin(last, f"def f():\n    {last}\n\ndef g():\n    return 2")
    assert session.cells[0].error_kind in ("KeyboardInterrupt", "SystemExit", "BaseException")
    with pytest.raises(AnswerRaised):
        session.answers["f"]()
    assert session.answers["g"]() == 2


def test_notebooks_habits_work(begin):
    session = begin(
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()",
        "%%time\nx = 4",
        "import asyncio\nawait asyncio.sleep(0)\nx",
        "display(x)",
        "import os; os.environ['COURSE_ANSWERING'], os.environ['COURSE_MODE'], __name__",
        "input('name? ')",
        files={"helper.py": b"def help():\n    return 'helped'\n", "data/words.txt": "é".encode()},
    )
    assert [outcome.error_kind for outcome in session.cells] == [None] * 5 + ["EOFError"]
    assert "4" in session.cells[2].stdout
    assert "('1', 'batch', '__main__')" in session.cells[4].stdout


ODD_SOURCES = ("", "\0", "x = '\ud800'", "(" * 20_000, "-" * 50_000 + "1", "%%unknown\nx", "!", "?", "\ufeffx = 1")


def test_odd_source_is_an_error_of_its_cell_at_most(begin):
    session = begin(*ODD_SOURCES, "def f():\n    return 7")
    assert session.ended is None
    assert len(session.cells) == len(ODD_SOURCES) + 1
    assert session.answers["f"]() == 7


def test_a_name_that_the_shell_uses_may_be_defined_anew(begin):
    session = begin("def exit():\n    return 'mine'")
    assert session.answers["exit"]() == "mine"
    assert "quit" not in session.answers


def test_a_notebook_too_large_to_be_run_is_told(begin):
    session = begin("x = 1 # " + "x" * 9 * 2**20)
    assert session.ended == "size"
    assert "too large" in session.ended_text
    assert session.cells == []
    assert dict(session.answers) == {}


def test_files_stand_beside_the_notebook(begin):
    files = {"helper.py": b"def help():\n    return 'helped'\n", "data/words.txt": "é".encode()}
    session = begin("import helper\na = helper.help()\nb = open('data/words.txt').read()", files=files)
    assert (session.answers["a"], session.answers["b"]) == ("helped", "é")
    for name in ("/etc/x", "../x", "a/../../x", ""):
        with pytest.raises(ValueError, match="scratch"):
            AnswerSession([], files={name: b""})


def test_what_it_draws_by_chance_is_the_same_each_time(begin):
    source = "import random, numpy\nx = [random.random(), numpy.random.rand(), hash('a')]"
    assert begin(source).answers["x"] == begin(source).answers["x"]


def test_all_that_is_printed_is_kept_by_cell_from_every_source(begin, isolation):
    session = begin(
        "import ctypes, os, sys\nprint('a'); print('b', file=sys.stderr); _ = os.write(1, b'c ')",
        "libc = ctypes.CDLL(None); libc.puts(b'from C'); libc.fflush(None); print('é')",
        "def f():\n    print('in a call')",
        isolation=isolation,
    )
    assert {"a", "c"} <= set(session.cells[0].stdout.replace("\n", " ").replace("Out", " ").split())
    assert session.cells[0].stderr == "b\n"
    assert "from C" in session.cells[1].stdout
    assert "é" in session.cells[1].stdout
    assert session.cells[2].stdout == ""


def test_a_hundred_megabytes_of_print_are_harmless(begin):
    session = begin("for _ in range(100):\n    print('x' * 2**20)\nprint('last')", "def f():\n    return 1")
    outcome = session.cells[0]
    assert outcome.error_kind is None
    assert len(outcome.stdout) < 100_000
    assert outcome.dropped > 100 * 2**20 - 100_000
    assert outcome.stdout.startswith("xxx")
    assert outcome.stdout.endswith("last\n")
    assert "left out" in outcome.stdout
    assert session.answers["f"]() == 1


def test_a_result_that_is_too_large_is_told_and_the_session_lives(begin):
    session = begin(
        "def f(n):\n    return 'x' * n",
        "def g():\n    a = []\n    a.append(a)\n    return a",
        message=2**20,
    )
    with pytest.raises(AnswerRaised, match="larger than 1 MiB"):
        session.answers["f"](2 * 10**6)
    with pytest.raises(AnswerRaised, match="deeper"):
        session.answers["g"]()
    assert session.answers["f"](3) == "xxx"
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        session.answers["f"](torch.zeros(10**6))


def test_several_sessions_run_at_once(begin):
    results = {}

    def work(number):
        with AnswerSession([f"def f(x):\n    return x + {number}"]) as session:
            results[number] = [session.answers["f"](x) for x in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [x + number for x in range(20)] for number in range(4)}


def test_one_session_serves_several_threads(session):
    wrong = []

    def work(number):
        wrong.extend(x for x in range(50) if session.answers["same"]((number, x)) != (number, x))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_after_its_end_a_session_says_so(begin):
    session = begin("def f():\n    return 1")
    f = session.answers["f"]
    session.close()
    session.close()
    assert session.ended is None
    with pytest.raises(AnswerRaised, match="closed"):
        f()


def test_all_sessions_can_be_ended_at_once(begin):
    session = begin("def f():\n    return 1")
    end_all_sessions()
    assert session.ended == "stopped"
    with pytest.raises(AnswerRaised) as raised:
        session.answers["f"]()
    assert raised.value.kind == "ProcessDied"
