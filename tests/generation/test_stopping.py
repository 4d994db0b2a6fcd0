import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.byte_pairs import END_OF_TEXT, gpt_tokenizer, train_byte_pairs
from course_lib.generation.prefix_cache import PrefixReader
from course_lib.generation.stopping import StopWatch, TextOfTokens, cut_after_generation, cut_at
from course_lib.generation.writing import Answer, write

TOKENIZER = gpt_tokenizer(train_byte_pairs(["Human: AI: fine, thank you.\nHuman: yes\n"] * 9, 300))


class Scripted(PrefixReader):
    """In a model's place: says these tokens, whatever it is asked, and counts how often it was asked."""

    context_size = None

    def __init__(self, text, end=False):
        super().__init__(torch.nn.Identity())
        self.script = TOKENIZER(text)["input_ids"] + ([TOKENIZER.eos_token_id] if end else [])
        self.asked = 0

    def read(self, tokens):
        scores = torch.zeros(len(TOKENIZER))
        scores[self.script[self.asked % len(self.script)]] = 1
        self.asked += 1
        return scores

    def add(self, token):
        return self.read([token])


def written(reader, **options):
    answer = Answer()
    pieces = list(write(reader, TOKENIZER, [1], answer, **{"max_new_tokens": 200, **options}))
    assert "".join(pieces) == answer.text
    return answer, pieces


@given(st.text("ab:\n", max_size=30), st.lists(st.text("ab:\n", min_size=1, max_size=4), max_size=3), st.data())
def test_what_is_shown_is_what_cutting_afterwards_leaves_however_the_text_comes(text, stops, data):
    watch, shown, rest = StopWatch(stops), "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += watch.add(rest[:size])
        rest = rest[size:]
        assert not any(stop in shown for stop in stops)
    shown += watch.finish()
    assert shown == cut_at(text, stops).text
    assert watch.stopped == cut_at(text, stops).found


def test_a_stop_sequence_is_never_shown_in_part_and_ends_at_once():
    watch = StopWatch(["Human:"])
    assert watch.add("fine.\nHum") == "fine.\n"
    assert watch.add("our") == "Humour"
    assert watch.add(" Human") == " "
    assert watch.add(": yes") == ""
    assert watch.stopped
    assert watch.add("more") + watch.finish() == ""


@pytest.mark.parametrize("text", ["fine.\nHuman: yes", "fine.\n Human", "Hu", "né 日本 🙂\nHuman: x", ""])
def test_generation_stops_at_the_token_that_completes_a_stop_sequence(text):
    whole = text + " and so on" * 20
    reader = Scripted(whole)
    answer, _ = written(reader, stops=["Human:"])
    babble, _ = written(Scripted(whole))
    assert answer.text == cut_at(babble.text, ["Human:"]).text
    if "Human:" in text:
        assert answer.ended_by == "stop sequence"
        generated = TOKENIZER.decode(answer.tokens)
        assert "Human:" in generated
        assert "Human:" not in TOKENIZER.decode(answer.tokens[:-1])
        assert reader.asked == len(answer.tokens)


def test_a_stop_sequence_that_begins_within_a_token_cuts_within_it():
    tokens = TOKENIZER("thank")["input_ids"]
    assert len(tokens) < 3, "the test needs a token of several letters"
    answer, _ = written(Scripted("thank you"), stops=["ank"])
    assert answer.text == "th"


def test_tokens_of_the_stop_sequence_are_counted_as_thrown_away():
    answer, _ = written(Scripted("fine.\nHuman: yes"), stops=["\nHuman:"])
    kept = len(TOKENIZER("fine.")["input_ids"])
    assert answer.text == "fine."
    assert answer.tokens_beyond(len(answer.text)) == len(answer.tokens) - kept > 0


@given(st.text(max_size=20))
def test_pieces_are_whole_characters_and_together_the_text(text):
    tokens = TOKENIZER(text, split_special_tokens=True)["input_ids"]
    decoder = TextOfTokens(TOKENIZER)
    pieces = [decoder.add(token) for token in tokens]
    assert "".join(pieces) + decoder.finish() == TOKENIZER.decode(tokens)
    if "\ufffd" not in text:
        assert "\ufffd" not in "".join(pieces)


def test_an_unfinished_character_at_the_end_is_shown_as_such():
    answer, pieces = written(Scripted("a日"), max_new_tokens=len(TOKENIZER("a日")["input_ids"]) - 1)
    assert pieces[-1] == "\ufffd"
    assert answer.ended_by == "length"


def test_the_end_token_ends_an_answer_and_is_not_shown():
    answer, _ = written(Scripted("fine.", end=True))
    assert (answer.text, answer.ended_by) == ("fine.", "end token")
    assert answer.tokens[-1] == TOKENIZER.eos_token_id
    assert END_OF_TEXT not in answer.text


def test_what_was_held_back_is_shown_when_the_length_is_used_up():
    answer, _ = written(Scripted("fine Hu"), stops=["Human:"], max_new_tokens=len(TOKENIZER("fine Hu")["input_ids"]))
    assert (answer.text, answer.ended_by) == ("fine Hu", "length")


def test_whoever_stops_asking_keeps_what_came():
    answer = Answer()
    pieces = write(Scripted("fine, thank you."), TOKENIZER, [1], answer, max_new_tokens=100)
    first = next(pieces)
    pieces.close()
    assert (answer.text, answer.ended_by) == (first, "interruption")


def test_the_source_cuts_before_the_human_and_after_the_ais_title():
    assert cut_after_generation(" AI: fine.\n\nHuman: and you?\nAI: yes", "Human: ", "AI: ") == "fine."
    assert cut_after_generation("fine.\n", "Human: ", "AI: ") == "fine."


def test_bad_stop_sequences_are_refused():
    with pytest.raises(ValueError, match="a stop sequence is empty"):
        StopWatch(["a", ""])
    with pytest.raises(TypeError, match="give a sequence, such as"):
        StopWatch("Human:")
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1"):
        next(write(Scripted("a"), TOKENIZER, [1], Answer(), max_new_tokens=0))
