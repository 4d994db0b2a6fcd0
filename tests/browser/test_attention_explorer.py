"""The attention explorer as a reader uses it: with the pointer, with the keyboard alone, with a kernel and without."""

import pytest
import torch

from course_lib.widgets.attention_explorer import AttentionExplorer

WORDS = ["<|endoftext|>", "Return", "the", "pen", ".", "The", "pen", "is", "in", "the", "box", "."]
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>",
    "&lt;",
    "مرحبا",
    "a\u202eb",
    "👩\u200d💻",
]


def heads(number, layers=2, of=3, keys=None, causal=True):
    """Heads as models have them: some look one token back, some at the first token, some widely."""
    keys = keys or number
    scores = torch.randn(layers, of, number, keys, generator=torch.Generator().manual_seed(0))
    for layer in range(layers):
        for head in range(of):
            if (layer + head) % 3 == 0:
                scores[layer, head] += 6 * torch.eye(number, keys).roll(-1, 1)
            elif (layer + head) % 3 == 1:
                scores[layer, head, :, 0] += 4
    if causal and keys == number:
        scores = scores.masked_fill(torch.ones(number, keys, dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(dim=-1)


def weight_at(page, number=0):
    return page.get_by_test_id("attention-weight").nth(number).locator("strong").inner_text()


def middle_of(page, row, column, rows, columns):
    """The place of a cell's middle on the map, from the size of the canvas: labels stand left and above."""
    box = page.get_by_test_id("attention-map").bounding_box()
    cell = 30 if rows < 15 else 440 // max(rows, columns)
    left, top = box["width"] - 8 - cell * columns, box["height"] - 8 - cell * rows
    return {"x": left + cell * (column + 0.5), "y": top + cell * (row + 0.5)}


def test_a_cell_is_hovered_pinned_and_let_go(bare_page):
    weights = heads(12)
    page = bare_page(AttentionExplorer.from_weights(weights, WORDS))
    the_map = page.get_by_test_id("attention-map")
    the_map.hover(position=middle_of(page, 7, 6, 12, 12))
    assert weight_at(page) == f"{weights[0, 0, 7, 6]:.2f}"
    assert "is 8 looks at" in page.get_by_test_id("attention-readout").inner_text()
    the_map.click(position=middle_of(page, 7, 6, 12, 12))
    the_map.hover(position=middle_of(page, 3, 1, 12, 12))
    assert weight_at(page) == f"{weights[0, 0, 7, 6]:.2f}"
    page.get_by_test_id("attention-cell-1-2").click()
    assert weight_at(page) == f"{weights[1, 2, 7, 6]:.2f}"  # the pin stays when the head changes
    the_map.focus()
    page.keyboard.press("Escape")
    assert "Point at a token" in page.get_by_test_id("attention-readout").inner_text()


def test_the_map_stays_below_the_pointer(bare_page):
    for layers in (2, 8):
        tokens = [f"a long token {place}" for place in range(12)]
        page = bare_page(AttentionExplorer.from_weights(heads(12, layers, 2), tokens))
        the_map = page.get_by_test_id("attention-map")
        before = the_map.bounding_box()
        the_map.hover(position=middle_of(page, 7, 6, 12, 12))
        assert the_map.bounding_box() == before


def test_in_a_narrow_page_what_is_read_stands_below_the_map(bare_page):
    page = bare_page(AttentionExplorer.from_weights(heads(12), WORDS))
    readout = page.get_by_test_id("attention-readout")
    assert readout.bounding_box()["y"] > page.get_by_test_id("attention-grid").bounding_box()["y"]
    assert readout.bounding_box()["x"] < page.get_by_test_id("attention-map").bounding_box()["x"]
    page.set_viewport_size({"width": 640, "height": 900})
    page.locator(".attention-drawing > .attention-readout").wait_for()
    assert readout.bounding_box()["y"] > page.get_by_test_id("attention-map").bounding_box()["y"]


def test_a_token_beside_the_map_shows_its_row_alone(bare_page):
    page = bare_page(AttentionExplorer.from_weights(heads(12), WORDS))
    place = middle_of(page, 3, 0, 12, 12)
    page.get_by_test_id("attention-map").hover(position={"x": 10, "y": place["y"]})
    assert "pen 4 looks at" in page.get_by_test_id("attention-readout").inner_text()
    assert "is looked at by" not in page.get_by_test_id("attention-readout").inner_text()


def test_with_the_keyboard_alone(bare_page):
    weights = heads(12)
    page = bare_page(AttentionExplorer.from_weights(weights, WORDS))
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowUp"):  # the last one stays at the edge
        page.keyboard.press(key)
    assert page.get_by_test_id("attention-title").inner_text() == "Layer 1, head 2"
    assert page.evaluate("document.activeElement.dataset.testid") == "attention-cell-0-1"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.testid") == "attention-map"
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):  # the first one enters the map
        page.keyboard.press(key)
    said = page.locator(".course-status").inner_text()
    assert said == f"Pinned: the (3) looks at <|endoftext|> (1): {weights[0, 1, 2, 0]:.2f}. Escape lets go."
    page.keyboard.press("Escape")
    assert page.locator(".course-status").inner_text() == "Let go."
    page.keyboard.press("End")
    assert weight_at(page) == "a later token"


def test_average_and_rollout_stand_beside_the_heads(bare_page):
    weights = heads(12)
    page = bare_page(AttentionExplorer.from_weights(weights, WORDS))
    page.get_by_test_id("attention-cell-1-3").click()
    assert page.get_by_test_id("attention-title").inner_text() == "Layer 2, average over heads"
    page.get_by_test_id("attention-map").hover(position=middle_of(page, 5, 5, 12, 12))
    assert abs(float(weight_at(page)) - weights[1].mean(dim=0)[5, 5].item()) < 0.01
    page.get_by_test_id("attention-cell-1-4").click()
    assert page.get_by_test_id("attention-title").inner_text() == "Rollout up to layer 2"


def test_lines_lead_from_a_token_to_those_it_looks_at(bare_page):
    page = bare_page(AttentionExplorer.from_weights(heads(12), WORDS))
    page.get_by_test_id("attention-mode-lines").click()
    inked = """document.querySelector('[data-testid=attention-lines]').getContext('2d')
        .getImageData(0, 0, 220, 240).data.filter((value, place) => place % 4 === 3 && value > 0).length"""
    without = page.evaluate(inked)
    page.get_by_test_id("attention-row-3").hover()
    assert 0 < page.evaluate(inked) < without
    page.get_by_test_id("attention-row-3").click()
    assert page.get_by_test_id("attention-row-3").get_attribute("aria-selected") == "true"
    page.keyboard.press("Escape")
    page.get_by_test_id("attention-row-0").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.testid") == "attention-column-1"
    assert "Return (2) is looked at most by" in page.locator(".course-status").inner_text()


def test_special_tokens_are_hidden_and_this_is_said(bare_page):
    weights = heads(12)
    page = bare_page(AttentionExplorer.from_weights(weights, WORDS))
    page.get_by_test_id("attention-special").uncheck()
    assert "Special tokens are hidden" in page.get_by_test_id("attention-note").inner_text()
    page.get_by_test_id("attention-map").hover(position=middle_of(page, 0, 0, 11, 11))
    assert weight_at(page) == f"{weights[0, 0, 1, 1]:.2f}"
    without = bare_page(AttentionExplorer.from_weights(heads(3), ["a", "b", "c"]))
    assert not without.get_by_test_id("attention-special").is_visible()


def test_an_encoder_decoder_has_tabs(bare_page):
    source, target = ["the", "pen", "is", "here"], ["der", "Stift", "ist", "hier", "."]
    views = {
        "encoder": (heads(4, causal=False), source),
        "decoder": (heads(5), target),
        "cross-attention": (heads(5, keys=4), target, source),
    }
    page = bare_page(AttentionExplorer.from_weights(views, view="decoder"))
    assert page.get_by_test_id("attention-tab-1").get_attribute("aria-selected") == "true"
    assert "itself and back" in page.get_by_test_id("attention-note").inner_text()
    page.get_by_test_id("attention-tab-1").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_test_id("attention-tab-2").get_attribute("aria-selected") == "true"
    assert page.get_by_role("columnheader").all_inner_texts() == ["layer", "1", "2", "3", "avg"]
    page.get_by_test_id("attention-map").hover(position=middle_of(page, 4, 3, 5, 4))
    assert page.get_by_test_id("attention-weight").inner_text().startswith(". → here")


def test_the_table_holds_what_the_map_shows(bare_page):
    weights = heads(12)
    page = bare_page(AttentionExplorer.from_weights(weights, WORDS))
    page.get_by_test_id("attention-table").locator("summary").click()
    cells = page.get_by_test_id("attention-table").locator("tbody tr").nth(6).locator("td").all_inner_texts()
    assert cells[:7] == [f"{weight:.2f}" for weight in weights[0, 0, 6, :7].tolist()]
    assert cells[7:] == [""] * 5


def test_many_tokens_are_asked_for_one_map_at_a_time(bare_page):
    weights = heads(100)
    page = bare_page(AttentionExplorer.from_weights(weights, [f"w{place}" for place in range(100)]))
    page.get_by_test_id("attention-cell-1-1").click()
    page.locator('[data-shown="0/1/1"]').wait_for()
    page.get_by_test_id("attention-map").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator(".course-status").inner_text().startswith("w1 (2) looks at w0 (1): 0.")


def test_a_kernel_that_is_gone_is_noticed_and_what_is_at_hand_stays(bare_page):
    page = bare_page(AttentionExplorer.from_weights(heads(100), [f"w{place}" for place in range(100)]))
    page.evaluate("models[0].send = () => {}")
    page.get_by_test_id("attention-cell-1-1").click()
    page.get_by_text("The kernel does not answer.").wait_for()
    assert page.get_by_test_id("attention-title").inner_text() == "Layer 2, head 2 …"
    page.get_by_test_id("attention-cell-0-0").click()
    assert page.get_by_test_id("attention-title").inner_text() == "Layer 1, head 1"


def test_hostile_tokens_are_text(bare_page):
    page = bare_page(AttentionExplorer.from_weights(heads(6), HOSTILE))
    page.get_by_test_id("attention-mode-lines").click()
    page.get_by_test_id("attention-row-1").hover()
    page.get_by_test_id("attention-table").locator("summary").click()
    assert page.get_by_test_id("attention-row-0").inner_text().startswith("<script>")
    assert page.get_by_test_id("attention-row-4").inner_text() == "a‹U+202E›b"
    assert page.evaluate("window.hacked") is None
    assert page.locator(".attention-explorer script, .attention-explorer img").count() == 0


def test_two_on_a_page_do_not_meddle(bare_page):
    first = AttentionExplorer.from_weights(heads(12), WORDS)
    second = AttentionExplorer.from_weights({"a": (heads(4), list("abcd")), "b": (heads(4), list("abcd"))})
    page = bare_page(first, second)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    page.get_by_test_id("attention-cell-1-1").nth(1).click()
    assert page.get_by_test_id("attention-title").all_inner_texts() == ["Layer 1, head 1", "Layer 2, head 2"]


def test_the_kernel_can_choose_and_an_end_is_clean(bare_page):
    page = bare_page(AttentionExplorer.from_weights(heads(12), WORDS))
    page.evaluate("models[0].set('chosen', { view: 0, layer: 1, head: 2 })")
    assert page.get_by_test_id("attention-title").inner_text() == "Layer 2, head 3"
    page.evaluate("ends[0](); models[0].set('chosen', { view: 0, layer: 0, head: 0 })")
    assert page.get_by_test_id("attention-title").inner_text() == "Layer 2, head 3"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_accessible_and_looks_as_it_should(bare_page, audit, picture, dark):
    page = bare_page(AttentionExplorer.from_weights(heads(12, 4, 6), WORDS), dark=dark)
    theme = "dark" if dark else "light"
    page.get_by_test_id("attention-map").click(position=middle_of(page, 7, 6, 12, 12))
    picture(page, f"attention_explorer_{theme}")
    page.get_by_test_id("attention-mode-lines").click()
    picture(page, f"attention_explorer_lines_{theme}")
    for summary in page.locator("summary").all():
        summary.click()
    audit(page)


MAKE = """
import torch
from course_lib.widgets import AttentionExplorer
weights = torch.eye(100).roll(1, 0).tril().repeat(2, 2, 1, 1)
weights[..., 0, 0] = 1
weights[1, 1] = torch.eye(100)
AttentionExplorer.from_weights(weights, [f"w{place}" for place in range(100)])
"""


@pytest.mark.parametrize("kind", ["voila_page", "lab_page"])
def test_a_real_kernel_answers(kind, request, picture):
    page = request.getfixturevalue(kind)(MAKE)
    page.get_by_test_id("attention-map").wait_for(timeout=120_000)
    page.get_by_test_id("attention-cell-1-1").click()
    page.locator('[data-shown="0/1/1"]').wait_for(timeout=60_000)
    page.get_by_test_id("attention-map").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert page.locator(".course-status").inner_text() == "w1 (2) looks at w1 (2): 1.00."
    picture(page, f"attention_explorer_{kind}")
