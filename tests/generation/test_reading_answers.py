"""Answers written token by token: the same with and without a cache, alone and in a batch, and as transformers'."""

import pytest
import torch
import transformers

from course_lib.generation.reading_answers import answer_tokens
from course_lib.models.long_t5 import LongT5, LongT5Config
from course_lib.models.long_t5_files import save_long_t5

CONFIG = LongT5Config(
    29, 16, 2, 2, heads=2, head_size=8, inner_size=24, block=8, summary_of=4, tied=True, scaled_output=True
)
INPUTS = [[5, 6, 7], list(range(2, 22)), [9] * 8, [3]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    made = LongT5(CONFIG)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def test_a_cache_changes_no_token(model):
    cached = answer_tokens(model, INPUTS, max_new_tokens=12)
    assert cached == answer_tokens(model, INPUTS, max_new_tokens=12, use_cache=False)
    assert len({tuple(answer) for answer in cached}) > 1


def test_neighbours_in_the_batch_change_no_token(model):
    together = answer_tokens(model, INPUTS, max_new_tokens=12)
    alone = [answer_tokens(model, [row], max_new_tokens=12)[0] for row in INPUTS]
    assert together == alone


def test_transformers_writes_the_same(model, tmp_path):
    save_long_t5(model, tmp_path)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    for row in INPUTS:
        written = theirs.generate(torch.tensor([row]), max_new_tokens=12, do_sample=False)[0, 1:].tolist()
        expected = written[: written.index(1)] if 1 in written else written
        assert answer_tokens(model, [row], max_new_tokens=12)[0] == expected


def test_it_stops_at_the_end_mark_and_streams_what_it_writes(model):
    streamed = [[] for _ in INPUTS]
    whole = answer_tokens(model, INPUTS, max_new_tokens=12, on_token=lambda row, token: streamed[row].append(token))
    assert streamed == whole
    first = whole[1][0]
    assert answer_tokens(model, INPUTS[1:2], max_new_tokens=12, end_token=first) == [[]]


def test_nothing_to_read_or_to_write_is_refused(model):
    with pytest.raises(ValueError, match="each input needs at least one token"):
        answer_tokens(model, [[1], []])
    with pytest.raises(ValueError, match="each input needs at least one token"):
        answer_tokens(model, [])
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        answer_tokens(model, INPUTS, max_new_tokens=0)
