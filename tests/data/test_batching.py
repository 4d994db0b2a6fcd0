from itertools import chain

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data.batching import LengthSortedBatchSampler, encode_pairs, make_batch, translation_loader
from course_lib.data.vocabulary import BEGIN, END, PADDING, UNKNOWN, Vocabulary

ids = st.integers(min_value=UNKNOWN + 3, max_value=50)
pairs_of_ids = st.lists(
    st.tuples(st.lists(ids, min_size=1, max_size=9), st.lists(ids, max_size=9)), min_size=1, max_size=6
)


def numbered_dataset(rows: int) -> Dataset:
    return Dataset.from_dict(
        {
            "source": [f"{row} " + "x " * (row * 7 % 11) for row in range(rows)],
            "target": [f"{row}" for row in range(rows)],
        }
    )


def loader_of(dataset: Dataset, **options):
    vocabulary = Vocabulary.build([*dataset["source"], *dataset["target"]])
    return vocabulary, translation_loader(dataset, vocabulary, vocabulary, **options)


def rows_read(vocabulary, loader) -> list[list[str]]:
    return [[vocabulary.decode(row) for row in batch.target_output] for batch in loader]


def test_a_batch_is_padded_and_masked():
    batch = make_batch([([5, 6, 7], [8]), ([9], [4, 5])])
    assert batch.source.tolist() == [[5, 6, 7], [9, PADDING, PADDING]]
    assert batch.source_is_word.tolist() == [[True, True, True], [True, False, False]]
    assert batch.target_input.tolist() == [[BEGIN, 8, PADDING], [BEGIN, 4, 5]]
    assert batch.target_output.tolist() == [[8, END, PADDING], [4, 5, END]]
    assert batch.target_is_word.tolist() == [[True, True, False], [True, True, True]]


def test_a_batch_of_one_pair_works():
    batch = make_batch([([5], [6])])
    assert len(batch) == 1
    assert batch.source.shape == (1, 1)


@given(pairs_of_ids)
def test_the_masks_give_every_sentence_back(pairs):
    batch = make_batch(pairs)
    for row, (source_ids, target_ids) in enumerate(pairs):
        assert batch.source[row][batch.source_is_word[row]].tolist() == source_ids
        assert batch.target_output[row][batch.target_is_word[row]].tolist() == [*target_ids, END]
        assert batch.target_input[row][batch.target_is_word[row]].tolist() == [BEGIN, *target_ids]
    assert (batch.source[~batch.source_is_word] == PADDING).all()
    assert (batch.target_output[~batch.target_is_word] == PADDING).all()


def test_a_batch_moves_to_another_device():
    batch = make_batch([([5], [6])]).to("meta")
    assert {batch.source.device.type, batch.target_is_word.device.type} == {"meta"}


def test_an_empty_source_sentence_is_refused_by_its_row():
    with pytest.raises(ValueError, match="Row 1 of the batch has an empty source sentence"):
        make_batch([([5], [6]), ([], [6])])
    dataset = Dataset.from_dict({"source": ["a", "b", " "], "target": ["a", "b", "c"]})
    vocabulary = Vocabulary.build(["a b c"])
    with pytest.raises(ValueError, match="Row 2 of the dataset has an empty source sentence"):
        encode_pairs(dataset, vocabulary, vocabulary)


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one sentence pair"):
        make_batch([])
    with pytest.raises(ValueError, match="no rows"):
        loader_of(numbered_dataset(0), batch_size=4)


def test_unknown_words_are_encoded_as_unknown():
    dataset = Dataset.from_dict({"source": ["a zebra"], "target": ["a"]})
    vocabulary = Vocabulary.build(["a"])
    assert encode_pairs(dataset, vocabulary, vocabulary) == [([4, UNKNOWN], [4])]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), max_size=90),
    st.integers(1, 7),
    st.integers(0, 3),
    st.booleans(),
)
def test_every_row_comes_once_in_an_epoch(lengths, batch_size, epoch, shuffle):
    sampler = LengthSortedBatchSampler(lengths, batch_size, shuffle=shuffle)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(chain(*batches)) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    assert all(len(batch) <= batch_size for batch in batches)


def test_drop_last_leaves_out_different_rows_in_different_epochs():
    sampler = LengthSortedBatchSampler([(row, row) for row in range(1, 31)], 4, drop_last=True)
    left_out = set()
    for epoch in range(10):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert {len(batch) for batch in batches} == {4}
        assert len(batches) == len(sampler) == 7
        left_out.add(frozenset(range(30)) - frozenset(chain(*batches)))
    assert len(left_out) > 5


def test_a_batch_holds_sentences_of_similar_length():
    lengths = [(1 + row * 37 % 50, 1) for row in range(1000)]
    sampler = LengthSortedBatchSampler(lengths, 10)
    spreads = [max(sources) - min(sources) for sources in ([lengths[row][0] for row in batch] for batch in sampler)]
    assert sum(spreads) / len(spreads) < 5  # an unsorted batch of 10 spreads over about 40


def test_batches_do_not_come_from_short_to_long():
    lengths = [(row + 1, 1) for row in range(200)]
    first_lengths = [lengths[batch[0]][0] for batch in LengthSortedBatchSampler(lengths, 10)]
    assert first_lengths != sorted(first_lengths)


def test_the_order_depends_on_seed_and_epoch_alone():
    dataset = numbered_dataset(50)
    vocabulary, loader = loader_of(dataset, batch_size=8, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        loader.batch_sampler.set_epoch(epoch)
        orders.append(rows_read(vocabulary, loader))
    torch.manual_seed(99)
    _, resumed = loader_of(dataset, batch_size=8, seed=3)
    resumed.batch_sampler.set_epoch(1)
    assert orders[0] == orders[2] != orders[1] == rows_read(vocabulary, resumed)
    assert rows_read(*loader_of(dataset, batch_size=8, seed=4)) != orders[0]


def test_iterating_leaves_torchs_random_numbers_alone():
    vocabulary, loader = loader_of(numbered_dataset(20), batch_size=8)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    rows_read(vocabulary, loader)
    assert torch.equal(torch.rand(3), expected)


def test_without_shuffling_the_rows_keep_their_order():
    vocabulary, loader = loader_of(numbered_dataset(20), batch_size=8, shuffle=False)
    assert list(chain(*rows_read(vocabulary, loader))) == [str(row) for row in range(20)]


@pytest.mark.parametrize(("option", "message"), [({"batch_size": 0}, "batch_size is 0"), ({"seed": -1}, "seed is -1")])
def test_impossible_settings_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        LengthSortedBatchSampler([(1, 1)], **{"batch_size": 2, **option})
