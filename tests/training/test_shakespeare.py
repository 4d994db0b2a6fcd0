"""A GPT of nanoGPT's size learns Shakespeare's letters: the benchmark's own recipe, for a few steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.data import mirror

ROOT = Path(__file__).parents[2]
ALONE = 3.31  # nats a letter, from the frequencies of single letters


@pytest.mark.mirror
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get(mirror.VARIABLE), reason=f"{mirror.VARIABLE} does not name a data mirror")
def test_forty_steps_beat_the_frequencies_of_letters():
    command = [sys.executable, "-m", "benchmarks.shakespeare", "--recipe", "ours", "--steps", "40", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ours_validation_loss"] < ALONE - 0.3  # letters before were of use
    assert found["ours_validation_loss"] > 1.2  # less would mean that the answer was seen
    assert len(found["written"]) > 20
