import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from course_lib.training.checkpoint import MANIFEST, TRAINING, WEIGHTS, CheckpointError, CheckpointFolder


@pytest.fixture
def model():
    return nn.Linear(4, 3)


def filled(folder, model, steps=(10, 20, 30), **settings):
    checkpoints = CheckpointFolder(folder, **settings)
    for step in steps:
        with torch.no_grad():
            model.weight.fill_(step)
        checkpoints.save(step, model, {"step": step, "numbers": torch.arange(step), "nothing": None})
    return checkpoints


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path, model):
    filled(tmp_path, model)
    checkpoint = CheckpointFolder(tmp_path).newest()
    other = nn.Linear(4, 3)
    checkpoint.load_weights(other)
    assert checkpoint.step == 30
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other.bias, model.bias)
    assert checkpoint.state["numbers"].tolist() == list(range(30))


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path):
    def tied():
        model = nn.ModuleDict({"embedding": nn.Embedding(7, 5), "output": nn.Linear(5, 7, bias=False)})
        model["output"].weight = model["embedding"].weight
        return model

    model, other = tied(), tied()
    CheckpointFolder(tmp_path).save(1, model, {})
    CheckpointFolder(tmp_path).newest().load_weights(other)
    assert torch.equal(other["output"].weight, model["embedding"].weight)
    assert other["output"].weight is other["embedding"].weight


def test_the_last_ones_are_kept(tmp_path, model):
    filled(tmp_path, model, steps=(10, 20, 30, 40), keep=3)
    assert names(tmp_path) == ["00002-step-20", "00003-step-30", "00004-step-40"]


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert CheckpointFolder(tmp_path / "new").newest() is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *itertools.product([WEIGHTS, TRAINING, MANIFEST], [truncate, empty, os.remove]),
        *itertools.product([WEIGHTS, TRAINING], [flip_a_bit]),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, model, name, damage):
    checkpoints = filled(tmp_path, model)
    damage(checkpoints.paths()[-1] / name)
    with pytest.warns(UserWarning, match=f"step 20.*00003-step-30.*{name.partition('.')[0]}"):
        assert checkpoints.newest().step == 20
    checkpoints.save(25, model, {})
    assert names(tmp_path) == ["00002-step-20", "00004-step-25"]  # the damaged one does not count as kept


def test_a_manifest_that_is_no_manifest_is_damage_too(tmp_path, model):
    checkpoints = filled(tmp_path, model)
    for text in ("[]", "{}", '{"step": 3, "files": {}}', '{"step": "x", "files": 3}'):
        (checkpoints.paths()[-1] / MANIFEST).write_text(text)
        with pytest.warns(UserWarning, match="cannot be read"):
            assert CheckpointFolder(tmp_path).newest().step == 20


def test_when_none_is_whole_the_error_names_them_and_the_remedy(tmp_path, model):
    checkpoints = filled(tmp_path, model)
    for path in checkpoints.paths():
        truncate(path / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"(?s)00003-step-30.*00002-step-20.*resume=False"):
        CheckpointFolder(tmp_path).newest()
    assert names(tmp_path) == ["00002-step-20", "00003-step-30"]  # nothing is lost by looking


def test_starting_over_replaces_the_earlier_run_only_once_something_is_saved(tmp_path, model):
    filled(tmp_path, model)
    again = CheckpointFolder(tmp_path, start_over=True)
    assert again.newest() is None
    assert len(again.paths()) == 2
    again.save(5, model, {})
    assert names(tmp_path) == ["00004-step-5"]


def test_what_could_not_be_read_back_is_not_saved(tmp_path, model):
    checkpoints = filled(tmp_path, model)
    before = names(tmp_path)
    with pytest.raises(CheckpointError, match="step 40"):
        checkpoints.save(40, model, {"folder": checkpoints})
    assert names(tmp_path) == before


@pytest.mark.parametrize("limit", [0, 100, 3000, 60_000])
def test_a_full_disk_costs_only_the_new_checkpoint(tmp_path, limit):
    # A limit on file size makes the system itself refuse to write, as a full disk does, without filling one.
    model = nn.Linear(100, 100)  # 40 kB
    checkpoints = filled(tmp_path, model)
    before = names(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(CheckpointError, match=r"step 40 could not be written.*make room"):
            checkpoints.save(40, model, {"much": torch.zeros(30_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == before
    assert checkpoints.newest().step == 30
    checkpoints.save(40, model, {})
    assert checkpoints.newest().step == 40


def test_ctrl_c_while_saving_leaves_nothing_behind(tmp_path, model, monkeypatch):
    checkpoints = filled(tmp_path, model)
    before = names(tmp_path)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(40, model, {})
    assert names(tmp_path) == before


def test_what_a_killed_process_left_is_removed_but_not_what_a_living_one_writes(tmp_path, model):
    checkpoints = filled(tmp_path, model)
    kept = names(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = tmp_path / f".saving-{os.getppid()}-00009-step-90"
    for path in (tmp_path / f".saving-{dead.pid}-00004-step-40", tmp_path / ".removing-00001-step-10", alive):
        shutil.copytree(checkpoints.paths()[-1], path)
    checkpoints.remove_debris()
    assert names(tmp_path) == sorted([*kept, alive.name])


def test_a_folder_that_cannot_be_used_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be kept in .*file.*name another folder"):
        CheckpointFolder(tmp_path / "file" / "folder")
    with pytest.raises(ValueError, match="cannot be kept"):
        CheckpointFolder(tmp_path / "file")
    with pytest.raises(ValueError, match="keep must be at least 1"):
        CheckpointFolder(tmp_path, keep=0)


@pytest.mark.parametrize("victim", ["os.fsync", "Path.rename", "shutil.rmtree"])
def test_a_process_killed_at_any_point_of_saving_leaves_a_whole_checkpoint(tmp_path, model, victim):
    # fsync: before the new one is in place; rename and rmtree: between that and the removal of the old one.
    filled(tmp_path, model)
    script = f"""
        import os, shutil, signal
        from pathlib import Path
        from torch import nn
        from course_lib.training.checkpoint import CheckpointFolder
        def die(*_, **__):
            os.kill(os.getpid(), signal.SIGKILL)
        {victim} = die
        CheckpointFolder({str(tmp_path)!r}).save(40, nn.Linear(4, 3), {{}})
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert ended.returncode == -signal.SIGKILL
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.remove_debris()
    assert checkpoints.newest().step == (40 if victim == "shutil.rmtree" else 30)
    assert not [name for name in names(tmp_path) if name.startswith(".")]
