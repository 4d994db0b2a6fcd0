"""How long does a slider of the temperature laboratory take to redraw its bars, with GPT-2's vocabulary of 50,257?

Opens the widget's own module in Chromium, moves a slider again and again, and writes the median times from the event
to the new bars, and to the frame after them, to `results/temperature_lab.json`:

    python -m benchmarks.temperature_lab

`work_ms` is the processor time of the page's main thread for one move, with styles and layout: on a busy machine the
other two also hold the time in which the page did not run.
"""

import argparse
import base64
import os
import statistics
from typing import Any

import torch

from benchmarks.chromium import NONE_FOUND, find_browser
from benchmarks.writing import write_result
from course_lib.data.byte_pairs import gpt_tokenizer, train_byte_pairs
from course_lib.generation.sampling import Sampling
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.widgets import TemperatureLab

CASES = {
    "temperature": (Sampling(), None),
    "top_p": (Sampling(top_p=0.9), None),
    "all_filters": (Sampling(1.2, 100, 0.95, 0.01, 1.2), None),
    "two_settings_all_filters": (Sampling(1.2, 100, 0.95, 0.01, 1.2), Sampling(0.8, 50, 0.9, 0.02, 1.1)),
}
OPEN = """async ({ module, style, state, logits }) => {
    const bytes = Uint8Array.from(atob(logits), (sign) => sign.charCodeAt(0));
    const values = { ...state, logits: new DataView(bytes.buffer) };
    const model = { get: (name) => values[name], on() {}, off() {}, send() {} };
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
    const { default: widget } = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
    const started = performance.now();
    widget.render({ model, el: document.body });
    return performance.now() - started;
}"""
# From the event until the bars have their new lengths, and until the frame that shows them has been made.
MOVE = """async ({ testid, values }) => {
    const root = document.querySelector(".temperature-lab");
    const slider = document.querySelector(`[data-testid="${testid}"]`);
    const times = [];
    for (const value of values) {
        await new Promise((done) => setTimeout(done, 60));
        const [before, started] = [root.dataset.drawn, performance.now()];
        slider.value = value;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise((done) => {
            const look = () => (root.dataset.drawn === before ? setTimeout(look) : done());
            look();
        });
        const drawn = performance.now() - started;
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        times.push([drawn, performance.now() - started]);
    }
    return times;
}"""


def work(session: Any) -> float:
    """Seconds of processor time that the page's main thread has spent so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["TaskDuration"]


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=50_257)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    browser_path = find_browser()
    if browser_path is None:
        raise SystemExit(NONE_FOUND)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = gpt_tokenizer(train_byte_pairs(["Return the list of the names."] * 5, 300))
    model = GPT(GPTConfig(arguments.vocabulary, 64, 1, 1, 32)).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(25)  # scores spread as a trained model's are
    measured: dict[str, object] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
        measured["browser"] = f"Chromium {browser.version}"
        measured["load_of_the_machine"] = round(os.getloadavg()[0], 1)  # processes that want to run; idle: near 0
        for name, (sampling, other) in CASES.items():
            lab = TemperatureLab(model, tokenizer, "Return the", sampling=sampling, other=other, samples=0)
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            first = page.evaluate(
                OPEN,
                {
                    "module": lab._esm,
                    "style": lab._css,
                    "state": {"place": lab.place, "settings": lab.settings, "written": []},
                    "logits": base64.b64encode(lab.logits).decode(),
                },
            )
            control = "top_p" if name == "top_p" else "temperature"
            low, high = (0.5, 0.99) if control == "top_p" else (0.5, 2.0)
            steps = torch.linspace(low, high, arguments.repeats + 3).tolist()
            moved = {"testid": f"{control}-A-slider"}
            page.evaluate(MOVE, moved | {"values": steps[:3]})  # the first ones warm up
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            before = work(session)
            times = page.evaluate(MOVE, moved | {"values": steps[3:]})
            spent = work(session) - before
            drawn, framed = zip(*times, strict=True)
            measured[name] = {
                "first_drawing_ms": round(first, 1),
                "slider_to_bars_ms": round(statistics.median(drawn), 1),
                "slider_to_next_frame_ms": round(statistics.median(framed), 1),
                "slowest_bars_ms": round(max(drawn), 1),
                "work_ms": round(1000 * spent / arguments.repeats, 1),
            }
            measured["bytes_of_scores"] = len(lab.logits)
            page.close()
        browser.close()
    write_result(
        "temperature_lab",
        command="python -m benchmarks.temperature_lab",
        settings=vars(arguments),
        measured=measured,
    )


if __name__ == "__main__":
    main()
