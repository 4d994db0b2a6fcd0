import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.vocabulary import BEGIN, END, MARKS, PADDING, UNKNOWN, Vocabulary

words = st.text(alphabet="abcdeä,3", min_size=1, max_size=4)
sentences = st.lists(words, max_size=8).map(" ".join)


def test_the_marks_have_the_first_four_numbers():
    vocabulary = Vocabulary.build(["b a b"])
    assert (PADDING, UNKNOWN, BEGIN, END) == (0, 1, 2, 3)
    assert vocabulary.tokens == (*MARKS, "b", "a")
    assert len(vocabulary) == 6


def test_the_most_frequent_word_comes_first_and_ties_are_alphabetical():
    assert Vocabulary.build(["c b a", "c"]).tokens[4:] == ("c", "a", "b")


def test_a_word_never_seen_is_unknown():
    vocabulary = Vocabulary.build(["ein haus"])
    assert vocabulary.encode("ein hut") == [vocabulary.tokens.index("ein"), UNKNOWN]
    assert vocabulary.decode(vocabulary.encode("ein hut")) == "ein <unknown>"


def test_rare_words_are_left_out():
    vocabulary = Vocabulary.build(["a a b"], minimum_count=2)
    assert "a" in vocabulary
    assert vocabulary.encode("b") == [UNKNOWN]


def test_the_maximum_size_counts_the_marks():
    assert len(Vocabulary.build(["a b c"], maximum_size=5)) == 5
    with pytest.raises(ValueError, match="maximum_size is 3; the marks alone take 4"):
        Vocabulary.build(["a"], maximum_size=3)


def test_a_word_spelled_like_a_mark_ends_no_sentence():
    vocabulary = Vocabulary.build(["a <end> b <end>"])
    assert "<end>" not in vocabulary.tokens[4:]
    assert vocabulary.encode("a <end>") == [vocabulary.tokens.index("a"), UNKNOWN]


def test_decoding_stops_at_the_end_and_drops_padding_and_begin():
    vocabulary = Vocabulary.build(["a b"])
    a, b = vocabulary.encode("a b")
    assert vocabulary.decode([BEGIN, a, PADDING, b, END, a]) == "a b"
    assert vocabulary.decode(torch.tensor([a, END, b])) == "a"


def test_a_number_outside_the_vocabulary_is_refused():
    with pytest.raises(IndexError, match=r"Number 9 is not in this vocabulary: it has the numbers 0 to 4\."):
        Vocabulary.build(["a"]).decode([9])
    with pytest.raises(IndexError, match="Number -1"):
        Vocabulary.build(["a"]).token_of(-1)


def test_one_string_instead_of_sentences_is_refused():
    with pytest.raises(TypeError, match="put it into a list"):
        Vocabulary.build("ein satz")


def test_repeated_words_and_marks_are_refused():
    with pytest.raises(ValueError, match="more than once: a"):
        Vocabulary(["a", "a"])
    with pytest.raises(ValueError, match="<end> cannot be a word"):
        Vocabulary(["<end>"])


@given(st.lists(sentences, max_size=5))
def test_known_sentences_survive_encoding_and_decoding(corpus):
    vocabulary = Vocabulary.build(corpus)
    for sentence in corpus:
        assert vocabulary.decode(vocabulary.encode(sentence)) == " ".join(sentence.split())


@given(st.lists(sentences, max_size=5))
def test_a_vocabulary_survives_json(corpus):
    vocabulary = Vocabulary.build(corpus)
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"marks": 3, "words": []}', '{"marks": ["<pad>"], "words": []}']
)
def test_other_text_is_no_vocabulary(text):
    with pytest.raises(ValueError, match="This is not a vocabulary"):
        Vocabulary.from_json(text)
