"""`course zoo`: what each command says, which files it leaves, and its exit status."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from typer.testing import CliRunner

from course_lib import cli, zoo
from course_lib.data import pydocs
from course_lib.models.gpt import GPTConfig
from course_lib.zoo import cards, pydoc_gpt, training
from course_lib.zoo.recipes import RECIPES

SIZES = GPTConfig(vocabulary_size=300, context_size=16, blocks=1, heads=2, embedding_size=16)
TEXTS = [f"str.{name}\n{getattr(str, name).__doc__}" for name in sorted(vars(str)) if getattr(str, name).__doc__]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder, no trained model yet, a tiny recipe and few texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(cards, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr("course_lib.zoo.loading.CHECKPOINTS", tmp_path / "checkpoints")
    corpus = DatasetDict({split: Dataset.from_dict({"text": TEXTS}) for split in pydocs.SPLITS})
    monkeypatch.setattr(pydocs, "load_pydocs", lambda bytes_per_origin=None: corpus)
    few = {"steps": 4, "batch_size": 2, "window": 17, "evaluate_every": 2, "checkpoint_every": 2}
    monkeypatch.setitem(RECIPES, "pydoc-gpt", replace(pydoc_gpt.RECIPE, config=SIZES, **few))
    return tmp_path


def course(*arguments):
    return CliRunner().invoke(cli.app, ["zoo", *map(str, arguments)])


def test_from_nothing_to_a_model_of_the_course(project):
    told = course("list")
    assert told.exit_code == 0
    assert told.output.startswith("No trained model is here yet. Train one with: course zoo train pydoc-gpt\n")
    assert "distilgpt2 (2290a62), gpt2 (607a30d), bert-base-uncased (86b5e09)" in told.output

    told = course("train", "pydoc-gpt", "--threads", 1, "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines() == [
        "runs/zoo/pydoc-gpt: pydoc-gpt with card.json and README.md; put it into the course with:",
        "course zoo build pydoc-gpt --from runs/zoo/pydoc-gpt",
    ]
    told = course("build", "pydoc-gpt")
    assert (told.exit_code, told.output) == (0, "checkpoints/pydoc-gpt\n")

    told = course("verify")
    assert told.exit_code == 0, told.output
    assert told.output.startswith("✓ pydoc-gpt: 3 files, ")
    told = course("list")
    assert told.exit_code == 0, told.exception
    line = next(line for line in told.output.splitlines() if line.startswith("pydoc-gpt"))
    card = zoo.card("pydoc-gpt")
    assert f"{card.sizes['parameters']:,}" in line
    assert f"{card.measured['bits_per_byte']:.3f}" in line
    assert course("card", "pydoc-gpt").output == card.text()
    assert Path(course("card", "pydoc-gpt", "--folder").output.strip()) == project / "checkpoints" / "pydoc-gpt"


def test_the_same_command_goes_on_and_another_length_is_refused(project):
    told = course("train", "pydoc-gpt", "--out", "made", "--steps", 2)
    assert told.exit_code == 0, told.output
    told = course("train", "pydoc-gpt", "--out", "made")
    assert told.exit_code == 2
    assert "course: the training in made is another one: --steps was 2, is 4; give the same" in told.output
    told = course("train", "pydoc-gpt", "--out", "made", "--no-resume")
    assert told.exit_code == 0, told.output
    assert json.loads(Path("made/card.json").read_text())["training"]["steps"] == 4


def test_an_interrupted_training_ends_with_130(project, monkeypatch):
    real = training.train
    monkeypatch.setattr(training, "train", lambda *parts, **options: real(*parts, **options, wall_clock_budget=1e-9))
    told = course("train", "pydoc-gpt")
    assert told.exit_code == 130
    assert "the same call goes on from there" in told.output
    assert course("build", "pydoc-gpt").exit_code == 2
    assert zoo.names() == []


def test_a_training_that_breaks_down_ends_with_1(project, monkeypatch):
    monkeypatch.setitem(RECIPES, "pydoc-gpt", replace(RECIPES["pydoc-gpt"], learning_rate=1e30, warmup_steps=0))
    told = course("train", "pydoc-gpt")
    assert told.exit_code == 1
    assert "course: the training broke down at step" in told.output


def test_damage_is_listed_and_fails(project):
    course("train", "pydoc-gpt", "--steps", 1)
    course("build", "pydoc-gpt")
    readme = project / "checkpoints/pydoc-gpt/README.md"
    readme.write_text(readme.read_text(encoding="utf-8").replace("this model", "this miracle"), encoding="utf-8")
    told = course("verify")
    assert told.exit_code == 1
    assert "README.md does not say what the card says; write it anew with: course zoo card pydoc-gpt >" in told.output
    (project / "checkpoints/pydoc-gpt/config.json").unlink()
    told = course("verify", "pydoc-gpt")
    assert told.exit_code == 1
    assert "config.json is missing; restore it" in told.output
    (project / "checkpoints/pydoc-gpt/card.json").write_text("{}")
    told = course("list")
    assert told.exit_code == 0
    assert "damaged; see: course zoo verify" in told.output
    for command in ("card", "verify"):
        told = course(command, "pydoc-gpt")
        assert told.exit_code == 1
        assert "card.json is no card" in told.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("card", "nothing"), "the course brings no model 'nothing', only: none yet"),
        (("verify", "nothing"), "the course brings no model 'nothing'"),
        (("train", "nothing"), "there is no recipe for 'nothing', only for pydoc-gpt, pydoc-bert"),
        (("train", "pydoc-gpt", "--steps", "0"), "--steps must be at least 1, got 0"),
        (("train", "pydoc-gpt", "--threads", "0"), "--threads must be at least 1, got 0"),
        (("train", "pydoc-gpt", "--bytes-per-origin", "-1"), "--bytes-per-origin must be at least 1, got -1"),
        (("train", "pydoc-gpt", "--device", "warp"), "device='warp' cannot be used here"),
        (("build", "pydoc-gpt"), "runs/zoo/pydoc-gpt holds no finished model; finish it with: course zoo train"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_status_2(project, arguments, told):
    result = course(*arguments)
    assert result.exit_code == 2, result.output
    assert f"course: {told}" in result.output
    assert "Traceback" not in result.output


def test_listing_loads_no_torch():
    script = (
        "import sys; from typer.testing import CliRunner; from course_lib import cli\n"
        "assert CliRunner().invoke(cli.app, ['zoo', 'list']).exit_code == 0; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
