import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from course_lib.parallel.elastic import add_parts, checkpoints, load_checkpoint, save_checkpoint, train_elastically
from course_lib.parallel.launching import launch
from tests.parallel import elastic_script as script

SCRIPT = Path(script.__file__)


def test_the_newest_checkpoint_is_found_and_old_ones_are_deleted(tmp_path):
    assert load_checkpoint(tmp_path) == (0, None)
    for step in (5, 10, 100):
        save_checkpoint(tmp_path, step, {"weights": torch.tensor([float(step)])})
    (tmp_path / "step-last.pt").touch()  # somebody else's
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000010.pt", "step-000000100.pt"]
    step, state = load_checkpoint(tmp_path)
    assert (step, state["weights"].item()) == (100, 100)


def test_what_is_interrupted_while_it_is_written_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"weights": torch.ones(2)})

    def stop_in_the_middle(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, 2, {"weights": torch.zeros(2)})
    assert load_checkpoint(tmp_path)[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]


def test_the_weights_are_the_same_to_the_last_bit_for_any_number_of_ranks_and_after_any_stop(tmp_path):
    results = {size: launch(script.train, tmp_path / str(size), "nothing", processes=size) for size in (1, 2, 3, 7)}
    first, weights = results[1][0]
    assert first == 0
    assert not torch.equal(weights, nn.utils.parameters_to_vector(script.make_model().parameters()))
    assert all(torch.equal(weights, other) for result in results.values() for _, other in result)
    for newest in checkpoints(tmp_path / "3")[1:]:  # as if it had been stopped after the one before
        newest.unlink()
    again = launch(script.train, tmp_path / "3", "nothing", processes=2)
    assert all(start == 8 and torch.equal(weights, other) for start, other in again)


def gradients(parts):
    inputs, targets = script.make_batch(seed=1)
    model, whole = script.make_model(), script.make_model()

    def loss_of_part(part):
        return nn.functional.mse_loss(model(inputs.chunk(parts)[part]), targets.chunk(parts)[part])

    add_parts(model.parameters(), loss_of_part, parts)
    nn.functional.mse_loss(whole(inputs), targets).backward()
    return [(one.grad, other.grad) for one, other in zip(model.parameters(), whole.parameters(), strict=True)]


def test_the_parts_gradients_are_those_of_the_whole_batch():
    for pairs in launch(gradients, 4, processes=3, show=None):
        for ours, whole in pairs:
            torch.testing.assert_close(ours, whole)


@pytest.mark.slow
def test_after_a_rank_was_killed_torchrun_starts_all_again_and_they_end_with_the_same_weights(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3", "--max-restarts=1"]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*command, str(SCRIPT), str(tmp_path), "kill"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "failed (exitcode:" in ended.stderr
    result = torch.load(tmp_path / "result")
    assert result["first"] == 4  # the last checkpoint before step 5
    ((_, undisturbed),) = launch(script.train, tmp_path / "undisturbed", "nothing", processes=1)
    assert torch.equal(result["weights"], undisturbed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda folder: save_checkpoint(folder, 1, {}, keep=0), "keep of 1 or more"),
        (lambda folder: save_checkpoint(folder, -1, {}), "step of 0 or more"),
        (lambda folder: train_with(every=0, folder=folder), "every of 1 or more"),
        (lambda folder: add_parts([], torch.tensor, 0), "parts of 1 or more"),
    ],
)
def test_what_cannot_be_is_refused(call, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        call(tmp_path)


def train_with(**settings):
    model = script.make_model()
    train_elastically(model, torch.optim.SGD(model.parameters()), print, steps=1, **settings)
