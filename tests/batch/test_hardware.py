import subprocess
import sys

import pytest

from course_lib.batch import hardware
from course_lib.batch.hardware import Gpu, UsageError, describe_hardware, describe_versions, git_commit, gpu_slots

TWO = [Gpu("0", "GPU-aa", "H200", 2**37), Gpu("1", "GPU-bb", "H200", 2**37)]


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(hardware, "find_gpus", lambda: TWO)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_machine_is_described():
    machine = describe_hardware()
    assert machine["cores"] >= 1
    assert machine["ram_bytes"] > 2**28
    assert machine["cpu"]
    assert isinstance(machine["gpus"], list)


def test_versions_come_without_importing_torch():
    script = (
        "import sys; from course_lib.batch.hardware import describe_versions as d; v = d(); "
        "assert 'torch' not in sys.modules; print(v['python'], v['torch'])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.split() == [describe_versions()["python"], describe_versions()["torch"]]


def test_a_commit_is_marked_when_files_differ_from_it(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    assert git_commit(tmp_path) is None
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_only_the_gpu_profile_takes_gpus_unasked(two_gpus):
    assert gpu_slots(None, "cpu") == []
    assert gpu_slots(None, "gpu") == ["0", "1"]


def test_gpus_hidden_from_the_runner_stay_hidden_from_its_jobs(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpu_slots(None, "gpu") == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_slots(None, "gpu") == []


def test_gpus_asked_for_must_be_there(two_gpus):
    assert gpu_slots(["1", "GPU-aa"], "cpu") == ["1", "GPU-aa"]
    with pytest.raises(UsageError, match="no GPU '2' on this machine; there are: 0, 1"):
        gpu_slots(["2"], "gpu")


def test_gpu_memory_is_read_from_nvidia_smi(monkeypatch):
    answers = {
        "--query-gpu=index,uuid,memory.used": "0, GPU-aa, 512\n1, GPU-bb, [N/A]",
        "--query-compute-apps=pid,used_memory": "42, 100\n42, 28\n43, [N/A]",
    }
    monkeypatch.setattr(hardware, "_nvidia_smi", answers.get)
    assert hardware.vram_in_use() == ({"0": 512 * 2**20, "GPU-aa": 512 * 2**20}, {42: 128 * 2**20})


@pytest.mark.parametrize(
    ("slots", "cores", "gib", "jobs"), [(4, 2, 64, 4), (0, 2, 24, 2), (0, 16, 8, 4), (0, 2, 1, 1), (0, 1, 64, 1)]
)
def test_as_many_notebooks_at_once_as_gpus_or_else_cores_and_memory_allow(monkeypatch, slots, cores, gib, jobs):
    monkeypatch.setattr(hardware, "usable_cores", lambda: cores)
    monkeypatch.setattr(hardware, "_container_memory", lambda: gib * 2**30)
    monkeypatch.setattr(hardware.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 2**40}))
    assert hardware.default_jobs(slots) == jobs
