import pytest

from course_lib.batch import vram
from course_lib.batch.vram import VramSampler

GIB = 2**30


@pytest.fixture
def sampler(monkeypatch):
    state = {"now": ({"0": 2 * GIB}, {})}
    monkeypatch.setattr(vram, "vram_in_use", lambda: state["now"])
    made = VramSampler()

    def see(per_gpu, per_process):
        state["now"] = (per_gpu, per_process)
        made._look()

    made.see = see
    return made


def test_a_jobs_own_processes_count_where_they_are_known(sampler):
    sampler.watch("a", "0", alone=True)
    sampler.processes("a", {42})
    sampler.see({"0": 9 * GIB}, {42: 3 * GIB, 99: 4 * GIB})
    sampler.see({"0": 9 * GIB}, {42: 1 * GIB})
    assert sampler.peak("a") == 3 * GIB


def test_where_they_are_not_known_the_rise_of_a_gpu_of_its_own_counts(sampler):
    sampler.watch("a", "0", alone=True)
    sampler.see({"0": 7 * GIB}, {1234: 5 * GIB})
    assert sampler.peak("a") == 5 * GIB


def test_on_a_shared_gpu_nothing_is_guessed(sampler):
    sampler.watch("a", "0", alone=False)
    sampler.see({"0": 7 * GIB}, {})
    assert sampler.peak("a") == 0


def test_without_a_measurement_there_is_no_number(sampler):
    sampler.watch("a", "0", alone=True)
    assert sampler.peak("a") is None
