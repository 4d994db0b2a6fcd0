"""The chat in a browser, without a server: Enter sends, the prompt is seen, errors are told, nothing said is run."""

import pytest

from course_lib.widgets import ChatBox

HOSTILE = "<script>window.ran = 1</script> <img src=x onerror='window.ran=1'> &amp; \u202eright to left"


def echo(prompt):
    if "break" in prompt:
        raise RuntimeError("the model is out of order")
    return iter([f"I read {len(prompt)} signs. ", "You said: ", prompt.splitlines()[-2].removeprefix("User: ")])


@pytest.fixture
def chat(bare_page):
    def open_one(dark=False):
        page = bare_page(ChatBox(echo, title="A parrot"), dark=dark)
        page.say = lambda text: (page.get_by_test_id("chat-field").fill(text), page.keyboard.press("Enter"))
        return page

    return open_one


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_enter_sends_and_the_true_prompt_can_be_seen(chat, picture, audit, dark):
    page = chat(dark)
    page.say("What is a pen?")
    page.get_by_test_id("chat-turn-0").wait_for()
    page.say("And a box?")
    second = page.get_by_test_id("chat-turn-1")
    assert "You said: And a box?" in second.inner_text()
    assert "Prompt 21 words, reply" in page.get_by_test_id("chat-cost-1").inner_text()
    page.get_by_test_id("chat-cost-1").click()
    prompt = page.get_by_test_id("chat-prompt-1").inner_text()
    assert prompt.startswith("User: What is a pen?\nModel: I read")
    assert prompt.endswith("User: And a box?\nModel:")
    assert page.get_by_test_id("chat-field").input_value() == ""
    audit(page)
    picture(page, f"chat_box_{'dark' if dark else 'light'}")


def test_shift_enter_begins_a_line_and_an_empty_message_is_not_sent(chat):
    page = chat()
    page.say("  ")
    assert page.get_by_text("Type something first.").count() == 1
    page.get_by_test_id("chat-field").fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.get_by_test_id("chat-field").input_value() == "one\ntwo"
    page.get_by_test_id("chat-send").click()
    assert "one\ntwo" in page.get_by_test_id("chat-turn-0").inner_text()


def test_an_error_is_told_and_gives_the_message_back(chat):
    page = chat()
    page.say("please break")
    page.get_by_text("the model is out of order").wait_for()
    assert page.get_by_test_id("chat-field").input_value() == "please break"
    assert page.get_by_test_id("chat-turn-0").count() == 0


def test_clear_empties_it(chat):
    page = chat()
    page.say("hello")
    page.get_by_test_id("chat-turn-0").wait_for()
    page.get_by_test_id("chat-clear").click()
    page.get_by_text("Nothing was said yet.").wait_for()
    assert page.get_by_test_id("chat-turn-0").count() == 0


def test_what_is_said_is_text_and_never_run(chat):
    page = chat()
    page.say(HOSTILE)
    page.get_by_test_id("chat-turn-0").wait_for()
    assert page.evaluate("window.ran") is None
    assert page.locator(".course-widget script, .course-widget img").count() == 0
    assert "<script>window.ran = 1</script>" in page.get_by_test_id("chat-turn-0").inner_text()
    assert "‹U+202E›" in page.get_by_test_id("chat-turn-0").inner_text()


def test_a_kernel_that_is_gone_is_noticed(chat):
    page = chat()
    page.evaluate("models[0].send = () => {}")
    page.say("anybody there?")
    page.get_by_text("The kernel does not answer.").wait_for()
