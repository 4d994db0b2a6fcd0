"""What holds in every test of this folder: no process of a launch outlives its test."""

import psutil
import pytest


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    # Whatever earlier tests of this process still run, such as a kernel, is none of ours.
    before = set(psutil.Process().children(recursive=True))
    yield
    assert not set(psutil.Process().children(recursive=True)) - before
