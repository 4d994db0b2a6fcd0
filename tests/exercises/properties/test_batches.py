"""A sentence's answer does not depend on what is beside it: in encoders, attention and losses, right and wrong."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from course_lib.exercises.failures import AnswerRaised
from course_lib.exercises.properties.batches import (
    batch_of_one_equals_batch,
    padding_changes_nothing,
    permutation_equivariance,
    row_of,
)
from course_lib.exercises.properties.mistakes import equals, ignores_padding_mask

torch.manual_seed(0)
GRU = torch.nn.GRU(3, 4, batch_first=True, bidirectional=True)


def example(lengths, seed=0):
    words = torch.randn(len(lengths), max(lengths), 3, generator=torch.Generator().manual_seed(seed))
    return {"words": words, "lengths": torch.tensor(lengths)}


EXAMPLES = [example([5, 2, 4]), example([2]), example([1, 3])]


def pad(given, places):
    return {**given, "words": F.pad(given["words"], (0, 0, 0, places), value=0.7)}


def states(words, lengths):
    """Packed, so that the backward direction begins at the last word."""
    packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(GRU(packed)[0], batch_first=True, total_length=words.shape[1])[0]


def unpacked_states(words, lengths):
    return GRU(words)[0]


def cut_states(output, given):
    return output[:, : given["words"].shape[1]]


def test_a_packed_encoder_does_not_see_more_padding():
    padding_changes_nothing(states, EXAMPLES, pad=pad, unpad=cut_states)


def test_an_encoder_that_reads_padding_is_shown_with_the_smallest_example_and_padding(failure_of):
    unpacked = equals("not_packed", unpacked_states)
    failure = failure_of(
        padding_changes_nothing, unpacked_states, EXAMPLES, pad=pad, unpad=cut_states, mistakes=[unpacked]
    )
    assert failure.failed == "more padding changes nothing"
    assert failure.found.startswith("with 1 more place of padding, [0, ")
    assert failure.found.endswith("(without the padding)")
    assert failure.mistake == "not_packed"
    assert {name: list(value.shape) for name, value in failure.example.items()} == {
        "words": [1, 2, 3],
        "lengths": [1],
        "padded words": [1, 3, 3],
    }
    assert failure.answer["without"].shape == failure.answer["with padding"].shape == (1, 2, 8)
    assert not torch.allclose(failure.answer["without"], failure.answer["with padding"])


def mean_loss(losses, is_word):
    return losses[is_word].mean()


LOSSES = [
    {"losses": torch.rand(2, 4, generator=torch.Generator().manual_seed(1)), "is_word": torch.ones(2, 4).bool()},
    {"losses": torch.tensor([[1.0, 2.0]]), "is_word": torch.tensor([[True, False]])},
]


def pad_losses(given, places):
    return {"losses": F.pad(given["losses"], (0, places), value=9.0), "is_word": F.pad(given["is_word"], (0, places))}


def test_a_loss_over_words_does_not_count_padding(failure_of):
    padding_changes_nothing(mean_loss, LOSSES, pad=pad_losses)
    padding_changes_nothing(lambda losses, is_word: mean_loss(losses, is_word).item(), LOSSES, pad=pad_losses)
    counts_padding = lambda losses, is_word: losses.mean()  # noqa: E731
    mistakes = [equals("padding_counted", counts_padding)]
    failure = failure_of(padding_changes_nothing, counts_padding, LOSSES, pad=pad_losses, mistakes=mistakes)
    assert failure.found == "with 1 more place of padding, 4 instead of 1.5 (without the padding)"
    assert failure.mistake == "padding_counted"
    assert failure.example["padded is_word"].tolist() == [[True, False, False]]


def test_padding_that_dilutes_is_seen_only_with_more_of_it(failure_of):
    # A bug in the window of three places: one more place of padding is not yet in it.
    window = lambda losses, is_word: losses[:, :3].sum()  # noqa: E731
    examples = [{"losses": torch.tensor([[1.0]]), "is_word": torch.tensor([[True]])}]
    pad_with_zero_then_nine = lambda given, places: {  # noqa: E731
        "losses": torch.cat([given["losses"], torch.zeros(1, 1), torch.full((1, places - 1), 9.0)], 1),
        "is_word": F.pad(given["is_word"], (0, places)),
    }
    found = failure_of(padding_changes_nothing, window, examples, pad=pad_with_zero_then_nine).found
    assert found == "with 3 more places of padding, 10 instead of 1 (without the padding)"


@pytest.mark.parametrize("answer", [None, 0.5, "x", (1, 2), torch.tensor(0.5), {"a": 1}])
def test_answers_that_cannot_be_cut_fail_clearly(answer, failure_of):
    constant = lambda words, lengths: answer  # noqa: E731
    for failure in (
        failure_of(padding_changes_nothing, constant, EXAMPLES, pad=pad, unpad=cut_states),
        failure_of(
            permutation_equivariance,
            constant,
            EXAMPLES,
            permute=lambda given, order: given,
            length=lambda given: given["words"].shape[1],
            permute_output=lambda output, order: output[:, order],
        ),
    ):
        nothing = "expected tensors, numbers or words, got ", "the answer has not the form asked for: got "
        assert failure.found.startswith(nothing)
        assert type(failure.answer) is type(answer)


def test_nan_is_told_as_such(failure_of):
    nan = lambda words, lengths: (words * torch.nan, 1)  # noqa: E731
    for failure in (
        failure_of(padding_changes_nothing, nan, EXAMPLES, pad=pad),
        failure_of(batch_of_one_equals_batch, nan, EXAMPLES, batched=["words", "lengths"]),
    ):
        assert (failure.found, failure.mistake) == ("there is NaN in the result", "nan")


def test_an_error_only_with_padding_comes_with_the_padded_example():
    def picky(words, lengths):
        if words.shape[1] > lengths.max():
            raise ValueError("too much padding")
        return words

    with pytest.raises(AnswerRaised, match="too much padding") as raised:
        padding_changes_nothing(picky, EXAMPLES, pad=pad)
    assert raised.value.example["words"].shape == (1, 3, 3)


def test_a_function_that_hands_out_the_same_tensor_is_compared_as_it_was(failure_of):
    buffer = torch.zeros(1)

    def counts_padding(losses, is_word):
        return buffer.copy_(losses.mean())

    assert "instead of" in failure_of(padding_changes_nothing, counts_padding, LOSSES, pad=pad_losses).found


def trim(given):
    return {**given, "words": given["words"][:, : given["lengths"].max()]}


def test_a_packed_encoder_gives_each_sentence_its_own_states():
    batch_of_one_equals_batch(states, EXAMPLES, batched=["words", "lengths"], trim=trim, unpad=cut_states)


def test_an_encoder_that_reads_padding_differs_alone(failure_of):
    failure = failure_of(
        batch_of_one_equals_batch,
        unpacked_states,
        EXAMPLES,
        batched=["words", "lengths"],
        trim=trim,
        unpad=cut_states,
        mistakes=[equals("not_packed", unpacked_states)],
    )
    assert failure.found.startswith("row 0 of the batch, [0, 0, ")  # of the lengths 1 and 3, the first is padded
    assert failure.found.endswith("(alone)")
    assert failure.mistake == "not_packed"
    assert {name: list(value.shape) for name, value in failure.example.items()} == {
        "words": [2, 3, 3],
        "lengths": [2],
        "words alone": [1, 1, 3],
        "lengths alone": [1],
    }
    assert failure.answer["alone"].shape == failure.answer["in the batch"].shape == (1, 1, 8)


def test_answers_of_several_parts_are_taken_apart_by_row(failure_of):
    def both_parts(words, lengths):
        return {"states": states(words, lengths), "ends": (states(words, lengths)[:, 0], lengths)}

    unpad = lambda output, given: {**output, "states": cut_states(output["states"], given)}  # noqa: E731
    batch_of_one_equals_batch(both_parts, EXAMPLES, batched=["words", "lengths"], trim=trim, unpad=unpad)

    def leaks(words, lengths):
        return {"states": words, "ends": (words[:, 0].sum(0, keepdim=True).expand(len(words), 3), lengths)}

    failure = failure_of(batch_of_one_equals_batch, leaks, EXAMPLES, batched=["words", "lengths"])
    assert "['ends'][0][0, " in failure.found


def test_sentences_of_words_have_rows_too(failure_of):
    examples = [{"sentences": [["a", "b"], ["c"]], "upper": True}]
    right = lambda sentences, upper: [" ".join(words) for words in sentences]  # noqa: E731
    batch_of_one_equals_batch(right, examples, batched=["sentences"])
    numbered = lambda sentences, upper: [f"{index} {len(sentences)}" for index, _ in enumerate(sentences)]  # noqa: E731
    failure = failure_of(batch_of_one_equals_batch, numbered, examples, batched=["sentences"])
    assert failure.found == "row 0 of the batch, [0]: the str '0 2' instead of the str '0 1' (alone)"
    assert failure.example == {"sentences": [["a", "b"], ["c"]], "upper": True, "sentences alone": [["a", "b"]]}


def test_an_answer_that_forgets_the_batch_fails_clearly(failure_of):
    total = lambda words, lengths: words.sum()  # noqa: E731
    failure = failure_of(batch_of_one_equals_batch, total, EXAMPLES, batched=["words", "lengths"])
    assert failure.found == "expected a row for each of the batch (1), got a float32 tensor of shape []"


def test_a_row_along_another_axis_can_be_asked_for():
    time_first = lambda words, lengths: states(words, lengths).transpose(0, 1)  # noqa: E731

    def row(value, index):
        is_states = value.dim() == 3 and value.shape[2] == 8
        return value[:, index : index + 1] if is_states else row_of(value, index)

    unpad = lambda output, given: output[: given["words"].shape[1]]  # noqa: E731
    batch_of_one_equals_batch(time_first, EXAMPLES, batched=["words", "lengths"], trim=trim, unpad=unpad, row=row)


ATTENTION = {
    "energies": torch.tensor([[0.3, 1.0, -1.0, 2.0]]),
    "is_word": torch.tensor([[True, True, True, False]]),
}
SMALL = {"energies": torch.tensor([[0.3, 1.0]]), "is_word": torch.tensor([[True, False]])}
ORDERED = {
    "permute": lambda given, order: {name: value[:, order] for name, value in given.items()},
    "length": lambda given: given["energies"].shape[1],
    "permute_output": lambda output, order: output[:, order],
}


def masked_softmax(energies, is_word):
    return energies.masked_fill(~is_word, -torch.inf).softmax(-1)


def test_attention_does_not_know_the_order(failure_of):
    permutation_equivariance(masked_softmax, [ATTENTION, SMALL], **ORDERED)
    knows_place = lambda energies, is_word: masked_softmax(energies + torch.arange(energies.shape[1]), is_word)  # noqa: E731
    failure = failure_of(
        permutation_equivariance, knows_place, [ATTENTION], **ORDERED, mistakes=[equals("knows_place", knows_place)]
    )
    assert failure.found.startswith("in the order [1, 0, 2, 3], [0, ")
    assert failure.mistake == "knows_place"
    assert failure.example["order"].tolist() == [1, 0, 2, 3]
    assert failure.example["energies"] is ATTENTION["energies"]


def test_a_mask_that_belongs_to_the_first_places_is_caught_by_two_of_them(failure_of):
    first_places = lambda energies, is_word: masked_softmax(energies, is_word.sort(-1, descending=True).values)  # noqa: E731
    failure = failure_of(
        permutation_equivariance,
        first_places,
        [ATTENTION, SMALL],
        **ORDERED,
        mistakes=[ignores_padding_mask("unused", "is_word")],
    )
    assert failure.example["energies"] is SMALL["energies"]
    assert failure.found == "in the order [1, 0], [0, 0]: 1 instead of 0 (expected after the change of order)"
    assert failure.mistake is None


def test_a_context_is_the_same_in_any_order(failure_of):
    invariant = {**ORDERED, "permute_output": lambda output, order: output}
    context = lambda energies, is_word: (masked_softmax(energies, is_word) * energies).sum(-1)  # noqa: E731
    permutation_equivariance(context, [ATTENTION, SMALL], **invariant)
    last = lambda energies, is_word: energies[:, -1]  # noqa: E731
    assert failure_of(permutation_equivariance, last, [ATTENTION], **invariant).example["order"].tolist() != [
        0,
        1,
        2,
        3,
    ]


def test_one_place_has_one_order():
    permutation_equivariance(
        lambda x: x,
        [{"x": torch.ones(1)}],
        permute=lambda given, order: 1 / 0,
        length=lambda given: 1,
        permute_output=lambda output, order: output,
    )
