"""Three hosts with addresses of their own on one machine: network namespaces, joined by a bridge in a fourth one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from course_lib.parallel.launching import launch
from tests.parallel import elastic_script as script

HOSTS = 3
ADDRESS = "10.77.0.{}".format
SCRIPT = Path(script.__file__)
pytestmark = pytest.mark.slow


def ip(*words):
    ended = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20)
    if ended.returncode:
        raise PermissionError(f"ip {' '.join(words)}: {ended.stderr.strip()}")
    return ended.stdout


class Hosts:
    """Namespaces host-1 to host-N, where eth0 has the address; a cable leads to the bridge, and can be pulled."""

    def __init__(self, number):
        self.name = f"course-{os.getpid()}".__add__
        self.processes = []
        self.switch = self.name("-switch")
        self.hosts = {host: self.name(f"-{host}") for host in range(1, number + 1)}
        try:
            ip("netns", "add", self.switch)
            ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
            ip("-n", self.switch, "link", "set", "bridge", "up")
            for host, namespace in self.hosts.items():
                ip("netns", "add", namespace)
                cable = ["link", "add", "eth0", "netns", namespace, "type", "veth", "peer", "name", f"port{host}"]
                ip(*cable, "netns", self.switch)
                ip("-n", self.switch, "link", "set", f"port{host}", "master", "bridge", "up")
                ip("-n", namespace, "address", "add", f"{ADDRESS(host)}/24", "dev", "eth0")
                for device in ("eth0", "lo"):
                    ip("-n", namespace, "link", "set", device, "up")
        except PermissionError:
            self.remove()
            raise

    def start(self, host, command, environment, log):
        inside = ["ip", "netns", "exec", self.hosts[host], *command]
        with log.open("w") as file:
            process = subprocess.Popen(inside, env=environment, stdout=file, stderr=file, start_new_session=True)
        self.processes.append(process)
        return process

    def cut_off(self, host):
        ip("-n", self.switch, "link", "set", f"port{host}", "down")

    def left_on(self, host):
        """What still runs there."""
        return [int(number) for number in ip("netns", "pids", self.hosts[host]).split()]

    def remove(self):
        there = ip("netns", "list").split() if shutil.which("ip") else []
        for namespace in (*self.hosts.values(), self.switch):
            if namespace in there:
                for number in ip("netns", "pids", namespace).split():
                    os.kill(int(number), signal.SIGKILL)
                ip("netns", "delete", namespace)
        for process in self.processes:
            process.wait(10)


@pytest.fixture
def hosts():
    if sys.platform != "linux" or not shutil.which("ip"):
        pytest.skip("hosts of their own need Linux and its command ip (package iproute2)")
    try:
        hosts = Hosts(HOSTS)
    except PermissionError as error:
        pytest.skip(f"hosts of their own need the rights to make network namespaces: {error}")
    yield hosts
    hosts.remove()


def start_torchrun(hosts, folder, interruption, at_least=HOSTS):
    """torchrun on each host, with one rank each; the first one keeps the rendezvous."""
    environment = os.environ | {
        "GLOO_SOCKET_IFNAME": "eth0",
        "OMP_NUM_THREADS": "1",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    started = {}
    for host in hosts.hosts:
        settings = f"is_host={host == 1},last_call_timeout=3,keep_alive_interval=1,keep_alive_max_attempt=3"
        command = [
            *(sys.executable, "-m", "torch.distributed.run", f"--nnodes={at_least}:{HOSTS}", "--nproc-per-node=1"),
            *("--max-restarts=3", "--monitor-interval=0.2", "--rdzv-backend=c10d", f"--rdzv-conf={settings}"),
            *(f"--rdzv-endpoint={ADDRESS(1)}:29400", "--rdzv-id=course", f"--local-addr={ADDRESS(host)}"),
            *(str(SCRIPT), str(folder), interruption),
        ]
        started[host] = hosts.start(host, command, environment, folder / f"log-{host}")
    return started


def logs(folder):
    return "\n".join(f"{path.name}\n{path.read_text()}" for path in sorted(folder.glob("log-*")))


def test_cut_off_from_one_host_the_others_hear_so_and_end_with_the_weights_of_an_undisturbed_run(hosts, tmp_path):
    torchruns = start_torchrun(hosts, tmp_path, "cut", at_least=2)
    wait_until(lambda: len(list(tmp_path.glob("interrupted-*"))) == HOSTS, 60, tmp_path)
    told = json.loads((tmp_path / "collectives-of-3").read_text())
    assert {each["address"] for each in told} == {ADDRESS(host) for host in hosts.hosts}
    assert [each["machine"] for each in told] == [0, 1, 2]
    assert all(each["ring"] == 0 and each["ddp"] < 1e-6 for each in told), told

    hosts.cut_off(3)
    cut = time.time()
    (tmp_path / "cut").touch()
    wait_until(lambda: all(torchruns[host].poll() is not None for host in (1, 2)), 90, tmp_path)
    assert [torchruns[host].returncode for host in (1, 2)] == [0, 0], logs(tmp_path)

    errors = [json.loads(line) for line in (tmp_path / "errors").read_text().splitlines()]
    first = min((error for error in errors if error[1] > cut), key=lambda error: error[1])
    assert first[2] == "RuntimeError"
    assert "Timed out waiting" in first[3] or "Connection" in first[3]
    assert first[1] - cut < script.COLLECTIVE_TIMEOUT + 3, "seconds until the cut was noticed"

    result = torch.load(tmp_path / "result")
    assert len(json.loads((tmp_path / "collectives-of-2").read_text())) == 2  # the third one is away
    assert result["first"] == 4  # the last checkpoint before step 5, where the cable was pulled
    undisturbed = launch(script.train, tmp_path / "undisturbed", "nothing", processes=HOSTS)
    assert torch.equal(result["weights"], undisturbed[0][1])
    assert not hosts.left_on(1)
    assert not hosts.left_on(2)
    print(f"noticed after {first[1] - cut:.1f} s: {first[3]}")
    print(f"ended {time.time() - cut:.1f} s after the cut")


def wait_until(happened, seconds, folder):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, logs(folder)
        time.sleep(0.05)
