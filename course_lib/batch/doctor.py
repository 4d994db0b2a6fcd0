"""Is this machine fit to run the course, and if not, what is to be done?"""

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import tomllib
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from course_lib.batch.calibrate import cache_folder, start_kernel
from course_lib.batch.errors import UsageError
from course_lib.batch.hardware import default_jobs, describe_hardware, find_gpus, usable_cores
from course_lib.batch.series import find_notebooks
from course_lib.batch.wording import GIBIBYTE, MEBIBYTE, count, size

DISTRIBUTION = "course-lib"
PROJECT_FILE = Path(__file__).parents[2] / "pyproject.toml"
DISK_NEEDED, DISK_WANTED = 200 * MEBIBYTE, 2 * GIBIBYTE
RAM_NEEDED, RAM_WANTED = GIBIBYTE, 2 * GIBIBYTE  # a notebook may take 1.5 GB at the cpu profile


@dataclass(frozen=True)
class Check:
    """One finding. failed: the course cannot run like this; warning: it can, with a limit. Both name their remedy."""

    name: str
    state: Literal["ok", "warning", "failed"]
    found: str
    remedy: str = ""


def examine(notebooks: Path, runs: Path, environment: dict[str, str] | None = None) -> Iterator[Check]:
    """All checks but the calibration, one after another; a check that itself breaks is a failed check."""
    variables = dict(os.environ) if environment is None else environment
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("Python", check_python),
        ("packages", check_packages),
        ("kernel", check_kernel),
        ("JupyterLab's kernel", check_kernelspec),
        ("notebooks", lambda: check_notebooks(notebooks)),
        ("runs folder", lambda: check_folder("runs folder", runs, "choose another place with --out")),
        (
            "cache folder",
            lambda: check_folder("cache folder", cache_folder(), "set XDG_CACHE_HOME to a folder you can write to"),
        ),
        ("memory", check_memory),
        ("cores", check_cores),
        ("GPU", check_gpu),
        ("offline data", check_offline_data),
        ("COURSE_DATA_DIR", lambda: check_data_folder(variables.get("COURSE_DATA_DIR"))),
        ("browser", check_browser),
    ]
    for name, check in checks:
        try:
            yield check()
        except Exception as error:
            yield Check(name, "failed", f"the check itself failed: {type(error).__name__}: {error}", "report this line")


def check_python() -> Check:
    """The running Python against `requires-python`."""
    from packaging.specifiers import SpecifierSet

    wanted = _requirements()[0]
    version = platform.python_version()
    found = f"{version}, {sys.executable}"
    if not wanted or SpecifierSet(wanted).contains(version, prereleases=True):
        return Check("Python", "ok", found)
    return Check("Python", "failed", found, f"make the environment anew with a Python that is {wanted}")


def check_packages(requirements: list[str] | None = None) -> Check:
    """What is installed against the ranges of pyproject.toml (or of the installed package)."""
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in (_requirements()[1] if requirements is None else requirements)]
    wrong, problems = [], []
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(requirement)
            problems.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(requirement)
            problems.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if wrong:
        remedy = "pip install " + " ".join(f"'{requirement}'" for requirement in wrong)
        return Check("packages", "failed", "; ".join(problems), remedy)
    return Check("packages", "ok", f"all {len(wanted)} within their ranges")


def check_kernel() -> Check:
    """A kernel of this Python starts and answers."""
    try:
        python = start_kernel()
    except RuntimeError as error:
        return Check("kernel", "failed", str(error), "pip install --force-reinstall ipykernel jupyter-client")
    return Check("kernel", "ok", f"starts and computes with {python}")


def check_kernelspec() -> Check:
    """The kernel named python3, which JupyterLab and nbval start, is this Python and not another environment's."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    remedy = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Check("JupyterLab's kernel", "warning", "there is no kernel named python3", remedy)
    names_of_this = {f"python{number}" for number in ("", sys.version_info[0], "{}.{}".format(*sys.version_info))}
    program = spec.argv[0]
    if program in names_of_this or Path(program).parent.resolve() == Path(sys.executable).parent.resolve():
        return Check("JupyterLab's kernel", "ok", "python3 is this Python")
    return Check("JupyterLab's kernel", "warning", f"python3 is {program}, not this Python", remedy)


def check_notebooks(folder: Path) -> Check:
    """The series is there and readable."""
    try:
        infos = find_notebooks(folder)
    except UsageError as error:
        return Check(
            "notebooks", "failed", str(error), "run course in the project's folder, or give --notebooks FOLDER"
        )
    return Check("notebooks", "ok", f"{count(len(infos), 'notebook')} in {folder}")


def check_folder(name: str, folder: Path, remedy: str) -> Check:
    """`folder`, or the nearest one above it that exists, can be written to and has room."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Check(name, "failed", f"{place} cannot be written to: {error.strerror}", remedy)
    found = f"{folder.absolute()}, {size(free)} free"
    if free < DISK_NEEDED:
        return Check(name, "failed", found, f"free at least {size(DISK_NEEDED)}, or {remedy}")
    if free < DISK_WANTED:
        return Check(name, "warning", found, f"large runs may need {size(DISK_WANTED)}: free some, or {remedy}")
    return Check(name, "ok", found)


def check_memory(available: int | None = None) -> Check:
    """RAM for at least one notebook."""
    total = describe_hardware()["ram_bytes"]
    free = min(psutil.virtual_memory().available, total) if available is None else available
    found = f"{size(total)}, {size(free)} available"
    if free < RAM_NEEDED:
        return Check("memory", "failed", found, f"close other programs: a notebook needs {size(RAM_NEEDED)} or more")
    if free < RAM_WANTED:
        return Check("memory", "warning", found, "close other programs, run one notebook at a time (--jobs 1)")
    return Check("memory", "ok", found)


def check_cores() -> Check:
    """Cores this process may use, how busy they are, and how many notebooks would run at once."""
    cores = usable_cores()
    found = f"{cores}, good for --jobs {default_jobs(0)}"
    busy = psutil.getloadavg()[0]
    if busy > 0.75 * cores:
        found += f"; {busy:.1f} programs compute already"
        return Check("cores", "warning", found, "close them before you trust a time or a prediction")
    return Check("cores", "ok", found)


def check_gpu() -> Check:
    """Whether torch sees the GPU that is there; none is fine."""
    import torch

    present = find_gpus()
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Check("GPU", "ok", ", ".join(names))
    if present:
        remedy = "install the torch build for this driver, see pytorch.org/get-started"
        return Check("GPU", "warning", f"{present[0].name} is there, torch {torch.__version__} cannot use it", remedy)
    return Check("GPU", "ok", "none; the smoke and cpu profiles need none")


def check_offline_data() -> Check:
    """The locale data that the translation corpus is generated from are installed, so that no network is needed."""
    try:
        from babel import Locale, __version__

        words = Locale.parse("de").territories["FR"]
    except Exception as error:
        return Check("offline data", "failed", f"no locale data: {error}", "pip install --force-reinstall babel")
    return Check("offline data", "ok", f"generated from Babel {__version__} ({words}, …); no network needed")


def check_data_folder(folder: str | None) -> Check:
    """The optional mirror of larger data sets."""
    name = "COURSE_DATA_DIR"
    if not folder:
        return Check(name, "ok", "not set; only the gpu profile's data sets would use it")
    path = Path(folder)
    if not path.is_dir():
        return Check(name, "failed", f"{folder} is not a folder", "unset COURSE_DATA_DIR or correct it")
    try:
        sets = sorted(item.name for item in path.iterdir() if item.is_dir())
    except OSError as error:
        return Check(name, "failed", f"{folder} cannot be read: {error.strerror}", "correct its permissions")
    if not sets:
        return Check(name, "warning", f"{folder} is empty", "put the data sets there, one folder each, or unset it")
    return Check(name, "ok", f"{folder}: {', '.join(sets[:6])}{', …' if len(sets) > 6 else ''}")


def check_browser() -> Check:
    """Whether a page can be shown here; on a machine without a screen, files can still be copied."""
    try:
        webbrowser.get()
    except webbrowser.Error:
        remedy = "nothing to do: copy runs/latest to your own machine, or use `jupyter lab --no-browser` with a tunnel"
        return Check("browser", "ok", f"none here; {remedy}")
    return Check("browser", "ok", "there is one")


def _requirements() -> tuple[str, list[str]]:
    """The wanted Python and packages, from the project's own file when this is a checkout of it."""
    if PROJECT_FILE.exists():
        project = tomllib.loads(PROJECT_FILE.read_text(encoding="utf-8"))["project"]
        if project["name"] == DISTRIBUTION:
            return project["requires-python"], project["dependencies"]
    about = importlib.metadata.metadata(DISTRIBUTION)
    return about["Requires-Python"] or "", importlib.metadata.requires(DISTRIBUTION) or []
