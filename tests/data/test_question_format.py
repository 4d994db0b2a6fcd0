"""The one line that a text-to-text model reads: its form, its tokens, and what is cut when it is too long."""

import pytest

from course_lib.data.byte_pairs import train_byte_pairs
from course_lib.data.question_format import (
    MARKS,
    T5_TOKENS,
    encode_question,
    question_text,
    t5_tokenizer,
)

SHEET = "The currency of Chad is the Euro. In Chad, the week starts on Monday. The script of Peru is Latin."
HISTORY = [["What is the script of Peru?", "Latin"], ["And Chad?", "unknown"], ["And its currency?", "Euro"]]


@pytest.fixture(scope="module")
def tokenizer():
    return t5_tokenizer(train_byte_pairs([SHEET, "And its currency? unknown"], 400, T5_TOKENS))


def test_the_line_is_the_one_that_tryolabs_published():
    assert question_text("Sheet.", "And Peru?", [["A?", "a"], ["B?", "b"]]) == (
        "Sheet. || <Q2> A? <A2> a <Q1> B? <A1> b <Q> And Peru? <A>"
    )
    assert question_text("Sheet.", "First?") == "Sheet. || <Q> First? <A>"


def test_the_last_pairs_are_kept_and_the_nearest_is_number_one():
    line = question_text(SHEET, "And Peru?", HISTORY, last=1)
    assert line == f"{SHEET} || <Q1> And its currency? <A1> Euro <Q> And Peru? <A>"
    assert question_text(SHEET, "And Peru?", HISTORY, last=0) == f"{SHEET} || <Q> And Peru? <A>"
    assert "<Q3> What is the script of Peru? <A3> Latin <Q2>" in question_text(SHEET, "And Peru?", HISTORY, last=4)


def test_the_tokens_are_those_of_the_line(tokenizer):
    for last in (0, 1, 2, 4):
        line = question_text(SHEET, "And Peru?", HISTORY, last)
        assert encode_question(tokenizer, SHEET, "And Peru?", HISTORY, last) == tokenizer.encode(line)


def test_marks_are_single_tokens_and_a_name_is_the_same_wherever_it_stands(tokenizer):
    for mark in MARKS:
        assert len(tokenizer.encode(mark, add_special_tokens=False)) == 1
    alone = tokenizer.encode("Chad", add_special_tokens=False)
    behind_a_mark = tokenizer.encode("<A> Chad <Q>", add_special_tokens=False)
    assert behind_a_mark[1:-1] == alone
    assert tokenizer.pad_token_id == 0
    assert tokenizer.encode("Chad")[-1] == tokenizer.eos_token_id == 1
    assert tokenizer.decode(tokenizer.encode("Chad"), skip_special_tokens=True).strip() == "Chad"


def test_too_long_a_document_loses_its_end_and_the_question_nothing(tokenizer):
    whole = encode_question(tokenizer, SHEET, "And Peru?", HISTORY)
    tail = whole[whole.index(tokenizer.convert_tokens_to_ids("||")) :]
    for length in range(len(tail) + 1, len(whole) + 3):
        cut = encode_question(tokenizer, SHEET, "And Peru?", HISTORY, max_length=length)
        assert len(cut) == min(length, len(whole))
        assert cut[-len(tail) :] == tail
        assert cut[: -len(tail)] == whole[: len(cut) - len(tail)]


def test_cutting_the_line_from_the_right_would_lose_the_question(tokenizer):
    line = question_text(SHEET, "And Peru?", HISTORY)
    cut = tokenizer.encode(line, truncation=True, max_length=24)
    kept = encode_question(tokenizer, SHEET, "And Peru?", max_length=24)
    asked = tokenizer.convert_tokens_to_ids("<Q>")
    assert asked not in cut
    assert asked in kept


def test_a_question_longer_than_the_limit_is_refused(tokenizer):
    with pytest.raises(ValueError, match="leaves no room for the document within 8; shorten them"):
        encode_question(tokenizer, SHEET, "And what would you say of Peru, if I asked you?", max_length=8)


@pytest.mark.parametrize(
    ("context", "question", "history", "message"),
    [
        (" ", "And Peru?", [], "the context is empty"),
        (SHEET, "\n", [], "the question is empty"),
        (SHEET, "And <A> Peru?", [], "the question holds '<A>'"),
        ("one || two", "And Peru?", [], r"the context holds '\|\|'"),
        (SHEET, "And Peru?", [["", "x"]], "the history is empty"),
    ],
)
def test_empty_parts_and_marks_inside_of_them_are_refused(tokenizer, context, question, history, message):
    with pytest.raises(ValueError, match=message):
        encode_question(tokenizer, context, question, history)


def test_the_history_has_limits(tokenizer):
    with pytest.raises(ValueError, match="last must be from 0 to 4 pairs of the history, got 5"):
        question_text(SHEET, "And Peru?", HISTORY, last=5)


def test_unicode_and_markup_come_back_as_they_were(tokenizer):
    text = "Åland — <b>krónur</b> & 北京 🙂"
    tokens = encode_question(tokenizer, text, "Was ist das? ä")
    assert text in tokenizer.decode(tokens)


def test_a_tokenizer_without_the_marks_is_refused():
    with pytest.raises(ValueError, match=r"the tokenizer has no <pad>, .*train it with special_tokens=T5_TOKENS"):
        t5_tokenizer(train_byte_pairs([SHEET], 300))
