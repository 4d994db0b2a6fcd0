import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from course_lib.batch import doctor
from course_lib.batch.doctor import (
    Check,
    check_data_folder,
    check_folder,
    check_kernel,
    check_kernelspec,
    check_memory,
    check_notebooks,
    check_packages,
    check_python,
    examine,
)
from course_lib.batch.wording import GIBIBYTE, MEBIBYTE

Usage = namedtuple("Usage", "total used free")


def test_this_environment_has_what_the_project_asks_for():
    assert check_python().state == "ok"
    assert check_packages().state == "ok"


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    check = check_packages(["torch>=2", "no-such-package-here>=1.5,<2"])
    assert check.state == "failed"
    assert "no-such-package-here is missing" in check.found
    assert "torch" not in check.found
    assert check.remedy in {"pip install 'no-such-package-here<2,>=1.5'", "pip install 'no-such-package-here>=1.5,<2'"}


def test_a_package_outside_its_range_is_named_with_its_version():
    check = check_packages(["torch<1"])
    assert check.state == "failed"
    assert "is not <1" in check.found
    assert check.remedy == "pip install 'torch<1'"


def test_requirements_of_extras_are_not_asked_for():
    assert check_packages(["no-such-package-here; extra == 'dev'"]).state == "ok"


def test_another_python_than_asked_for_fails(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.2")
    check = check_python()
    assert check.state == "failed"
    assert ">=3.11" in check.remedy


def test_a_kernel_that_does_not_start_fails_with_its_reason(monkeypatch):
    def broken():
        raise RuntimeError("no module named ipykernel")

    monkeypatch.setattr(doctor, "start_kernel", broken)
    check = check_kernel()
    assert (check.state, check.found) == ("failed", "no module named ipykernel")
    assert "ipykernel" in check.remedy


@pytest.mark.parametrize("python", ["/elsewhere/bin/python", "/elsewhere/bin/python3"])
def test_a_kernel_of_another_environment_is_noticed(monkeypatch, tmp_path, python):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": [python, "-m", "x"], "display_name": "P", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    check = check_kernelspec()
    assert check.state == "warning"
    assert python in check.found
    assert "ipykernel install" in check.remedy


def test_a_folder_without_notebooks_fails(tmp_path):
    assert check_notebooks(tmp_path).state == "failed"
    assert check_notebooks(tmp_path / "none").state == "failed"


def test_a_folder_that_is_still_to_be_made_is_judged_by_the_one_above(tmp_path):
    check = check_folder("runs folder", tmp_path / "a" / "b", "go elsewhere")
    assert check.state in {"ok", "warning"}
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_written_to_fails(monkeypatch, tmp_path):
    def refused(*arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refused)
    check = check_folder("runs folder", tmp_path, "choose another place")
    assert (check.state, check.remedy) == ("failed", "choose another place")
    assert "Permission denied" in check.found


@pytest.mark.parametrize(("free", "state"), [(10 * MEBIBYTE, "failed"), (GIBIBYTE, "warning"), (9 * GIBIBYTE, "ok")])
def test_a_full_disk_is_noticed_before_a_run_fails_on_it(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10 * GIBIBYTE, 0, free))
    assert check_folder("runs folder", tmp_path, "go elsewhere").state == state


@pytest.mark.parametrize(("free", "state"), [(0.5, "failed"), (1.5, "warning"), (8, "ok")])
def test_too_little_memory_is_noticed(free, state):
    assert check_memory(available=int(free * GIBIBYTE)).state == state


def test_a_data_folder_is_optional_but_must_exist_when_named(tmp_path):
    assert check_data_folder(None).state == "ok"
    assert check_data_folder(str(tmp_path / "gone")).state == "failed"
    assert check_data_folder(str(tmp_path)).state == "warning"
    (tmp_path / "multi30k").mkdir()
    check = check_data_folder(str(tmp_path))
    assert check.state == "ok"
    assert "multi30k" in check.found


def test_a_check_that_breaks_is_a_failed_check_and_the_others_go_on(monkeypatch, tmp_path):
    def broken():
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor, "check_cores", broken)
    monkeypatch.setattr(doctor, "check_kernel", lambda: Check("kernel", "ok", ""))
    checks = {check.name: check for check in examine(tmp_path, tmp_path, {})}
    assert checks["cores"].state == "failed"
    assert "ZeroDivisionError" in checks["cores"].found
    assert len(checks) == 13


def test_the_cores_are_good_for_as_many_notebooks_as_a_run_would_start(monkeypatch):
    monkeypatch.setattr(doctor, "usable_cores", lambda: 6)
    monkeypatch.setattr(doctor, "default_jobs", lambda slots: 5 if slots == 0 else 0)
    monkeypatch.setattr(doctor.psutil, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert doctor.check_cores() == Check("cores", "ok", "6, good for --jobs 5")


def test_whatever_is_not_well_has_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.2")
    monkeypatch.setattr(doctor, "start_kernel", lambda: str(Path("python")))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1, 1, 0))
    checks = list(examine(tmp_path, tmp_path, {"COURSE_DATA_DIR": "/gone"}))
    assert sum(check.state == "failed" for check in checks) >= 5
    assert all(check.remedy for check in checks if check.state != "ok")
