import pytest
import torch

from course_lib.evaluation.heads import share_at_offset

IS_WORD = torch.tensor([[True, True, True], [True, True, False]])


def weights_that_look(offset):
    """One head that looks `offset` places further wherever there is a place, and one that looks everywhere alike."""
    looks = torch.zeros(2, 2, 3, 3)
    for place in range(3):
        if 0 <= place + offset < 3:
            looks[:, 0, place, place + offset] = 1.0
    looks[:, 1] = 1 / 3
    return looks


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_a_head_that_looks_there_has_all_its_weight_there_and_an_even_one_its_share(offset):
    shares = share_at_offset(weights_that_look(offset), IS_WORD, offset)
    torch.testing.assert_close(shares, torch.tensor([1.0, 1 / 3]))
    elsewhere = 0 if offset else 1
    assert share_at_offset(weights_that_look(offset), IS_WORD, elsewhere)[0] == 0


def test_padding_counts_neither_as_the_one_who_looks_nor_as_what_is_looked_at():
    looks = torch.zeros(1, 1, 3, 3)
    looks[0, 0, 0, 1], looks[0, 0, 1, 2], looks[0, 0, 2, 1] = 0.5, 1.0, 1.0
    is_word = torch.tensor([[True, True, False]])
    assert share_at_offset(looks, is_word, 1).tolist() == [0.5]
    assert share_at_offset(looks, is_word, -1).tolist() == [0.0]


@pytest.mark.parametrize("offset", [2, 3, -5])
def test_an_offset_that_no_word_has_is_refused(offset):
    with pytest.raises(ValueError, match="longer sentences"):
        share_at_offset(torch.ones(1, 1, 3, 3), torch.tensor([[True, True, False]]), offset)
