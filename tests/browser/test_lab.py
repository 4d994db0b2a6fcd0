"""Do the widgets work in JupyterLab and in Voilà, with a real kernel? Two on a page, and in the dark."""

import pytest

STEPPER = """
from course_lib.widgets import AlignmentStepper
AlignmentStepper.from_steps(["drei", "märz"], [
    {"word": "march", "weights": [0.1, 0.9], "probability": 0.8},
    {"word": "3", "weights": [0.95, 0.05], "probability": 0.9},
])
"""
CHAT = """
from course_lib.widgets import ChatBox
import time

def reply(prompt):
    for word in ["I ", "read ", f"{len(prompt)} signs."]:
        time.sleep(0.1)
        yield word

box = ChatBox(reply)
box
"""


@pytest.fixture(params=["voila", "lab"])
def open_cells(request):
    return request.getfixturevalue(f"{request.param}_page")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_two_widgets_on_a_page_work_with_their_kernel(open_cells, picture, audit, request, dark):
    page = open_cells(STEPPER, CHAT, dark=dark)
    page.get_by_test_id("alignment-next").click()
    assert page.get_by_test_id("alignment-word").inner_text() == "3"
    page.keyboard.press("ArrowLeft")
    assert page.get_by_test_id("alignment-word").inner_text() == "march"
    field = page.get_by_test_id("chat-field")
    field.fill("one")
    page.keyboard.press("Shift+Enter")  # in JupyterLab this would run the cell, were it not told to keep out
    page.keyboard.type("two")
    assert field.input_value() == "one\ntwo"
    page.keyboard.press("Enter")
    turn = page.get_by_test_id("chat-turn-0")
    turn.wait_for()
    assert "signs." in turn.inner_text()
    audit(page)
    picture(page, f"two_widgets_{request.node.callspec.id}")


@pytest.mark.slow
def test_a_kernel_that_died_is_noticed(lab_page):
    page = lab_page(CHAT)
    page.get_by_test_id("chat-field").wait_for()
    page.expected_errors += ["kernel", "Kernel", "Canceled", "disposed", "websocket", "WebSocket"]
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.get_by_test_id("chat-field").fill("anybody there?")
    page.keyboard.press("Enter")
    page.get_by_text("The kernel does not answer.").wait_for()
