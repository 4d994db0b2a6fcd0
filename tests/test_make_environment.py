"""The set-up script ends in one clear line whatever is missing; no package is installed here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "make_environment.sh"
TOOLS = (
    "sh",
    "awk",
    "cat",
    "df",
    "dirname",
    "grep",
    "head",
    "mkdir",
    "mktemp",
    "printf",
    "rm",
    "sleep",
    "tail",
    "touch",
)

PYTHON = """#!/bin/sh
# Stands for a Python of version {version}: judges version checks truly, and makes environments.
case "$1" in
    --version) echo "Python {version}" ;;
    -c) case "$2" in *version_info*) exit {too_old} ;; *) exit 0 ;; esac ;;
    -m) case "$2" in
            venv) {venv} ;;
            pip) {pip} ;;
        esac ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    """A project with the script, and a PATH that holds only plain tools and what a test puts there."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "requirements.lock").write_text("one==1.0\ntwo==2.0\n")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def put_python(project, version="3.12.1", venv="", pip="exit 0"):
    path = project / "bin" / "python3"
    copy = 'mkdir -p .venv/bin; cat "$0" > .venv/bin/python; chmod +x .venv/bin/python'
    text = PYTHON.format(
        version=version,
        too_old=0 if (3, 11) <= tuple(map(int, version.split(".")[:2])) < (3, 14) else 1,
        venv=venv or copy,
        pip=pip,
    )
    path.write_text(text)
    path.chmod(0o755)
    (project / "bin" / "chmod").symlink_to(shutil.which("chmod"))


def set_up(project, **environment):
    return subprocess.run(
        ["sh", "scripts/make_environment.sh"],
        cwd=project,
        env={"PATH": str(project / "bin"), "TMPDIR": str(project), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def complaint(result):
    """The one line on stderr that begins with "setup:"; nothing else may stand there."""
    assert result.returncode == 1
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("setup: ")
    return lines[0]


def test_a_whole_environment_is_marked_as_ready(project):
    put_python(project)
    result = set_up(project)
    assert result.returncode == 0, result.stderr
    assert (project / ".venv" / "ready").exists()


def test_no_python_at_all_is_said(project):
    assert "needs Python 3.11" in complaint(set_up(project))


@pytest.mark.parametrize("version", ["3.9.2", "3.10.14", "3.14.0"])
def test_an_unfit_python_is_named_with_what_to_install(project, version):
    put_python(project, version=version)
    line = complaint(set_up(project))
    assert f"found Python {version}" in line
    assert "install" in line


def test_a_chosen_python_that_does_not_suit_is_refused(project):
    assert "PYTHON=/nowhere/python3" in complaint(set_up(project, PYTHON="/nowhere/python3"))


def test_a_missing_venv_module_names_the_package(project):
    put_python(project, venv="echo 'ensurepip is not available' >&2; exit 1")
    assert "python3-venv" in complaint(set_up(project))


@pytest.mark.parametrize(
    ("pip_says", "advice"),
    [
        ("Temporary failure in name resolution", "package index cannot be reached"),
        ("ERROR: No matching distribution found for one==1.0", "package index cannot be reached"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: something nobody expected", "something nobody expected"),
    ],
)
def test_a_failing_install_says_why_and_leaves_no_mark(project, pip_says, advice):
    put_python(project, pip=f"echo '{pip_says}' >&2; exit 1")
    assert advice in complaint(set_up(project))
    assert not (project / ".venv" / "ready").exists()


def test_a_nearly_full_disk_is_noticed_before_anything_is_installed(project):
    put_python(project)
    (project / "bin" / "df").unlink()
    (project / "bin" / "df").write_text("#!/bin/sh\necho head\necho /dev/disk 100 99 51200 99% /\n")
    os.chmod(project / "bin" / "df", 0o755)
    assert "50 MiB free" in complaint(set_up(project))
    assert not (project / ".venv").exists()


def test_an_interrupted_environment_is_made_again(project):
    put_python(project)
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    os.chmod(project / ".venv" / "bin" / "python", 0o755)
    assert set_up(project).returncode == 0
    assert (project / ".venv" / "ready").exists()
