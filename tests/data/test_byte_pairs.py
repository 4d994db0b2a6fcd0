import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from course_lib.data.byte_pairs import (
    BERT_TOKENS,
    END_OF_TEXT,
    bert_tokenizer,
    bytes_per_token,
    gpt_tokenizer,
    load_byte_pairs,
    save_byte_pairs,
    train_byte_pairs,
)

TEXTS = [
    "str.join(self, iterable, /)\nConcatenate any number of strings.",
    "str.split(self, /, sep=None)\nReturn a list of the substrings in the string, using sep as the separator string.",
    "list.append(self, object, /)\nAppend object to the end of the list.",
    "dict.get(self, key, default=None, /)\nReturn the value for key if key is in the dictionary, else default.",
] * 3
SIZE = 340
GPT = train_byte_pairs(TEXTS, SIZE)
BERT = train_byte_pairs(TEXTS, SIZE, BERT_TOKENS)
ANY_TEXT = st.text(max_size=200)


@given(ANY_TEXT)
@example("a\0b\x1b[0m\r\n\t\x7f")
@example("👩‍💻 Grüße, 你好, \u202e עברית")
@example("   leading,  double and trailing   \n\n    ")
@example(" <|endoftext|>  [MASK] [CLS]")
@example("don 't , stop . it's n't")
def test_any_text_comes_back_exactly(text):
    for tokenizer in (gpt_tokenizer(GPT), bert_tokenizer(BERT)):
        numbers = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(numbers) == text
        assert max(numbers, default=0) < len(tokenizer)


@given(ANY_TEXT)
def test_no_token_is_unknown(text):
    tokenizer = bert_tokenizer(BERT)
    plain = text.replace("[", "")
    assert tokenizer.unk_token_id not in tokenizer(plain)["input_ids"]


def test_the_vocabulary_is_special_tokens_then_bytes_then_merges():
    vocabulary = GPT.get_vocab()
    assert len(vocabulary) == SIZE
    assert vocabulary[END_OF_TEXT] == 0
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    assert all(len(token) == 1 for token in tokens[1:257])
    assert all(len(token) > 1 for token in tokens[257:])
    assert [BERT.token_to_id(token) for token in BERT_TOKENS] == [0, 1, 2, 3, 4]


def test_frequent_words_become_one_token_and_merges_save_tokens():
    assert len(GPT.encode(" string").ids) == 1
    assert bytes_per_token(GPT, TEXTS) > 2
    assert bytes_per_token(train_byte_pairs(TEXTS, 257), TEXTS) == 1


def test_tokens_never_span_two_words():
    for token in GPT.get_vocab():
        if token != END_OF_TEXT:
            assert "Ġ" not in token.lstrip("Ġ")


def test_the_same_texts_give_the_same_tokenizer(tmp_path):
    assert train_byte_pairs(iter(TEXTS), SIZE).to_str() == GPT.to_str()
    program = (
        "from pathlib import Path\nfrom tests_texts import TEXTS\n"
        "from course_lib.data.byte_pairs import *\n"
        "save_byte_pairs(train_byte_pairs(TEXTS, 340), Path('other'))"
    )
    (tmp_path / "tests_texts.py").write_text(f"TEXTS = {TEXTS!r}")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert load_byte_pairs(tmp_path / "other").to_str() == GPT.to_str()


def test_it_is_saved_and_loaded_unchanged(tmp_path):
    path = save_byte_pairs(BERT, tmp_path / "new" / "folder")
    assert path.name == "tokenizer.json"
    assert load_byte_pairs(path).to_str() == load_byte_pairs(path.parent).to_str() == BERT.to_str()


@pytest.mark.parametrize("wrap", [lambda: gpt_tokenizer(GPT, 64), lambda: bert_tokenizer(BERT, 64)])
def test_the_wrapped_one_is_saved_and_loaded_by_transformers(tmp_path, wrap):
    tokenizer = wrap()
    tokenizer.save_pretrained(tmp_path)
    for loaded in (PreTrainedTokenizerFast.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert loaded("Return a list.", "Or two.") == tokenizer("Return a list.", "Or two.")
        assert loaded.special_tokens_map == tokenizer.special_tokens_map
        assert loaded.model_max_length == 64
        text = " it 's  n't\n"
        assert loaded.decode(loaded(text, add_special_tokens=False)["input_ids"]) == text


def test_gpts_text_ends_where_it_says_so():
    tokenizer = gpt_tokenizer(GPT)
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == tokenizer.pad_token_id == 0
    assert tokenizer("Return")["input_ids"] == GPT.encode("Return").ids
    numbers = tokenizer(f"Return{END_OF_TEXT}")["input_ids"]
    assert numbers[-1] == 0
    assert tokenizer.decode(numbers, skip_special_tokens=True) == "Return"


def test_berts_texts_stand_between_their_marks():
    tokenizer = bert_tokenizer(BERT)
    one = tokenizer("Return a list.")
    pad, unknown, begin, end, mask = (BERT.token_to_id(token) for token in BERT_TOKENS)
    assert one["input_ids"] == [begin, *BERT.encode("Return a list.").ids, end]
    assert set(one["token_type_ids"]) == {0}
    two = tokenizer("Return a list.", "Or two.")
    assert two["input_ids"] == [*one["input_ids"], *BERT.encode("Or two.").ids, end]
    assert two["token_type_ids"] == [0] * len(one["input_ids"]) + [1] * (len(BERT.encode("Or two.").ids) + 1)
    assert tokenizer("a [MASK] b")["input_ids"].count(mask) == 1
    padded = tokenizer(["a", "Return a list."], padding=True)
    assert padded["input_ids"][0][-1] == tokenizer.pad_token_id == pad
    assert padded["attention_mask"][0][-1] == 0
    assert tokenizer.mask_token_id == mask
    assert tokenizer.unk_token_id == unknown


def test_wrapping_leaves_the_tokenizer_as_it_was():
    before = BERT.to_str()
    bert_tokenizer(BERT)("Return", padding="max_length", max_length=9)
    assert BERT.to_str() == before


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 257"):
        train_byte_pairs(TEXTS, 256)
    with pytest.raises(ValueError, match="expected distinct texts"):
        train_byte_pairs(TEXTS, 400, ("<a>", "<a>"))
    for nothing in ([], ["", ""]):
        with pytest.raises(ValueError, match="no text to train on"):
            train_byte_pairs(nothing, 400)
    with pytest.raises(ValueError, match=r"has no \[PAD\].*train it with special_tokens"):
        bert_tokenizer(GPT)
    with pytest.raises(ValueError, match="no text to measure"):
        bytes_per_token(GPT, [""])
    with pytest.raises(FileNotFoundError):
        load_byte_pairs(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_bytes(GPT.to_str().encode()[:-100] + b"\xff")
    with pytest.raises(ValueError, match="save it anew"):
        load_byte_pairs(tmp_path)


def test_few_texts_give_a_smaller_vocabulary():
    assert 257 <= Tokenizer.get_vocab_size(train_byte_pairs(["ab ab"], 4096)) < 270
