"""The lessons of a small reader: their order, their rows, and that a batch depends on the seed and its number alone."""

from random import Random

import pytest
import torch

from course_lib.data import reading_lessons
from course_lib.data.atlas_facts import countries
from course_lib.data.atlas_talk import Manner
from course_lib.data.byte_pairs import train_byte_pairs
from course_lib.data.question_format import GAPS, T5_TOKENS, t5_tokenizer
from course_lib.data.reading_lessons import COPIED, Lesson, ReadingLessons, collate
from course_lib.data.token_windows import token_stream

TEXTS = [f"Line {number}: the quick brown fox jumps over {number * 7} lazy dogs." for number in range(200)]


@pytest.fixture(scope="module")
def tokenizer():
    return t5_tokenizer(train_byte_pairs(TEXTS, 500, T5_TOKENS))


@pytest.fixture(scope="module")
def make(tokenizer):
    def make(*lessons, batches=40, tokens=1_500, seed=0):
        text = token_stream(tokenizer, TEXTS, tokenizer.eos_token_id)
        return ReadingLessons(tokenizer, countries(), text, lessons, batches, tokens, seed)

    return make


def rows_of(batch):
    for tokens, is_word, labels in zip(batch.tokens, batch.is_word, batch.labels, strict=True):
        yield tokens[is_word].tolist(), labels[labels >= 0].tolist()


def test_the_lessons_follow_one_another_by_their_shares(make):
    lessons = make(Lesson("first", 0.25), Lesson("second", 0.5), Lesson("third", 0.25))
    names = [lessons.lesson_of(number).name for number in range(40)]
    assert names == ["first"] * 10 + ["second"] * 20 + ["third"] * 10


def test_a_batch_depends_on_the_seed_and_its_number_alone(make):
    lesson = Lesson("all", 1.0, text=0.3, places=(1, 3), talk=0.5)
    one, again, other = make(lesson), make(lesson), make(lesson, seed=1)
    for number in (7, 3, 20):
        assert torch.equal(one[number].tokens, again[number].tokens)
        assert torch.equal(one[number].labels, again[number].labels)
    assert not torch.equal(one[3].tokens[:, :5][:4], other[3].tokens[:, :5][:4])


def test_a_repetition_repeats_and_every_row_ends(make, tokenizer):
    lessons = make(Lesson("repeating", 1.0, text=1.0, tasks=("repeat",)))
    for number in range(5):
        for tokens, answer in rows_of(lessons[number]):
            separator = tokens.index(tokenizer.convert_tokens_to_ids("||"))
            assert tokens[:separator] == answer[:-1]
            assert tokens[-1] == answer[-1] == tokenizer.eos_token_id


def test_a_copy_follows_two_given_tokens_in_the_text(make, tokenizer):
    lessons = make(Lesson("copying", 1.0, text=1.0, tasks=("copy",)))
    separator, question, answer_mark = tokenizer.convert_tokens_to_ids(["||", "<Q>", "<A>"])
    for tokens, answer in rows_of(lessons[2]):
        end = tokens.index(separator)
        assert tokens[end + 1] == question
        assert tokens[end + 4] == answer_mark
        asked, copied = tokens[end + 2 : end + 4], answer[:-1]
        assert len(copied) == COPIED
        places = [place for place in range(end) if tokens[place : place + 2] == asked]
        assert any(tokens[place + 2 : place + 2 + COPIED] == copied for place in places)


def test_gaps_and_their_contents_make_up_the_text(make, tokenizer):
    lessons = make(Lesson("gaps", 1.0, text=1.0, tasks=("gaps",)))
    gaps = tokenizer.convert_tokens_to_ids(list(GAPS))
    stream = lessons.text.tolist()
    for number in range(3):
        for tokens, answer in rows_of(lessons[number]):
            hidden, mark = {}, None
            for token in answer[:-1]:
                if token in gaps:
                    mark = token
                    hidden[mark] = []
                else:
                    hidden[mark].append(token)
            assert list(hidden) == gaps[: len(hidden)]
            whole = [each for token in tokens[:-1] for each in hidden.get(token, [token])]
            assert any(stream[first : first + len(whole)] == whole for first in range(len(stream) - len(whole) + 1))
            share = sum(map(len, hidden.values())) / len(whole)
            assert 0.02 < share < 0.4


def test_a_question_about_a_sheet_can_be_answered_from_its_row(make, tokenizer):
    lessons = make(Lesson("sheets", 1.0, places=(1, 2), manner=Manner(unknown=0.0, reverse=0.0)))
    for tokens, answer in rows_of(lessons[0]):
        text, said = tokenizer.decode(tokens), tokenizer.decode(answer, skip_special_tokens=True).strip()
        assert said
        assert said in text.split("||")[0]
        assert text.rstrip().endswith("<A></s>")


def test_a_talk_brings_its_history_and_no_more_than_asked(make, tokenizer):
    for last in (1, 2):
        lesson = Lesson("talk", 1.0, places=(2, 3), talk=1.0, last=(last,), manner=Manner(follow_up=1.0))
        texts = [tokenizer.decode(tokens) for tokens, _ in rows_of(make(lesson)[4])]
        assert any(f"<Q{last}>" in text for text in texts)
        assert not any(f"<Q{last + 1}>" in text for text in texts)


def test_only_countries_of_the_train_split_and_invented_ones_are_read(make, tokenizer):
    lessons = make(Lesson("sheets", 1.0, places=(2, 3), invented=0.3))
    texts = " ".join(tokenizer.decode(tokens) for number in range(10) for tokens, _ in rows_of(lessons[number]))
    for name in countries().subjects["test"]:
        assert f"official language of {name} " not in texts
        assert f"week in {name} " not in texts


def test_no_sheet_has_two_subjects_of_one_name(make, monkeypatch):
    monkeypatch.setattr(reading_lessons, "invented_name", lambda random: random.choice(["Ala", "Bori", "Cemi"]))
    lesson = Lesson("sheets", 1.0, places=(3, 3), invented=1.0)
    lessons = make(lesson)
    for seed in range(50):
        assert sorted(lessons._subjects(3, lesson, Random(seed))) == ["Ala", "Bori", "Cemi"]


def test_batches_of_long_and_of_short_sheets_have_about_as_many_tokens(make):
    sizes = {}
    for places in (1, 3, 6):
        lessons = make(Lesson("sheets", 1.0, places=(places, places), invented=0.0), tokens=8_000)
        sizes[places] = sum(int(lessons[number].is_word.sum()) for number in range(4))
        assert max(row.sum() for row in lessons[0].is_word) > 60 * places
    assert max(sizes.values()) < 1.5 * min(sizes.values())


def test_rows_are_padded_at_the_end_and_padding_is_not_asked():
    batch = collate([([5, 6, 7], [8]), ([5], [8, 9])], pad_token=0)
    assert batch.tokens.tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch.is_word.tolist() == [[True] * 3, [True, False, False]]
    assert batch.labels.tolist() == [[8, -100], [8, 9]]


def test_bad_arguments_are_named(make):
    with pytest.raises(ValueError, match=r"shares of all batches must add up to 1, got \[0.5\]"):
        make(Lesson("half", 0.5))
    with pytest.raises(IndexError, match="there are 40 batches, got number 40"):
        make(Lesson("all", 1.0))[40]
    with pytest.raises(ValueError, match="a lesson's tasks are some of repeat, copy, gaps, got 'sing'"):
        Lesson("song", 1.0, tasks=("sing",))
