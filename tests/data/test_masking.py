"""Which words are hidden, and how: BERT's 15 % and 80/10/10, drawn anew or once."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from course_lib.data.byte_pairs import BERT_TOKENS, bert_tokenizer, gpt_tokenizer, train_byte_pairs
from course_lib.data.masking import (
    NOT_ASKED,
    DynamicMasking,
    MaskedBatch,
    MaskingRule,
    StaticMasking,
    mask_words,
    padded,
    shares_of,
)
from course_lib.training.data_order import BatchStream, DataPosition

PAD, CLASSIFY, SEPARATE, MASK = 0, 2, 3, 4
RULE = MaskingRule(mask_token=MASK, vocabulary_size=60, special_tokens=(0, 1, 2, 3, 4))
ROWS = [torch.randint(5, 60, (length,), generator=torch.Generator().manual_seed(length)) for length in (9, 30, 21, 30)]


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def chi_square(counts, shares):
    total = sum(counts)
    return sum((count - total * share) ** 2 / (total * share) for count, share in zip(counts, shares, strict=True))


def test_of_many_words_15_percent_are_chosen_and_treated_80_10_10():
    tokens = torch.randint(5, 60, (400, 100), generator=seeded())
    batch = mask_words(tokens, RULE, seeded(1))
    shares = shares_of(batch, RULE, tokens)
    assert shares["chosen"] == 0.15
    # A random word is the right one in one of 55 cases, and then counts as kept.
    expected = {"masked": 0.8, "random": 0.1 * 54 / 55, "kept": 0.1 + 0.1 / 55}
    number = 400 * 15
    assert chi_square([shares[fate] * number for fate in expected], list(expected.values())) < 18.4  # p = 1e-4
    for fate, share in expected.items():
        assert shares[fate] == pytest.approx(share, abs=0.02)


def test_every_place_is_as_likely_to_be_chosen_and_every_word_to_replace():
    tokens = torch.full((4_000, 20), 7)
    batch = mask_words(tokens, MaskingRule(MASK, 15, (0, 1, 2, 3, 4), masked=0.0, random=1.0), seeded())
    at_place = (batch.labels != NOT_ASKED).sum(0).tolist()
    assert chi_square(at_place, [1 / 20] * 20) < 52.4  # 19 degrees of freedom, p = 5e-5
    replacements = batch.tokens[batch.labels != NOT_ASKED].bincount(minlength=15).tolist()
    assert replacements[:5] == [0] * 5
    assert chi_square(replacements[5:], [1 / 10] * 10) < 36  # 9 degrees of freedom, p = 4e-5


@given(
    st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=25), min_size=1, max_size=6),
    st.floats(0.01, 1),
    st.integers(0, 1000),
)
def test_only_words_are_hidden_and_the_labels_give_them_back(rows, share, seed):
    tokens, _ = padded([torch.tensor(row) for row in rows], PAD)
    rule = MaskingRule(MASK, 60, (0, 1, 2, 3, 4), share)
    before = tokens.clone()
    batch = mask_words(tokens, rule, seeded(seed))
    assert torch.equal(tokens, before)
    asked = batch.labels != NOT_ASKED
    assert torch.equal(torch.where(asked, batch.labels, batch.tokens), tokens)
    assert not asked[tokens < 5].any()
    for row, word_count in zip(asked, (tokens >= 5).sum(1).tolist(), strict=True):
        assert int(row.sum()) == min(word_count, max(1, round(word_count * share)))
    assert ((batch.tokens >= 5) | (batch.tokens == MASK))[asked].all()


def test_a_row_without_words_has_nothing_to_guess():
    batch = mask_words(torch.tensor([[CLASSIFY, SEPARATE, PAD]]), RULE)
    assert (batch.labels == NOT_ASKED).all()
    with pytest.raises(ValueError, match="no word was chosen"):
        shares_of(batch, RULE, batch.tokens)


def test_dynamic_masking_hides_other_words_at_each_reading():
    collate = DynamicMasking(RULE)
    first, second = collate(ROWS), collate(ROWS)
    assert not torch.equal(first.labels, second.labels)
    assert first.is_word is not None
    assert first.is_word.sum(1).tolist() == [9, 30, 21, 30]
    assert (first.labels[~first.is_word] == NOT_ASKED).all()
    assert (first.tokens[~first.is_word] == PAD).all()
    assert collate(ROWS[1::2]).is_word is None


def test_dynamic_masking_repeats_after_a_resume_and_differs_between_epochs():
    loader = DataLoader(ROWS, batch_size=2, shuffle=True, collate_fn=DynamicMasking(RULE))

    def read(start, count, seed=0):
        return [batch.tokens for batch in itertools.islice(BatchStream(loader, seed, start), count)]

    whole = read(DataPosition(), 6)
    for number, resumed in enumerate(read(DataPosition(1, 1), 3), 3):
        assert torch.equal(resumed, whole[number])
    alone = DataLoader(ROWS[1:2], collate_fn=DynamicMasking(RULE))
    epochs = [batch.tokens for batch in itertools.islice(BatchStream(alone, 0, DataPosition()), 2)]
    assert not torch.equal(*epochs)


def test_static_masking_hides_the_same_words_at_each_reading():
    rows = StaticMasking(ROWS, RULE, seed=3)
    again = StaticMasking(ROWS, RULE, seed=3)
    for number in (2, 0, 1, 3, 1):
        torch.manual_seed(number)  # the global generator has no say
        assert all(map(torch.equal, rows[number], again[number]))
        torch.rand(3)
        assert all(map(torch.equal, rows[number], rows[number]))
    assert all(map(torch.equal, rows[-1], rows[3]))
    others = StaticMasking(ROWS, RULE, seed=4)
    assert any(not torch.equal(rows[number][1], others[number][1]) for number in range(4))
    # Equal texts at different places are hidden differently.
    twins = StaticMasking([ROWS[1]] * 2, RULE)
    assert not torch.equal(twins[0][1], twins[1][1])


def test_static_rows_are_collated_with_padding_that_asks_nothing():
    rows = StaticMasking(ROWS, RULE)
    (batch,) = DataLoader(rows, batch_size=4, collate_fn=rows.collate)
    assert isinstance(batch, MaskedBatch)
    assert batch.tokens.shape == batch.labels.shape == (4, 30)
    assert batch.is_word is not None
    assert (batch.labels[~batch.is_word] == NOT_ASKED).all()
    assert len(list(rows)) == 4


def test_the_rule_is_read_from_a_tokenizer():
    texts = ["Return a list of the words in the string."] * 3
    tokenizer = bert_tokenizer(train_byte_pairs(texts, 280, BERT_TOKENS))
    rule = MaskingRule.of(tokenizer, share=0.3)
    assert rule == MaskingRule(MASK, len(tokenizer), (0, 1, 2, 3, 4), 0.3, 0.8, 0.1)
    with pytest.raises(ValueError, match="has no mask token"):
        MaskingRule.of(gpt_tokenizer(train_byte_pairs(texts, 280)))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"share": 0.0}, "share must be above 0"),
        ({"share": 1.5}, "share must be above 0"),
        ({"masked": 0.8, "random": 0.3}, "may not exceed 1 together"),
        ({"masked": -0.1}, "may not exceed 1 together"),
        ({"mask_token": 60}, "from 0 to 59"),
        ({"special_tokens": tuple(range(60))}, "no word to hide"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(wrong, told):
    rule = {"mask_token": MASK, "vocabulary_size": 60, "special_tokens": (0, 1, 2, 3, 4)} | wrong
    with pytest.raises(ValueError, match=told):
        MaskingRule(**rule)


def test_padding_that_counts_as_a_word_and_an_empty_batch_are_refused():
    with pytest.raises(ValueError, match="must be one of the special tokens"):
        DynamicMasking(RULE, pad_token=9)
    with pytest.raises(ValueError, match="at least one row"):
        DynamicMasking(RULE)([])
    with pytest.raises(IndexError):
        StaticMasking(ROWS, RULE)[4]
