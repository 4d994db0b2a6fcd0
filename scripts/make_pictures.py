"""Makes what the README shows: a heat map, a check that failed, the newest report as a picture, and the table of times.

    .venv/bin/python -m scripts.make_pictures

Pages are photographed with Chromium; where there is none, their old pictures stay.
"""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

from benchmarks.chromium import find_browser
from course_lib.batch import app
from course_lib.batch.files import resolve_latest
from course_lib.batch.record import load_run
from course_lib.exercises.catalogue import find_exercise
from course_lib.exercises.checking import run_checks
from course_lib.exercises.display import HelpUsed, panel_html

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "pictures"
BEGIN, END = "<!-- times: begin -->", "<!-- times: end -->"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    heat_map()
    check_panel()
    run_directory = resolve_latest(ROOT / "runs" / "latest")
    report(run_directory / "report.html")
    playground()
    table_of_times(run_directory)


def heat_map() -> None:
    """The first figure of notebook 02 that is a heat map, as it was stored by its last refresh."""
    notebook = nbformat.read(ROOT / "notebooks" / "02_bahdanau_attention.ipynb", as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data and "Heat map" in data["text/plain"]:
                (PICTURES / "attention.png").write_bytes(base64.b64decode(data["image/png"]))
                return
    sys.exit("notebook 02 has no heat map; refresh it with: course refresh 02")


def report(page: Path) -> None:
    """The report as a reader first sees it."""
    photograph(page, PICTURES / "report.png", "1100,1500")


def check_panel() -> None:
    """What an exercise's check says to a learner who forgot to use the mask."""
    exercise = find_exercise("02.1", ROOT / "exercises")
    answers = {"masked_softmax": lambda energies, is_word: energies.softmax(dim=-1)}
    panel = panel_html(run_checks(exercise, answers), HelpUsed(hints=1))
    page = '<meta charset="utf-8"><body style="font:15px/1.5 sans-serif;margin:16px;max-width:800px">' + panel
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "panel.html"
        file.write_text(page, encoding="utf-8")
        photograph(file, PICTURES / "check.png", "840,490")


def photograph(page: Path, picture: Path, size: str) -> None:
    """The page as Chromium shows it in a window of `size`, "width,height"."""
    browser = find_browser()
    if browser is None:
        print(f"no Chromium here: {picture.name} stays as it is")
        return
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        options += [f"--user-data-dir={profile}", f"--window-size={size}", f"--screenshot={picture}"]
        subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True, timeout=120)


def playground(picture: Path = PICTURES / "playground.png", *, dark: bool = False) -> None:
    """The playground as a player first sees it: all heads of a model, and the next token's distribution."""
    browser = find_browser()
    if browser is None:
        print(f"no Chromium here: {picture.name} stays as it is")
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        port, log = app.free_port(), Path(folder) / "server.log"
        copy = app.app_notebook(ROOT / "notebooks" / "15_playground.ipynb", Path(folder), {})
        with app.serving(app.voila_command(copy, port), port, log, app.app_environment()):
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
            page = chromium.new_page(viewport={"width": 1_000, "height": 1_550})
            theme = "dark" if dark else "light"
            page.goto(f"http://{app.HOST}:{port}/?theme={theme}", wait_until="commit", timeout=300_000)
            page.locator("#rendered_cells").wait_for(state="visible", timeout=300_000)
            page.wait_for_timeout(3_000)  # the widgets paint
            page.screenshot(path=picture)
            chromium.close()


def table_of_times(run_directory: Path) -> None:
    """Minutes and memory of the newest run, between the two marks of the README."""
    run = load_run(run_directory)
    hardware = run.hardware
    lines = [f"| notebook | question | {hardware['cores']} CPU cores | peak RAM |", "| --- | --- | --- | --- |"]
    for notebook in run.notebooks:
        title = json.dumps(notebook.title, ensure_ascii=False).strip('"').split("·")[-1].strip()
        ram = (notebook.peak_ram_bytes or 0) / 2**30
        minutes = f"{(notebook.seconds or 0) / 60:.1f} min"
        lines.append(f"| [{notebook.name}](notebooks/{notebook.name}.ipynb) | {title} | {minutes} | {ram:.1f} GiB |")
    ram, date = hardware["ram_bytes"] / 2**30, (run.started or "")[:10]
    machine = f"{hardware['cpu']}, {hardware['cores']} cores, {ram:.0f} GiB, torch {run.versions['torch']}"
    lines += ["", f"Profile {run.profile} on {machine}, {date}; notebooks at once: {run.jobs}."]
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf8")


if __name__ == "__main__":
    main()
