import json
import re
from html.parser import HTMLParser

import pytest

from course_lib.batch.record import Claim, RunFileError, save_run
from course_lib.batch.report import build_report, render_report

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"' onmouseover=alert(2)"


class Page(HTMLParser):
    """What a browser would make of the page: its tags with their attributes, and the text of each table cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_verdict_is_one_sentence_over_all_notebooks(run_record, notebook_record):
    claims = [Claim("a", 1.0, "≥ 0.5", None, True)] * 7
    runs = [
        notebook_record(
            name,
            claims=claims,
            started=f"2026-11-21T07:3{minute}:00+00:00",
            finished=f"2026-11-21T07:3{minute + 2}:05+00:00",
        )
        for name, minute in (("01_a", 0), ("02_b", 4))
    ]
    assert "2 notebooks ran, 14 of 14 claims hold, 4 min 10 s." in render_report(run_record(*runs))


def test_a_failed_claim_turns_the_verdict_and_names_what_failed(run_record, notebook_record):
    failing = notebook_record(
        status="failed",
        error="ClaimsFailed: 1 of 2 claims",
        claims=[Claim("good one", 1.0, "≥ 0.5", None, True), Claim("bad one", 0.1, "≥ 0.5", None, False)],
    )
    text = render_report(run_record(failing))
    assert "0 of 1 notebook ran, 1 failed, 1 of 2 claims hold" in text
    assert 'class="verdict bad"' in text
    assert "✗</span> fails" in text
    assert "ClaimsFailed: 1 of 2 claims" in text


def test_a_run_that_was_not_finished_says_how_to_go_on(run_record, notebook_record):
    waiting = notebook_record("03_c", status="skipped", seconds=None, error="not finished: waiting")
    text = render_report(run_record(notebook_record(), waiting, state="interrupted"))
    assert "interrupted" in text
    assert "course run --resume" in text
    assert "not run" in text


def test_hostile_text_anywhere_becomes_text_and_never_markup(run_record, notebook_record):
    notebook = notebook_record(
        HOSTILE,
        title=HOSTILE,
        status="failed",
        error=HOSTILE,
        records={HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}},
        claims=[Claim(HOSTILE, 0.1, HOSTILE, HOSTILE, False)],
        parameters={"seed": 0, HOSTILE: HOSTILE},
        log="log.txt",
    )
    run = run_record(
        notebook, commit=HOSTILE, versions={HOSTILE: HOSTILE}, hardware={"cpu": HOSTILE}, command=[HOSTILE]
    )
    (run.directory / "log.txt").write_text(HOSTILE)
    page = Page(render_report(run))
    assert not page.all("script")
    assert not page.all("img")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert('x')</script>") > 8


def test_a_link_that_leads_out_of_the_run_is_not_made(run_record, notebook_record, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    places = {"output": "../secret.txt", "html": "javascript:alert(1)", "log": str(tmp_path / "secret.txt")}
    text = render_report(run_record(notebook_record(status="failed", error="x", **places)))
    assert not [tag for tag in Page(text).all("a") if not tag["href"].startswith("#")]
    assert "secret" not in text


def test_links_lead_to_the_files_of_the_run(run_record, notebook_record):
    run = run_record(notebook_record(output="notebooks/a b#1.ipynb", html="notebooks/a.html", log="logs/gone.log"))
    (run.directory / "notebooks").mkdir()
    for name in ("a b#1.ipynb", "a.html"):
        (run.directory / "notebooks" / name).write_text("{}")
    addresses = [tag["href"] for tag in Page(render_report(run)).all("a") if not tag["href"].startswith("#")]
    assert addresses == ["./notebooks/a.html", "./notebooks/a%20b%231.ipynb"]


def test_a_failing_notebook_shows_the_end_of_its_traceback_without_terminal_codes(run_record, notebook_record):
    run = run_record(notebook_record(status="failed", error="ValueError: too bad", output="out.ipynb"))
    traceback = [f"\x1b[31mline {number}\x1b[0m" for number in range(40)] + ["ValueError: too bad"]
    error = {"output_type": "error", "ename": "ValueError", "evalue": "too bad", "traceback": traceback}
    notebook = {"cells": [{"cell_type": "code", "outputs": [error]}]}
    (run.directory / "out.ipynb").write_text(json.dumps(notebook))
    shown = re.search(r"<pre[^>]*>(.*?)</pre>", render_report(run), re.DOTALL)
    assert shown is not None
    assert "line 39\nValueError: too bad" in shown[1]
    assert "line 10\n" not in shown[1]
    assert "\x1b" not in shown[1]


def test_a_killed_notebook_without_a_traceback_shows_the_end_of_its_log(run_record, notebook_record):
    run = run_record(notebook_record(status="killed", error="the kernel died", log="a.log", output="broken.ipynb"))
    (run.directory / "a.log").write_text("first\n" * 50 + "out of memory\n")
    (run.directory / "broken.ipynb").write_text('{"cells": [')
    assert "out of memory</pre>" in render_report(run)


def test_metrics_of_several_seeds_are_given_with_their_spread(run_record, notebook_record):
    values = (0.95, 0.97, 0.99)
    runs = [notebook_record(seed=seed, records={"match": value}) for seed, value in enumerate(values)]
    text = render_report(run_record(*runs))
    assert "0.970 ± 0.020" in text
    assert "mean ± standard deviation over the seeds" in text


def test_a_sweep_has_a_column_for_each_setting(run_record, notebook_record):
    runs = [
        notebook_record(
            seed=seed,
            key=f"{width}-{seed}",
            parameters={"seed": seed, "width": width},
            records={"match": width + seed / 10},
        )
        for width in (32, 64)
        for seed in (0, 1)
    ]
    text = render_report(run_record(*runs))
    for heading in ("width = 32", "width = 64"):
        assert f'<th scope="col" class="number">{heading}</th>' in text
    assert "32.050 ± 0.071" in text
    assert "64.050 ± 0.071" in text


def test_a_claim_over_seeds_says_in_how_many_it_holds(run_record, notebook_record):
    runs = [
        notebook_record(seed=seed, claims=[Claim("good", value, "≥ 0.5", None, value >= 0.5)])
        for seed, value in enumerate((0.4, 0.6, 0.8))
    ]
    text = render_report(run_record(*runs))
    assert "holds in 2 of 3" in text
    assert "(0.4 to 0.8)" in text


def test_the_page_needs_nothing_from_elsewhere(run_record, notebook_record):
    text = render_report(run_record(notebook_record()))
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert not Page(text).all("link")
    assert not Page(text).all("script")


def test_the_page_can_be_read_by_a_screen_reader(run_record, notebook_record):
    run = run_record(notebook_record(claims=[Claim("a", 1.0, "≥ 0", None, True)], records={"bleu": 26.75}))
    text = render_report(run)
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(tag.get("scope") in {"row", "col"} for tag in page.all("th"))
    labels = [tag["aria-label"] for tag in page.all("svg") if tag["role"] == "img"]
    assert labels == ["Time: 02_attention__seed=0 1 min", "Peak RAM: 02_attention__seed=0 800 MiB"]
    targets = {tag["id"] for _, tag in page.tags if "id" in tag}
    assert {tag["href"][1:] for tag in page.all("a")} <= targets


@pytest.mark.parametrize(("theme", "ground"), [("light", "#ffffff"), ("dark", "#14171c")])
def test_every_text_colour_has_enough_contrast(run_record, theme, ground):
    css = render_report(run_record())
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[0 if theme == "light" else 1]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    assert colours["ground"] == ground
    for name in ("text", "quiet", "link", "good", "bad", "careful"):
        for background in ("ground", "panel", f"{name}-ground"):
            if background in colours:
                assert _contrast(colours[name], colours[background]) >= 4.5, (name, background)


def test_a_run_without_notebooks_still_has_a_page(run_record):
    assert "0 notebooks" in render_report(run_record())


def test_the_report_is_made_from_the_directory_alone(run_record, notebook_record):
    run = run_record(notebook_record(records={"bleu": 26.75}))
    save_run(run)
    page = build_report(run.directory)
    assert page == run.directory / "report.html"
    assert "26.75" in page.read_text(encoding="utf-8")
    assert sorted(item.name for item in run.directory.iterdir()) == ["report.html", "run.json"]


def test_a_missing_run_is_refused(tmp_path):
    with pytest.raises(RunFileError, match=r"run\.json is missing"):
        build_report(tmp_path)


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of the web accessibility guidelines, 2.x."""

    def luminance(colour: str) -> float:
        channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
