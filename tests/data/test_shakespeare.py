import os

import pytest

from course_lib.data import mirror
from course_lib.data.shakespeare import load_shakespeare, split_letters


def test_a_text_is_split_and_comes_back():
    letters = split_letters("to be, or not to be")
    assert letters.alphabet == "".join(sorted(set("to be, or not to be")))
    assert (len(letters.train), len(letters.validation)) == (17, 2)
    assert letters.decode(letters.train.tolist()) + letters.decode(letters.validation.tolist()) == "to be, or not to be"
    assert letters.encode("bet").tolist() == [letters.alphabet.index(letter) for letter in "bet"]


def test_a_letter_outside_the_alphabet_is_named():
    with pytest.raises(ValueError, match="'z' is not in the text"):
        split_letters("to be, or not to be").encode("zeb")


def test_too_short_a_text_is_refused():
    with pytest.raises(ValueError, match="at least ten"):
        split_letters("to be")


def test_without_a_mirror_the_remedy_is_named(monkeypatch):
    monkeypatch.delenv(mirror.VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=mirror.VARIABLE):
        load_shakespeare()


@pytest.mark.mirror
@pytest.mark.skipif(not os.environ.get(mirror.VARIABLE), reason=f"{mirror.VARIABLE} does not name a data mirror")
def test_the_mirrors_text_is_the_published_one():
    letters = load_shakespeare()
    assert (len(letters.train), len(letters.validation)) == (1_003_854, 111_540)  # as nanoGPT prints
    assert len(letters.alphabet) == 65
    assert letters.decode(letters.train[:14].tolist()) == "First Citizen:"
