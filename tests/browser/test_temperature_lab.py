"""The temperature laboratory in a real browser: sliders, steps, clicks, keys, two settings, two themes."""

import json
import re

import pytest
import torch

from course_lib.data.byte_pairs import gpt_tokenizer, train_byte_pairs
from course_lib.generation.sampling import Sampling
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.widgets import TemperatureLab
from course_lib.widgets.next_token import look

SENTENCES = [
    "Return the list of the names in the given directory.",
    "Return the number of items.",
    "Raise an error if the file does not exist.",
    "<script>document.title = 'run'</script> &amp; مرحبا 👩‍🔬",
]


def quick_gpt(tokenizer, vocabulary=420):
    """A little GPT that learned four sentences, so that its bars look like bars."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocabulary, 64, 2, 2, 32))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    texts = [tokenizer(text + tokenizer.eos_token)["input_ids"] for text in SENTENCES]
    for step in range(60):
        tokens = torch.tensor([texts[step % len(texts)]])
        logits = model(tokens[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return gpt_tokenizer(train_byte_pairs(SENTENCES * 8, 420))


@pytest.fixture(scope="module")
def model(tokenizer):
    return quick_gpt(tokenizer)


def bytes_or_text(value):
    return {"bytes": list(value)} if isinstance(value, bytes) else {"value": value}


@pytest.fixture
def open_lab(bare_page):
    """The laboratory on a page of its own. What changes in Python reaches the page with the next answer."""

    def open_one(*labs, dark=False):
        page = bare_page(*labs, dark=dark)
        for number, lab in enumerate(labs):

            def send_state(key=None, lab=lab):
                names = [key] if isinstance(key, str) else sorted(key, reverse=True)  # written, place, logits
                changed = {name: bytes_or_text(getattr(lab, name)) for name in names}
                lab.send({"changed": json.loads(json.dumps(changed))})

            lab.send_state = send_state
            page.evaluate(
                """(number) => {
                    const model = window.models[number];
                    model.on("msg:custom", ({ changed }) => {
                        for (const name of ["logits", "place", "written"]) {
                            const given = changed?.[name];
                            if (!given) continue;
                            const { bytes, value } = given;
                            model.set(name, bytes ? new DataView(Uint8Array.from(bytes).buffer) : value);
                        }
                    });
                }""",
                number,
            )
        return page

    return open_one


def drag(page, testid, value):
    page.get_by_test_id(testid).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        str(value),
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def answered(lab):
    """Wait until the kernel has answered: what is new may be seen a moment before, when buttons still rest."""
    lab.page.wait_for_function("(lab) => !lab.hasAttribute('aria-busy')", arg=lab.element_handle())


def shown_after(page, name="A"):
    return page.get_by_test_id(f"after-{name}").all_inner_texts()


def as_percent(share):
    return pytest.approx(100 * share, rel=6e-3, abs=1e-3)


def assert_shows(page, view, name="A"):
    for text, row in zip(shown_after(page, name), view.rows, strict=True):
        if row.cut_by:
            assert text == f"cut by {row.cut_by.replace('_', '-')}"
        else:
            assert float(re.sub(r"[<% ]", "", text)) == as_percent(row.after)


def logits_and_tokens(lab):
    return lab._scores[-1], lab._tokens


def test_bars_after_each_slider_are_samplings_probabilities(open_lab, model, tokenizer):
    lab = TemperatureLab(model, tokenizer, "Return the")
    page = open_lab(lab)
    setting = {}
    for name, value in [
        ("temperature", 1.5),
        ("top_k", 20),
        ("top_p", 0.95),
        ("min_p", 0.02),
        ("repetition_penalty", 1.5),
    ]:
        drag(page, f"{name}-A-slider", value)
        setting[name] = value
        assert_shows(page, look(*logits_and_tokens(lab), Sampling(**setting)))
    kept = look(*logits_and_tokens(lab), Sampling(**setting)).steps[-1].kept
    assert f"A {page.get_by_test_id('steps').locator('tr').last.inner_text().split()[1]} bits, {kept} of 420" in (
        page.get_by_test_id("summary").inner_text()
    )


def test_the_filters_can_be_followed_one_by_one(open_lab, model, tokenizer):
    lab = TemperatureLab(model, tokenizer, "Return the", sampling=Sampling(0.5, top_k=4))
    page = open_lab(lab)
    page.get_by_test_id("until").select_option("temperature")
    assert_shows(page, look(*logits_and_tokens(lab), Sampling(0.5)))


def test_temperature_zero_is_refused_with_advice_and_the_bars_stay(open_lab, model, tokenizer):
    page = open_lab(TemperatureLab(model, tokenizer, "Return the"))
    before = shown_after(page)
    page.get_by_test_id("temperature-A-number").fill("0")
    page.get_by_test_id("temperature-A-number").press("Enter")
    assert "do_sample=False" in page.get_by_role("status").inner_text()
    assert page.get_by_test_id("temperature-A-number").get_attribute("aria-invalid") == "true"
    assert shown_after(page) == before


def test_drawing_choosing_undoing_and_reset(open_lab, model, tokenizer):
    lab = TemperatureLab(model, tokenizer, "Return the", samples=0)
    page = open_lab(lab)
    text, root = page.get_by_test_id("text"), page.get_by_test_id("temperature-lab")
    page.get_by_test_id("draw-A").click()
    text.get_by_role("option").first.wait_for()
    answered(root)
    page.get_by_test_id("row").nth(2).click()
    text.get_by_role("option").nth(1).wait_for()
    answered(root)
    assert len(lab.place["steps"]) == 2
    page.get_by_test_id("undo").click()
    text.get_by_role("option").nth(1).wait_for(state="detached")
    answered(root)
    page.get_by_test_id("reset").click()
    text.get_by_role("option").first.wait_for(state="detached")
    assert page.get_by_test_id("undo").get_attribute("aria-disabled") == "true"
    assert lab.place["steps"] == []


def test_everything_goes_by_the_keyboard(open_lab, model, tokenizer):
    lab = TemperatureLab(model, tokenizer, "Raise", samples=1, new_tokens=4)
    page = open_lab(lab)
    prompt = page.get_by_test_id("prompt")
    prompt.focus()
    prompt.fill("Return the list")
    page.keyboard.press("Enter")
    page.get_by_text("The prompt was read.").wait_for()
    assert lab.place["prompt"] == "Return the list"
    prompt.fill("something else")
    page.keyboard.press("Escape")
    assert prompt.input_value() == "Return the list"
    page.get_by_test_id("row").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    wanted = lab.place["candidates"][2]["token"]
    page.keyboard.press("Enter")
    page.get_by_test_id("text").get_by_role("option").first.wait_for()
    answered(page.get_by_test_id("temperature-lab"))
    assert [step["token"] for step in lab.place["steps"]] == [wanted]
    assert page.evaluate("document.activeElement.dataset.testid") == "row"  # the focus did not get lost
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.testid") == "prompt"
    page.get_by_test_id("temperature-A-slider").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_test_id("temperature-A-number").input_value() == "1.05"
    page.get_by_test_id("sample").focus()
    page.keyboard.press("Enter")
    page.get_by_test_id("sample-A").first.wait_for()
    page.get_by_test_id("sample-A").first.get_by_role("option").first.focus()
    page.keyboard.press("ArrowRight")
    assert re.search(r"[\d.]+ % by the model", page.get_by_role("status").inner_text())


def test_two_settings_side_by_side_and_their_samples(open_lab, model, tokenizer, picture):
    lab = TemperatureLab(model, tokenizer, "Return the", sampling=Sampling(0.7, top_k=8))
    page = open_lab(lab)
    assert not page.get_by_test_id("panel-B").is_visible()
    page.get_by_test_id("compare").click()
    drag(page, "temperature-B-slider", 2)
    drag(page, "min_p-B-slider", 0.1)
    drag(page, "top_k-B-slider", 0)
    assert_shows(page, look(*logits_and_tokens(lab), Sampling(0.7, top_k=8)), "A")
    assert_shows(page, look(*logits_and_tokens(lab), Sampling(2.0, min_p=0.1)), "B")
    page.get_by_test_id("sample").click()
    page.get_by_test_id("sample-B").nth(2).wait_for()
    assert page.get_by_test_id("sample-A").count() == page.get_by_test_id("sample-B").count() == 3
    for table, rows in (("bars-table", 24), ("samples-table", 7)):
        page.get_by_test_id(table).locator("summary").click()
        page.get_by_test_id(table).locator("tbody tr").nth(rows - 1).wait_for()
    picture(page, "temperature_lab_two")


def test_a_prompt_that_is_too_long_is_refused_with_numbers(open_lab, model, tokenizer):
    page = open_lab(TemperatureLab(model, tokenizer, "Return the"))
    page.get_by_test_id("prompt").fill("@" * 5000)
    page.get_by_test_id("read").click()
    page.get_by_text("the model's context holds 64").wait_for()
    assert page.get_by_test_id("length").inner_text() == "2 tokens of 64"  # still the prompt before


def test_hostile_text_is_shown_and_not_run(open_lab, model, tokenizer):
    lab = TemperatureLab(model, tokenizer, SENTENCES[3] + " \u202e\u200b", samples=2)
    page = open_lab(lab)
    page.get_by_test_id("row").first.click()
    page.get_by_test_id("text").get_by_role("option").first.wait_for()
    assert page.title() == "Widgets"
    assert page.locator(".temperature-lab script").count() == 0


def test_two_laboratories_on_one_page_do_not_disturb_each_other(open_lab, model, tokenizer):
    labs = [TemperatureLab(model, tokenizer, text, samples=0) for text in ("Return", "Raise")]
    page = open_lab(*labs)
    first, second = page.get_by_test_id("temperature-lab").all()
    before = second.get_by_test_id("after-A").all_inner_texts()
    first.get_by_test_id("draw-A").click()
    first.get_by_test_id("text").get_by_role("option").first.wait_for()
    assert second.get_by_test_id("after-A").all_inner_texts() == before
    assert labs[1].place["steps"] == []


def test_a_kernel_that_is_gone_is_said_and_the_buttons_come_back(bare_page, model, tokenizer):
    page = bare_page(TemperatureLab(model, tokenizer, "Return the", samples=0))
    page.evaluate("window.models[0].send = () => {}")
    page.get_by_test_id("draw-A").click()
    page.get_by_text("The kernel does not answer").wait_for()
    assert page.get_by_test_id("draw-A").get_attribute("aria-disabled") is None
    drag(page, "temperature-A-slider", 2)  # the sliders need no kernel


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_serious_finding_in_either_theme(open_lab, model, tokenizer, audit, picture, dark):
    lab = TemperatureLab(
        model,
        tokenizer,
        "Return the",
        sampling=Sampling(0.8, top_p=0.9),
        other=Sampling(1.6, min_p=0.03),
        new_tokens=12,
    )
    page = open_lab(lab, TemperatureLab(model, tokenizer, "Raise", sampling=Sampling(0.5, 12, 0.9)), dark=dark)
    page.get_by_test_id("row").nth(1).click()
    page.get_by_test_id("text").get_by_role("option").first.wait_for()
    page.get_by_test_id("bars-table").first.locator("summary").click()
    audit(page)
    picture(page, f"temperature_lab_{'dark' if dark else 'light'}")


def test_the_static_twin_is_read_in_both_themes(new_page, model, tokenizer, picture):
    lab = TemperatureLab(
        model, tokenizer, "Return the", sampling=Sampling(0.8, top_p=0.9), other=Sampling(1.6, min_p=0.03)
    )
    for colours in ("color:#111;background:#fff", "color:#eee;background:#111"):
        page = new_page()
        page.set_content(f'<body style="{colours};font-family:sans-serif">{lab.static_html()}')
        assert page.locator("svg").get_attribute("aria-label").startswith("Bar chart")
        picture(page, f"temperature_lab_twin_{'light' if '#fff' in colours else 'dark'}")


CELLS = [
    """import torch
from course_lib.data.byte_pairs import gpt_tokenizer, train_byte_pairs
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.widgets import TemperatureLab
torch.manual_seed(0)
tokenizer = gpt_tokenizer(train_byte_pairs(["Return the list of the names."] * 9, 290))
lab = TemperatureLab(GPT(GPTConfig(290, 48, 1, 2, 16)).eval(), tokenizer, "Return the", samples=1, new_tokens=4)""",
    "lab",
]


@pytest.mark.parametrize("where", ["voila_page", "lab_page"])
def test_with_a_real_kernel_steps_samples_and_arrow_keys_work(where, request):
    page = request.getfixturevalue(where)(*CELLS)
    page.set_default_timeout(60_000)
    lab = page.get_by_test_id("temperature-lab")
    lab.wait_for(timeout=120_000)
    drag(page, "temperature-A-slider", 0.5)
    lab.get_by_test_id("draw-A").click()
    lab.get_by_test_id("text").get_by_role("option").first.wait_for()
    answered(lab)
    before = lab.get_by_test_id("samples").inner_text()
    lab.get_by_test_id("sample").click()
    answered(lab)
    assert lab.get_by_test_id("samples").inner_text() != before
    lab.get_by_test_id("row").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")  # JupyterLab would go to another cell with it
    token = lab.get_by_test_id("row").nth(2).get_attribute("data-token")
    assert page.evaluate("document.activeElement.dataset.token") == token
    page.keyboard.press("Enter")
    lab.get_by_test_id("text").get_by_role("option").nth(1).wait_for()
