import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.words import is_punctuation, tokenise


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Montag, 3. März 2025", ["montag", ",", "3", ".", "märz", "2025"]),
        ("Guinea-Bissau", ["guinea-bissau"]),
        ("Côte d’Ivoire", ["côte", "d’ivoire"]),
        ("3\u00a0kilomètres", ["3", "kilomètres"]),
        ("Bosnia & Herzegovina", ["bosnia", "&", "herzegovina"]),
        ("- a -", ["-", "a", "-"]),
        ("\u200fالأحد،", ["الأحد", "،"]),
        ("हिन्दी", ["हिन्दी"]),
        ("", []),
    ],
)
def test_words_and_punctuation_become_tokens(text, tokens):
    assert tokenise(text) == tokens


def test_turkish_keeps_its_two_letters_i_apart():
    assert tokenise("Irak İran", "tr") == ["ırak", "iran"]


def test_one_mark_is_punctuation_and_one_letter_is_a_word():
    assert is_punctuation(",")
    assert is_punctuation("،")
    assert not is_punctuation("y")
    assert not is_punctuation("3")


@given(st.text(max_size=30))
def test_tokens_hold_no_space_and_lose_no_letter(text):
    tokens = tokenise(text)
    assert all(token and not any(character.isspace() for character in token) for token in tokens)
    assert sum(map(str.isalnum, "".join(tokens))) == sum(map(str.isalnum, "".join(tokenise(" ".join(tokens)))))
    assert tokenise(" ".join(tokens)) == tokens
