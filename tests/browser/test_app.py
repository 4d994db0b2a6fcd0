"""`course play` as a reader meets it: the playground in a browser, with a tiny model, in both themes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_lib.data.byte_pairs import END_OF_TEXT, save_byte_pairs, train_byte_pairs
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.gpt_files import save_gpt

ROOT = Path(__file__).parents[2]
WIDGETS = ("attention-explorer", "temperature-lab", "alignment-stepper")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    texts = [f"{name}\n{getattr(str, name).__doc__}" for name in dir(str)]
    save_byte_pairs(train_byte_pairs(texts, 320, (END_OF_TEXT,)), folder)
    config = GPTConfig(vocabulary_size=320, context_size=128, blocks=2, heads=2, embedding_size=16)
    save_gpt(GPT(config), folder, torch.float16)
    return folder


@pytest.fixture(scope="module")
def playground(tiny_model):
    """The address of a running `course play`, which is ended by Ctrl-C."""
    pytest.importorskip("voila", reason="Voilà is not installed (extra widgets)")
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", "from course_lib.cli import main; main()", "play", "--no-browser"]
    command += ["--model", str(tiny_model), "--notebooks", str(ROOT / "notebooks")]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    )
    try:
        yield re.search(r"http://\S+", running.stdout.readline()).group()
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert running.returncode == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_three_widgets_are_there_and_answer(playground, new_page, picture, audit, dark):
    page = new_page(dark)
    page.set_default_timeout(300_000)
    page.goto(f"{playground}&theme={'dark' if dark else 'light'}", wait_until="commit")
    for name in WIDGETS:
        page.get_by_test_id(name).first.wait_for()
    page.get_by_test_id("attention-cell-1-1").click()
    assert "2" in page.get_by_test_id("attention-title").inner_text()
    page.get_by_test_id("alignment-next").first.click()
    assert page.get_by_test_id("alignment-place").first.inner_text().startswith("step 2 of")
    assert page.get_by_test_id("row").count() > 5
    assert page.get_by_text("What do you remember?").count() == 0  # the cells for learners are left out
    audit(page)
    for name in WIDGETS:
        picture(page.get_by_test_id(name).first, f"playground_{name}_{'dark' if dark else 'light'}")
