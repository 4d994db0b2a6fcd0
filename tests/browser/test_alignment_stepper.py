"""The stepper in a browser, without a server: what is seen at each step, by mouse and by keyboard, in both themes."""

import pytest

from course_lib.widgets import AlignmentStepper
from course_lib.widgets.decoding_steps import softmax

SOURCE = ["26", ".", "märz", "2036"]
ENERGIES = {
    "march": [0.2, -1.1, 3.9, 0.1],
    "26": [4.0, 0.5, -0.7, 0.2],
    ",": [1.1, 1.3, 0.2, 0.4],
    "2036": [0, 0, 1, 5],
}
ANNOTATIONS = [[0.9, -0.4, 0.1, 0.6], [-0.2, 0.3, -0.8, 0.1], [0.4, 0.9, 0.5, -0.7], [-0.6, -0.1, 0.7, 0.8]]
HOSTILE = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran=1'>",
    "&amp;",
    "\u202eright to left",
    "👩\u200d🔬",
]


def stepper():
    steps = [
        {"word": word, "probability": 0.97, "energies": row, "weights": softmax(row), "others": [("may", 0.02)]}
        for word, row in ENERGIES.items()
    ]
    return AlignmentStepper.from_steps(SOURCE, steps, ANNOTATIONS)


def weights_on(page, place=0):
    cells = page.get_by_test_id("alignment-stepper").nth(place).locator("[data-testid^=alignment-weight-]")
    return [float(text) for text in cells.all_inner_texts()]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_each_step_shows_its_numbers(bare_page, picture, audit, dark):
    widget = stepper()
    page = bare_page(widget, dark=dark)
    for number, step in enumerate(widget.decoding.steps):
        assert page.get_by_test_id("alignment-place").inner_text() == f"step {number + 1} of 4"
        assert page.get_by_test_id("alignment-word").inner_text() == step.word
        assert weights_on(page) == pytest.approx(step.weights, abs=5.1e-4)
        assert page.get_by_test_id("alignment-energy-0").inner_text() == f"{step.energies[0]:.2f}"
        if number < 3:
            page.get_by_test_id("alignment-next").click()
    assert page.get_by_test_id("alignment-next").get_attribute("aria-disabled") == "true"
    page.get_by_test_id("alignment-previous").click()
    page.locator("summary").click()
    sums = page.locator("[data-testid=alignment-table] tbody tr:last-child td").all_inner_texts()
    assert [float(text) for text in sums[2:]] == pytest.approx(widget.decoding.steps[2].context, abs=5.1e-4)
    audit(page)
    picture(page, f"alignment_stepper_{'dark' if dark else 'light'}")


def test_keys_slider_and_rows_move_it_and_two_do_not_disturb_each_other(bare_page):
    page = bare_page(stepper(), stepper())
    first = page.get_by_test_id("alignment-stepper").first
    place = first.get_by_test_id("alignment-place")
    first.get_by_test_id("alignment-next").focus()
    for key, expected in [("ArrowRight", 2), ("End", 4), ("ArrowRight", 4), ("ArrowLeft", 3), ("Home", 1)]:
        page.keyboard.press(key)
        assert place.inner_text() == f"step {expected} of 4"
    first.get_by_test_id("alignment-slider").focus()
    page.keyboard.press("ArrowRight")
    assert place.inner_text() == "step 2 of 4"
    assert "step 2 of 4" in first.get_by_test_id("alignment-slider").get_attribute("aria-valuetext")
    first.get_by_test_id("alignment-row-3").click()
    assert place.inner_text() == "step 4 of 4"
    assert page.get_by_test_id("alignment-place").nth(1).inner_text() == "step 1 of 4"
    assert page.evaluate("models[0].get('step')") == 3


def test_what_tokens_say_is_text_and_never_run(bare_page, picture):
    even = [1 / len(HOSTILE)] * len(HOSTILE)
    page = bare_page(AlignmentStepper.from_steps(HOSTILE, [{"word": word, "weights": even} for word in HOSTILE]))
    for _ in HOSTILE[1:]:
        page.get_by_test_id("alignment-next").click()
    assert page.evaluate("window.ran") is None
    assert page.locator(".course-widget script, .course-widget img").count() == 0
    assert page.get_by_text("‹U+202E›right", exact=False).count() > 0
    picture(page, "alignment_stepper_hostile")
