"""A real browser: on Voilà and JupyterLab with real kernels, or on a widget's page alone, with no server at all.

    def test_…(bare_page):                      # fast: the Python object answers its page's questions directly
        page = bare_page(MyWidget(…), dark=True)

    def test_…(voila_page):                     # a notebook of these cells as an app; also lab_page
        page = voila_page("from course_lib.widgets import …", "MyWidget(…)")

    def test_…(bare_page, audit, picture):
        audit(page)                             # no serious finding of axe-core inside our widgets
        picture(page, "my_widget")              # keeps a screenshot in the folder COURSE_SCREENSHOTS

Each fixture returns a Playwright page. At the end of the test it fails if the page wrote an error to its console,
raised one, or asked for anything outside 127.0.0.1; `page.expected_errors` lists texts that such errors may hold.
"""

import base64
import json
import os
import re
import sys
import uuid
from pathlib import Path

import nbformat
import pytest

from benchmarks.chromium import NONE_FOUND, find_browser
from course_lib.batch.app import HOST, app_environment, free_port, serving, voila_command

ROOT = Path(__file__).parents[2]
WINDOW = {"width": 1200, "height": 900}
PATIENCE = 120_000  # milliseconds: a kernel that imports torch on a busy machine
NO_USER = {"HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CACHE_HOME"}


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium():
    """The browser. Of one module, because Playwright's event loop stands in the way of other tests' loops."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    found = find_browser()
    if found is None:
        pytest.skip(NONE_FOUND)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium):
    """Open watched pages; the test fails at its end for what they did wrong."""
    pages = []

    def open_one(dark=False):
        context = chromium.new_context(viewport=WINDOW, color_scheme="dark" if dark else "light")
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.errors, page.outside, page.expected_errors = [], [], []
        page.on("console", lambda message: note(page, message))
        page.on("pageerror", lambda error: page.errors.append(str(error)))

        def leaves_this_machine(address):
            return not re.match(rf"(data|blob|about):|(https?|wss?)://{re.escape(HOST)}[:/]", address)

        def refuse(route):
            page.outside.append(route.request.url)
            route.abort()

        page.route(leaves_this_machine, refuse)
        page.on("websocket", lambda it: page.outside.append(it.url) if leaves_this_machine(it.url) else None)
        pages.append(page)
        return page

    yield open_one
    errors = [
        text for page in pages for text in page.errors if not any(expected in text for expected in page.expected_errors)
    ]
    outside = [address for page in pages for address in page.outside]
    for page in pages:
        page.context.close()
    assert outside == [], "the page asked for what is not on this machine"
    assert not errors, "the page reported errors:\n" + "\n".join(errors)


@pytest.fixture(scope="session")
def served_folder(tmp_path_factory):
    """A folder for notebooks, and the environment of a server on it: no settings of the user, this course_lib."""
    folder = tmp_path_factory.mktemp("served")
    private = tmp_path_factory.mktemp("home")
    names = {name: str(private / name.lower()) for name in NO_USER}
    for place in names.values():
        Path(place).mkdir()
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return folder, app_environment(**names, PYTHONPATH=os.pathsep.join(paths), HF_HUB_OFFLINE="1")


@pytest.fixture(scope="session")
def voila_address(served_folder, tmp_path_factory):
    pytest.importorskip("voila", reason="Voilà is not installed (extra widgets)")
    folder, environment = served_folder
    port = free_port()
    log = tmp_path_factory.mktemp("log") / "voila.log"
    with serving(voila_command(folder, port), port, log, environment, seconds=120):
        yield f"http://{HOST}:{port}/voila/render"


@pytest.fixture(scope="session")
def lab_address(served_folder, tmp_path_factory):
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    folder, environment = served_folder
    port = free_port()
    config = Path(environment["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json"
    config.parent.mkdir()
    # It would ask the reader, and the internet, for news.
    config.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.ip={HOST}", f"--port={port}"),
        *("--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--allow-root"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    with serving(command, port, tmp_path_factory.mktemp("log") / "lab.log", environment, seconds=120):
        yield f"http://{HOST}:{port}/lab"


def note(page, message):
    if message.type == "error":
        page.errors.append(f"{message.text} ({message.location.get('url', '')})")


def write_notebook(folder, sources):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / f"trial_{uuid.uuid4().hex[:8]}.ipynb"
    nbformat.write(notebook, path)
    return path.name


@pytest.fixture
def voila_page(voila_address, served_folder, new_page):
    """A notebook of the given cells, run and shown by Voilà: `voila_page("cell", "cell", dark=True)`."""

    def open_one(*sources, dark=False):
        page = new_page(dark)
        name = write_notebook(served_folder[0], sources)
        # A page of Voilà has loaded only when all cells have run.
        page.goto(f"{voila_address}/{name}?theme={'dark' if dark else 'light'}", wait_until="commit")
        page.locator("#rendered_cells").wait_for(state="visible")
        return page

    return open_one


@pytest.fixture
def lab_page(lab_address, served_folder, new_page):
    """A notebook of the given cells, opened in JupyterLab, with all cells run."""

    def open_one(*sources, dark=False):
        page = new_page(dark)
        name = write_notebook(served_folder[0], sources)
        page.goto(f"{lab_address}/tree/{name}?reset")
        page.wait_for_function("name => window.jupyterapp?.shell.currentWidget?.title.label === name", arg=name)
        page.evaluate(
            """async (theme) => {
                const app = window.jupyterapp;
                await app.restored;
                await app.commands.execute("apputils:change-theme", { theme });
                const panel = app.shell.currentWidget;
                await panel.context.ready;
                await panel.sessionContext.ready;
                await app.commands.execute("notebook:run-all-cells");
            }""",
            "JupyterLab Dark" if dark else "JupyterLab Light",
        )
        return page

    return open_one


BARE_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Widgets</title>
<style>body { margin: 16px; font: 14px system-ui, sans-serif; background: var(--jp-layout-color0);
  color: var(--jp-content-font-color1); }
:root { --jp-layout-color0: white; --jp-layout-color2: #eee; --jp-content-font-color1: rgba(0,0,0,.87);
  --jp-content-font-color2: rgba(0,0,0,.6); --jp-border-color1: #bdbdbd; }
.dark { --jp-layout-color0: #111; --jp-layout-color2: #424242; --jp-content-font-color1: white;
  --jp-content-font-color2: rgba(255,255,255,.7); --jp-border-color1: #616161; color-scheme: dark; }
</style><body data-jp-theme-light="true"><main><h1>Widgets</h1></main></body></html>"""

# What anywidget gives a widget's module: its state, and messages to and fro.
BARE_MODEL = """async ({ number, module, style, state }) => {
    const decode = (text) => new DataView(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer);
    const values = Object.fromEntries(Object.entries(state).map(
        ([name, { bytes, value }]) => [name, bytes === undefined ? value : decode(bytes)]));
    const heard = {};
    const tell = (event, ...given) => (heard[event] ?? []).slice().forEach((handler) => handler(...given));
    const model = {
        get: (name) => values[name],
        set(name, value) { values[name] = value; tell(`change:${name}`); tell("change"); },
        save_changes() { },
        on(event, handler) { (heard[event] ??= []).push(handler); },
        off(event, handler) { heard[event] = (heard[event] ?? []).filter((each) => handler && each !== handler); },
        async send(content) {
            const { changes, said } = await window.answerOf(number, content);
            for (const [name, { bytes, value }] of Object.entries(changes)) {
                model.set(name, bytes === undefined ? value : decode(bytes));
            }
            for (const { message, buffers } of said) tell("msg:custom", message, buffers.map(decode));
        },
    };
    const sheet = document.createElement("style");
    sheet.textContent = style;
    document.head.append(sheet);
    const el = document.createElement("section");
    document.querySelector("main").append(el);
    const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    const { default: widget } = await import(url);
    await widget.initialize?.({ model });
    const end = await widget.render({ model, el });
    (window.models ??= []).push(model);
    (window.ends ??= []).push(end);
}"""


@pytest.fixture
def bare_page(new_page):
    """Widgets on a page of their own; the Python objects here answer what the page asks: `bare_page(widget, …)`."""

    def open_one(*widgets, dark=False):
        page = new_page(dark)
        page.route(f"http://{HOST}/widgets", lambda route: route.fulfill(body=BARE_PAGE, content_type="text/html"))
        page.goto(f"http://{HOST}/widgets")
        if dark:
            page.evaluate("document.body.className = 'dark'; document.body.dataset.jpThemeLight = 'false'")

        def answer(number, content):
            said, widget, before = [], widgets[number], page_state(widgets[number])
            widget.send = lambda message, buffers=None: said.append((message, buffers or []))
            widget._answer(widget, content, [])
            after = page_state(widget)
            return {
                "changes": {name: value for name, value in after.items() if value != before[name]},
                "said": [{"message": message, "buffers": list(map(text64, buffers))} for message, buffers in said],
            }

        page.expose_function("answerOf", answer)
        for number, widget in enumerate(widgets):
            code = {"number": number, "module": widget._esm, "style": widget._css}
            page.evaluate(BARE_MODEL, {**code, "state": page_state(widget)})
        return page

    return open_one


def page_state(widget):
    """The widget's own state as it goes to the page: bytes as text."""
    state = {}
    for name, value in widget.get_state().items():
        if not name.startswith("_") and name not in ("layout", "tabbable", "tooltip"):
            is_bytes = isinstance(value, bytes | bytearray | memoryview)
            state[name] = {"bytes": text64(value)} if is_bytes else {"value": value}
    return state


def text64(content):
    return base64.b64encode(bytes(content)).decode()


@pytest.fixture
def picture(tmp_path):
    """Keep a screenshot of a page, or of a locator, by name: in COURSE_SCREENSHOTS, else in the test's own folder."""

    def keep(subject, name):
        folder = Path(os.environ.get("COURSE_SCREENSHOTS", tmp_path))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        subject.screenshot(path=path, **({"full_page": True} if hasattr(subject, "goto") else {}))
        return path

    return keep


@pytest.fixture
def audit():
    """axe-core's audit of the widgets on a page; fails for a serious or critical finding."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

    def run(page, selector=".course-widget"):
        page.locator(selector).first.wait_for()
        found = axe.Axe().run(page, context=selector).response["violations"]
        grave = [
            f"{item['id']}: {item['help']}: {node['html'][:200]} {node['failureSummary']}"
            for item in found
            if item["impact"] in ("serious", "critical")
            for node in item["nodes"]
        ]
        assert grave == []

    return run
