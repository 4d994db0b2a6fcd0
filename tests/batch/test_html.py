import base64
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.batch.formulas import formula_html
from course_lib.batch.html import write_page

PNG = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
).decode()
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "a slider"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "picture.png").write_bytes(base64.b64decode(PNG))
    outputs = [
        new_output("display_data", {"image/png": PNG}, metadata={"image/png": {"alt": 'a "heat map" of weights'}}),
        new_output("display_data", WIDGET),
        new_output(
            "display_data",
            {"text/html": '<script src="https://cdn.example.org/d3.js"></script><b>table</b>', "text/plain": "x"},
        ),
        new_output("display_data", {"application/javascript": "fetch('https://example.org')", "text/plain": "plain"}),
        new_output("error", ename="ValueError", evalue="wrong", traceback=["\x1b[31mValueError\x1b[0m: wrong"]),
    ]
    text = (
        "# Which word?\nWith $\\alpha_{ij} = \\mathrm{softmax}(e_{ij})$ and\n\n$$c_i = \\sum_j \\alpha_{ij} h_j$$\n\n"
        "\\begin{align}a &= b\\end{align}\n\n![local](picture.png) ![far](https://example.org/far.png)\n\n"
        "[a link](https://arxiv.org/abs/1409.0473)\n\n<link rel='stylesheet' href='https://example.org/a.css'>"
    )
    content = new_notebook(cells=[new_markdown_cell(text), new_code_cell("1", outputs=outputs, execution_count=1)])
    content.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"abc": {}}}}
    nbformat.write(content, folder / "nb.ipynb")
    write_page(folder / "nb.ipynb", folder / "nb.html")
    return BeautifulSoup((folder / "nb.html").read_text(), "html.parser")


def test_nothing_is_loaded_from_elsewhere(page):
    for part in page.select("script, link, img, iframe, object, embed, source, video, audio"):
        for attribute in ("src", "href", "data", "srcset"):
            assert not re.match(r"(https?:)?//", part.get(attribute, "")), part
    for script in page.select("script"):
        assert "http" not in (script.string or "")
    for style in page.select("style"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", style.string or "")


def test_links_that_a_reader_may_follow_are_kept(page):
    assert page.select_one("a[href='https://arxiv.org/abs/1409.0473']").text == "a link"
    assert page.select_one("a[href='https://example.org/far.png']").text == "far"


def test_pictures_are_inside_with_their_alt_texts(page):
    alts = {picture["alt"] for picture in page.select("img") if picture["src"].startswith("data:image/png")}
    assert alts == {'a "heat map" of weights', "local"}


def test_formulas_are_drawn_with_their_tex_as_alt_text(page):
    drawn = {picture["alt"] for picture in page.select("img.formula")}
    assert drawn == {r"\alpha_{ij} = \mathrm{softmax}(e_{ij})", r"c_i = \sum_j \alpha_{ij} h_j"}


def test_a_formula_that_cannot_be_drawn_stays_readable(page):
    assert "a &= b" in page.select_one("code.tex").text


def test_a_live_widget_gives_way_to_its_text(page):
    assert "a slider" in page.text
    assert not page.select("script[type='application/vnd.jupyter.widget-view+json']")


def test_the_title_and_the_error_are_shown(page):
    assert page.title.text == "Which word?"
    assert "ValueError: wrong" in page.text


def test_signs_that_mean_something_in_html_are_safe_in_a_formula():
    assert "<script" not in formula_html(r"\unknown <script>")
    assert 'alt="a &lt; b"' in formula_html("a < b")
