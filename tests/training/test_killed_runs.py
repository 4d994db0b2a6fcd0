"""Trainings in processes of their own, killed by SIGKILL on the way, or made by two processes together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("script_train.py")


@pytest.fixture
def train_in_a_process(tmp_path):
    def train(*options, processes=1):
        out = tmp_path / "result"
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        ended = subprocess.run(
            [sys.executable, *(launcher if processes > 1 else []), SCRIPT, "--out", out, *map(str, options)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        results = []
        for process in range(processes):
            path = out.with_suffix(f".{process}.json")
            if path.exists():
                results.append(json.loads(path.read_text()))
                path.unlink()
        return ended, results

    return train


def learned(result):
    return {name: result[name] for name in ("measures", "evaluations", "weights", "steps_done")}


# 13 batches an epoch, 2 a step: step 7 runs over the end of the first epoch. Saved every 4 steps.


@pytest.mark.slow
def test_a_run_killed_three_times_ends_as_if_it_had_never_been_killed(train_in_a_process, tmp_path):
    ended, [whole] = train_in_a_process()
    folder = tmp_path / "checkpoints"
    for kill in [("--kill-at-step", 6), ("--kill-at-step", 19), ("--kill-while-saving-step", 28)]:
        killed, results = train_in_a_process("--checkpoints", folder, *kill)
        assert killed.returncode == -signal.SIGKILL
        assert not results
    _, [resumed] = train_in_a_process("--checkpoints", folder)
    assert (whole["resumed_from"], resumed["resumed_from"]) == (None, 24)
    assert learned(resumed) == learned(whole)
    assert whole["generators_untouched"]
    assert resumed["generators_untouched"]
    assert not list(folder.glob(".*"))
    assert ended.stderr == ""  # no progress bar under TQDM_DISABLE, no warnings


@pytest.mark.slow
def test_a_killed_run_with_loading_workers_and_bf16_resumes_exactly_too(train_in_a_process, tmp_path):
    options = ("--workers", 2, "--mixed-precision", "bf16", "--steps", 14)
    _, [whole] = train_in_a_process(*options)
    train_in_a_process(*options, "--checkpoints", tmp_path / "checkpoints", "--kill-at-step", 10)
    _, [resumed] = train_in_a_process(*options, "--checkpoints", tmp_path / "checkpoints")
    assert resumed["resumed_from"] == 8
    assert learned(resumed) == learned(whole)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_batches_twice_as_large(train_in_a_process):
    plain = ("--dropout", 0, "--noise", 0)
    _, [single] = train_in_a_process("--batch-size", 8, *plain)
    _, [first, second] = train_in_a_process("--batch-size", 4, *plain, "--twice", processes=2)
    assert first["weights"] == second["weights"]
    assert first["measures"] == second["measures"]
    for name in ("loss", "gradient_norm"):
        assert first["measures"][name] == pytest.approx(single["measures"][name], abs=1e-6)
    assert first["class"] == "Sequential"  # the caller's model, not a wrapper


@pytest.mark.slow
def test_two_processes_resume_exactly_each_with_its_own_randomness(train_in_a_process, tmp_path):
    _, whole = train_in_a_process("--steps", 14, processes=2)
    folder = tmp_path / "checkpoints"
    ended, _ = train_in_a_process("--steps", 14, "--checkpoints", folder, "--kill-at-step", 10, processes=2)
    assert ended.returncode != 0
    _, resumed = train_in_a_process("--steps", 14, "--checkpoints", folder, processes=2)
    assert [result["resumed_from"] for result in resumed] == [8, 8]
    assert [learned(result) for result in resumed] == [learned(result) for result in whole]


@pytest.mark.slow
def test_processes_stop_together_and_one_can_go_on_alone(train_in_a_process, tmp_path):
    folder = tmp_path / "checkpoints"
    ended, stopped = train_in_a_process("--checkpoints", folder, "--budget-on-process", 1, processes=2)
    assert [(result["steps_done"], result["stopped_because"]) for result in stopped] == [(1, "wall clock")] * 2
    assert ended.stdout.count("stopped after ≈1 of 30 steps") == 1
    ended, [alone] = train_in_a_process("--checkpoints", folder)
    assert (alone["resumed_from"], alone["steps_done"]) == (1, 30)
    assert "saved by 2 processes and goes on with 1" in ended.stderr


@pytest.mark.slow
def test_when_the_main_process_cannot_save_all_say_so(train_in_a_process, tmp_path):
    folder = tmp_path / "checkpoints"
    ended, results = train_in_a_process("--checkpoints", folder, "--full-disk-on-process", 0, processes=2)
    assert ended.returncode != 0
    assert not results
    assert "[rank1]: course_lib.training.checkpoint.CheckpointError" in ended.stderr
    assert "No space left on device" in ended.stderr
