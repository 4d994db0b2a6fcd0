"""A chat shows the prompt that was really sent and what it cost; bad messages and replies are refused."""

import pytest

from course_lib.generation.turns import Counter, plain_prompt, take_turn
from course_lib.widgets import ChatBox
from course_lib.widgets.chat_box import readable


def count_words(prompt):
    return f"{len(prompt.split())} words"


class Bytes:
    def encode(self, text):
        return list(text.encode())


def asked(widget, **content):
    """What the page gets when it asks."""
    said = []
    widget.send = lambda message, buffers=None: said.append(message)
    widget._answer(widget, content, [])
    return said


def test_each_prompt_holds_the_turns_before_it():
    box = ChatBox(count_words).replay(["hello", "and now?"])
    assert [turn.reply for turn in box.turns] == ["3 words", "9 words"]
    assert box.turns[1].prompt == "User: hello\nModel: 3 words\nUser: and now?\nModel:"
    assert box.turns[1].prompt == plain_prompt(box.turns[:1], "and now?")


def test_an_own_prompt_builder_is_used_and_its_prompt_shown():
    box = ChatBox(count_words, lambda history, message: f"{len(history)}: {message}").replay(["a", "b"])
    assert [turn.prompt for turn in box.turns] == ["0: a", "1: b"]
    assert box.data["turns"][1]["prompt"] == "1: b"


def test_tokens_are_counted_with_a_tokenizer_and_words_without():
    turn = ChatBox(count_words, tokenizer=Bytes()).say("né")
    assert (turn.prompt_length, turn.reply_length) == (len("User: né\nModel:") + 1, len("3 words"))
    assert ChatBox(count_words).say("né").prompt_length == 3
    assert (Counter().unit, Counter(Bytes()).unit) == ("words", "tokens")


def test_pieces_are_shown_as_they_come_and_kept_as_one_reply():
    pieces = []
    turn = take_turn(
        (),
        "hi",
        reply=lambda prompt: iter(["Hel", "lo"]),
        prompt_builder=plain_prompt,
        count=Counter(),
        on_piece=pieces.append,
    )
    assert turn.reply == "Hello"
    assert pieces == ["Hel", "lo"]


def test_the_page_hears_that_the_kernel_began_then_the_pieces_then_the_answer():
    said = asked(ChatBox(lambda prompt: iter(["a", "\u202eb"])), ask="say", number="1", content={"message": "hi"})
    assert said == [{"began": True}, {"piece": "a"}, {"piece": "‹U+202E›b"}, {"answer": "1", "content": {}}]


def test_the_page_is_told_of_errors_and_the_turn_is_not_kept():
    def broken(prompt):
        raise RuntimeError("out of memory")

    box = ChatBox(broken)
    assert asked(box, ask="say", number="1", content={"message": "hi"})[-1]["error"] == "RuntimeError: out of memory"
    assert asked(box, ask="say", number="2", content={"message": " "})[-1]["error"].startswith("the message is empty")
    assert box.turns == ()


def test_clear_forgets_all():
    box = ChatBox(count_words).replay(["hello"])
    asked(box, ask="clear", number="1", content={})
    assert box.turns == ()
    assert box.data["turns"] == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"message": ""}, ValueError, "the message is empty"),
        ({"message": "x" * 20_001}, ValueError, "has 20,001 characters, at most 20,000"),
        ({"reply": lambda prompt: iter([7])}, TypeError, "reply must give text, whole or in pieces, got int"),
        ({"prompt_builder": lambda history, message: None}, TypeError, "must return the prompt as text, got NoneType"),
    ],
)
def test_what_cannot_be_is_refused(change, error, message):
    given = {"message": "hi", "reply": count_words, "prompt_builder": plain_prompt, "count": Counter(), **change}
    with pytest.raises(error, match=message):
        take_turn((), given.pop("message"), **given)


def test_functions_and_tokenizers_of_the_wrong_kind_are_refused_at_once():
    with pytest.raises(TypeError, match="reply must be a function, got str"):
        ChatBox("hello")
    with pytest.raises(TypeError, match=r"tokenizer needs a method encode\(text\), got int"):
        ChatBox(count_words, tokenizer=3)


def test_the_transcript_holds_all_texts_escaped_and_long_ones_cut():
    box = ChatBox(lambda prompt: "<script>alert(1)</script>\u200b" + "y" * 10_000).replay(["<b>&amp;"])
    html, text = box.static_html(), box.static_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;&amp;amp;" in html
    assert "‹U+200B›" in html
    assert "more characters)" in html
    assert len(html) < 8_000
    assert "<details><summary>The prompt of turn 1: 3 words" in html
    assert "You: <b>&amp;" in text
    assert "≈" in text


def test_new_lines_and_emoji_stay_as_they_are():
    assert readable("one\ntwo\t👩\u200d🔬\u202e") == "one\ntwo\t👩\u200d🔬‹U+202E›"
