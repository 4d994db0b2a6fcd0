"""How does an executed notebook become one page that reads well from a disk without network?"""

from pathlib import Path
from typing import Any

import nbformat
from bs4 import BeautifulSoup
from jinja2 import DictLoader, pass_context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from course_lib.batch.files import write_atomically
from course_lib.batch.formulas import formula_html

# nbconvert's page without what it would load from elsewhere (RequireJS, MathJax, Mermaid, the widget manager), and with
# the alt texts that pictures bring along in their metadata, which it leaves out.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- macro described(picture, alt) -%}
{{ picture | replace('<img ', '<img alt="' ~ (alt | escape_html) ~ '" ', 1) if alt else picture }}
{%- endmacro -%}
{%- block data_png scoped -%}{{ described(super(), output | get_metadata('alt', 'image/png')) }}{%- endblock -%}
{%- block data_svg scoped -%}{{ described(super(), output | get_metadata('alt', 'image/svg+xml')) }}{%- endblock -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
  main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
  .jp-RenderedHTMLCommon img.formula { display: inline; margin: 0; max-width: 100%; }
  .jp-RenderedHTMLCommon code.tex { white-space: pre-wrap; }
</style>
{%- endblock -%}
"""
SHOWN_FIRST = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]
LOADED_FROM_ELSEWHERE = "script[src], link[href][rel~=stylesheet], link[href][rel~=preload], iframe[src]"


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return formula_html(body)

    def block_math(self, body: str) -> str:
        return formula_html(body, block=True)

    def latex_environment(self, name: str, body: str) -> str:
        return formula_html(rf"\begin{{{name}}}{body}\end{{{name}}}", block=True)


class _PageExporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        renderer = _Renderer(
            escape=False,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=self.embed_images,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
            anchor_link_text=self.anchor_link_text,
            exclude_anchor_links=self.exclude_anchor_links,
        )
        return MarkdownWithMath(renderer=renderer).render(source)


def write_page(notebook: Path, page: Path) -> None:
    """Write the executed `notebook` as the HTML file `page`: no script, style or picture comes from elsewhere.

    Formulas are drawn as pictures, live widgets give way to their static form, and alt texts are kept.
    Raises OSError or nbformat's errors, with an old page left intact.
    """
    content = nbformat.read(notebook, as_version=4)
    # Without the state, nbconvert takes the next form that a widget's output has.
    content.metadata.pop("widgets", None)
    title = next((_heading(cell.source) for cell in content.cells if _heading(cell.source)), notebook.stem)
    content.metadata["title"] = title
    html, _ = _exporter().from_notebook_node(content, resources={"metadata": {"path": str(notebook.parent)}})
    write_atomically(page, _without_foreign_parts(html), durable=False)


def _heading(source: str) -> str:
    lines = source.splitlines()
    return lines[0].removeprefix("# ").strip() if lines and lines[0].startswith("# ") else ""


def _exporter() -> HTMLExporter:
    config = Config()
    config.NbConvertBase.display_data_priority = SHOWN_FIRST
    return _PageExporter(
        config=config,
        template_file="offline.html.j2",
        extra_loaders=[DictLoader({"offline.html.j2": TEMPLATE})],
        embed_images=True,
    )


def _without_foreign_parts(html: str) -> str:
    soup = BeautifulSoup(html, features="html.parser")
    for part in soup.select(LOADED_FROM_ELSEWHERE):
        part.decompose()
    for picture in soup.select("img[src]"):
        source = str(picture["src"])
        if source.startswith(("http:", "https:", "//")):
            link = soup.new_tag("a", href=source)
            link.string = str(picture.get("alt") or source)
            picture.replace_with(link)
    return str(soup)
