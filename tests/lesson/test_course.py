import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from course_lib import lesson


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_notebook(course):
    """`course` changes into a folder that holds 07_trial.ipynb."""


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_the_same_seed_gives_the_same_numbers_everywhere():
    lesson.start("07_trial", seed=3)
    first = draw()
    lesson.start("07_trial", seed=3)
    assert draw() == first
    lesson.start("07_trial", seed=4)
    assert not set(draw()) & set(first)


def test_one_line_says_what_runs(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lesson.start("07_trial", profile="smoke", seed=2)
    expected = "07_trial · profile smoke · seed 2 · device cpu · batch (guesses are not asked)\n"
    assert capsys.readouterr().out == expected


def test_the_gpu_profile_without_a_gpu_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lesson.start("07_trial", profile="gpu")
    assert "No CUDA GPU was found" in capsys.readouterr().out


def test_an_unknown_profile_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown profile 'cpuu'; did you mean 'cpu'"):
        lesson.start("07_trial", profile="cpuu")


def test_an_unknown_notebook_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown notebook '07_trail'; did you mean '07_trial'"):
        lesson.start("07_trail")


@pytest.mark.parametrize("seed", [-1, 2**32, True])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be"):
        lesson.start("07_trial", seed=seed)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda:1' is not on this machine; there is: cpu"):
        lesson.start("07_trial", device="cuda:1")
    with pytest.raises(ValueError, match="device must be cpu, cuda"):
        lesson.start("07_trial", device="gpu")


def test_an_unknown_mode_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_MODE", "bach")
    with pytest.raises(ValueError, match="unknown COURSE_MODE 'bach'; did you mean 'batch'"):
        lesson.start("07_trial")


def test_outside_a_notebook_nobody_is_asked(monkeypatch):
    monkeypatch.delenv("COURSE_MODE")
    assert not lesson.start("07_trial").live


def test_a_kernel_is_live_unless_the_mode_says_batch(run_cells):
    source = "from course_lib import lesson; course = lesson.start('07_trial')\nprint(course.live)"
    assert run_cells(source, live=True)[0].outputs[-1].text == "True\n"
    assert run_cells(source)[0].outputs[-1].text == "False\n"


def test_importing_the_lesson_loads_neither_torch_nor_matplotlib():
    code = "import sys, course_lib.lesson; print({'torch', 'matplotlib', 'IPython'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_lesson_computes_on_one_thread_unless_told_otherwise(course):
    before = torch.get_num_threads()
    lesson.start("07_trial", threads=2)
    assert torch.get_num_threads() == 2
    lesson.start("07_trial", threads=None)
    assert torch.get_num_threads() == 2
    lesson.start("07_trial")
    assert torch.get_num_threads() == 1
    with pytest.raises(ValueError, match="at least 1"):
        lesson.start("07_trial", threads=0)
    torch.set_num_threads(before)
