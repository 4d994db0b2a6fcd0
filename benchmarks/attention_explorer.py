"""How long does a reader wait for the attention explorer, with 12 layers of 12 heads over 512 tokens, and for how much?

A real kernel behind Voilà, and Chromium. Measures, as medians: the bytes sent and the time from the existing weights to
the first picture; a switch to a head that the page has not seen; and a move of the pointer over the map. Where bertviz
is installed, also the size of its head view at lengths that it can still build. Beside the times by the clock stand
processor times, of the kernel and of the page's main thread, which other programs disturb less. Writes
`results/attention_explorer.json`:

    python -m benchmarks.attention_explorer
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat

from benchmarks.chromium import NONE_FOUND, find_browser
from benchmarks.writing import write_result
from course_lib.batch.app import HOST, app_environment, serving, usable_port, voila_command

ROOT = Path(__file__).parents[1]
CELL = """
import time
import ipywidgets, torch
from IPython.display import display
from course_lib.widgets import AttentionExplorer

torch.set_num_threads({threads})
torch.manual_seed(0)
may_look = torch.ones({tokens}, {tokens}, dtype=torch.bool).tril()
scores = 2 * torch.randn({layers}, {heads}, {tokens}, {tokens})
weights = scores.masked_fill_(~may_look, float("-inf")).softmax(dim=-1)
tokens = [f"token{{place}}" for place in range({tokens})]
button, times, place = ipywidgets.Button(description="show"), ipywidgets.Label(), ipywidgets.Output()
shown = []

def show(_):
    place.clear_output()
    while shown:
        shown.pop().close()
    started, worked = time.time(), time.process_time()
    explorer = AttentionExplorer.from_weights(weights, tokens)
    times.value = f"times {{started}} {{time.time()}} {{time.process_time() - worked}}"
    shown.append(explorer)
    with place:
        display(explorer)

button.on_click(show)
display(ipywidgets.VBox([button, times, place]))
"""
# A frame later than the change: what was drawn is on the screen.
FRAME = "const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
FIRST = f"""async () => {{ {FRAME}
    document.querySelector(".attention-explorer")?.removeAttribute("data-shown");
    [...document.querySelectorAll("button")].find((button) => button.textContent === "show").click();
    while (!document.querySelector(".attention-explorer[data-shown]")) await frame();
    await frame();
    const painted = Date.now();
    const label = [...document.querySelectorAll(".jupyter-widgets")].map((node) => node.textContent)
        .find((text) => text.startsWith("times "));
    return [painted / 1000, ...label.split(" ").slice(1).map(Number)];
}}"""
SWITCH = f"""async (places) => {{ {FRAME}
    const root = document.querySelector(".attention-explorer");
    const times = [];
    for (const [layer, head] of places) {{
        await new Promise((done) => setTimeout(done, 100));
        const started = performance.now();
        root.querySelector(`[data-testid="attention-cell-${{layer}}-${{head}}"]`).click();
        await new Promise((done) => {{
            const look = () => (root.dataset.shown === `0/${{layer}}/${{head}}` ? done() : setTimeout(look));
            look();
        }});
        await frame();
        times.push(performance.now() - started);
    }}
    return times;
}}"""
HOVER = f"""async (repeats) => {{ {FRAME}
    const map = document.querySelector('[data-testid="attention-map"]');
    const box = map.getBoundingClientRect();
    const times = [];
    for (let turn = 0; turn < repeats; turn++) {{
        await frame();
        const started = performance.now();
        map.dispatchEvent(new PointerEvent("pointermove", {{
            clientX: box.left + 140 + 15 * turn, clientY: box.top + 60 + 17 * turn, bubbles: true }}));
        document.body.offsetHeight;  // the layout counts
        times.push(performance.now() - started);
    }}
    return times;
}}"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="of torch, in the kernel")
    arguments = parser.parse_args()
    browser_path = find_browser()
    if browser_path is None:
        raise SystemExit(NONE_FOUND)
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        served = Path(folder) / "served"
        served.mkdir()
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(**vars(arguments)))])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, served / "measure.ipynb")
        port = usable_port(None)
        environment = app_environment(PYTHONPATH=str(ROOT))
        with serving(voila_command(served, port), port, Path(folder) / "voila.log", environment, seconds=600):
            browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
            measured["browser"] = f"Chromium {browser.version}"
            page = browser.new_page(viewport={"width": 1300, "height": 1000})
            page.set_default_timeout(600_000)
            received: list[int] = []
            page.on("websocket", lambda socket: socket.on("framereceived", lambda part: received.append(len(part))))
            page.goto(f"http://{HOST}:{port}/voila/render/measure.ipynb")
            page.get_by_role("button", name="show").wait_for()
            measured |= _measure(page, received, arguments)
            browser.close()
    if importlib.util.find_spec("bertviz"):
        measured["bertviz_head_view"] = [_bertviz(arguments.layers, arguments.heads, tokens) for tokens in (32, 64)]
    write_result(
        "attention_explorer",
        command="python -m benchmarks.attention_explorer",
        settings=vars(arguments),
        measured=measured,
    )


def _measure(page: Any, received: list[int], arguments: argparse.Namespace) -> dict[str, Any]:
    worked = _processor(page)
    firsts, sent, first_work = [], [], []
    for repeat in range(arguments.repeats + 1):  # the first one warms up
        received.clear()
        worked()
        times = page.evaluate(FIRST)
        if repeat:
            firsts.append(times)
            sent.append(sum(received))
            first_work.append(worked())
    places = [(place // arguments.heads, place % arguments.heads) for place in range(1, arguments.repeats + 2)]
    received.clear()
    worked()
    switches = page.evaluate(SWITCH, places)[1:]
    switch_work = worked() / len(places)
    per_switch = sum(received) / len(places)
    hovers = page.evaluate(HOVER, arguments.repeats + 1)[1:]
    hover_work = worked() / (arguments.repeats + 1)
    return {
        "bytes_until_first_picture": round(statistics.median(sent)),
        "bytes_per_head": round(per_switch),
        "weights_to_first_picture_ms": _spread([1000 * (painted - began) for painted, began, _, _ in firsts]),
        "of_it_in_python_ms": _spread([1000 * (built - began) for _, began, built, _ in firsts]),
        "head_switch_ms": _spread(switches),
        "hover_ms": _spread(hovers),
        "processor_ms": {
            "first_picture_in_python": round(statistics.median(1000 * used for *_, used in firsts), 1),
            "first_picture_in_page": round(statistics.median(first_work), 1),
            "head_switch_in_page": round(switch_work, 1),
            "hover_in_page": round(hover_work, 1),
        },
    }


def _processor(page: Any) -> Any:
    """A function that says for how many ms the page's main thread has worked since it was asked last."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    last = 0.0

    def since_last() -> float:
        nonlocal last
        metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        before, last = last, 1000 * metrics["TaskDuration"]
        return last - before

    return since_last


def _spread(times: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(times), 1),
        "fastest": round(min(times), 1),
        "slowest": round(max(times), 1),
    }


def _bertviz(layers: int, heads: int, tokens: int) -> dict[str, Any]:
    """The size of the page that bertviz makes of the same kind of weights, and the time to make it.

    It grows with the square of the length; at 512 tokens it would be 64 times that of 64.
    """
    import torch
    from bertviz import head_view

    weights = [torch.rand(1, heads, tokens, tokens).softmax(dim=-1) for _ in range(layers)]
    started = time.perf_counter()
    content = head_view(weights, [f"token{place}" for place in range(tokens)], html_action="return").data
    return {"tokens": tokens, "bytes": len(content.encode()), "seconds": round(time.perf_counter() - started, 2)}


if __name__ == "__main__":
    main()
