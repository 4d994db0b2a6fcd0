"""Which weights become views, and what is said of those that cannot?"""

import numpy as np
import pytest
import torch

from course_lib.widgets.attention_maps import LONGEST, view_of, views_of

WORDS = ["the", "pen", "is", "here"]


def random_weights(*shape, causal=False):
    scores = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    if causal:
        scores = scores.masked_fill(torch.ones(shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(dim=-1)


def test_a_tensor_a_list_of_layers_and_numpy_give_the_same_view():
    weights = random_weights(3, 2, 4, 4)
    for given in (weights, list(weights), tuple(weights[:, None]), weights.numpy(), weights.tolist()):
        view = view_of("x", given, WORDS)
        torch.testing.assert_close(view.weights, weights)
        assert view.layers == ("1", "2", "3")
        assert view.heads == 2
        assert view.is_self_attention


def test_one_map_is_one_layer_of_one_head():
    assert view_of("x", random_weights(4, 3), WORDS, WORDS[:3]).weights.shape == (1, 1, 4, 3)


def test_layers_without_attention_are_left_out_and_the_others_keep_their_numbers():
    weights = random_weights(2, 2, 4, 4)
    assert view_of("x", [None, weights[0], None, weights[1]], WORDS).layers == ("2", "4")


def test_layers_can_be_named():
    assert view_of("x", random_weights(2, 1, 4, 4), WORDS, layers=["low", "high"]).layers == ("low", "high")
    with pytest.raises(ValueError, match="1 names for 2 layers"):
        view_of("x", random_weights(2, 1, 4, 4), WORDS, layers=["low"])


def test_causal_views_are_known_by_their_weights():
    assert view_of("x", random_weights(2, 2, 4, 4, causal=True), WORDS).is_causal
    assert not view_of("x", random_weights(2, 2, 4, 4), WORDS).is_causal
    assert not view_of("x", torch.ones(1, 1, 1, 1), ["a"]).is_causal
    almost = random_weights(2, 2, 4, 4, causal=True)
    almost[1, 1, 0] = torch.tensor([0.5, 0.5, 0.0, 0.0])
    assert not view_of("x", almost, WORDS).is_causal


def test_marks_are_known_by_their_texts_unless_told():
    view = view_of("x", random_weights(1, 1, 4, 4), ["[CLS]", "a", "[MASK]", "[SEP]"])
    assert view.special_queries == view.special_keys == (True, False, False, True)
    told = view_of("x", random_weights(1, 1, 4, 4), WORDS, special_queries=[False, True, False, False])
    assert told.special_keys == (False, True, False, False)


def test_half_precision_rows_are_taken_as_they_are_rounded():
    weights = random_weights(2, 2, 300, 300).to(torch.bfloat16)
    assert view_of("x", weights, ["t"] * 300).weights.dtype == torch.float32


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (float("nan"), r"layer 2, head 1, row 3 \(is\): the weight in column 4 is nan, no number"),
        (float("inf"), r"layer 2, head 1, row 3 \(is\): the weight in column 4 is inf, no number"),
        (0.9, r"layer 2, head 1, row 3 \(is\): the weights sum to 1\.\d+, expected 1; .*model\.eval"),
    ],
)
def test_what_is_no_row_of_weights_is_refused_with_its_place(damage, message):
    weights = random_weights(3, 2, 4, 4)
    weights[1, 0, 2, 3] = damage
    with pytest.raises(ValueError, match=message):
        view_of("encoder", weights, WORDS)


def test_negative_weights_are_refused_with_their_place():
    weights = random_weights(1, 2, 4, 4)
    weights[0, 1, 3] = torch.tensor([1.5, -0.5, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"layer 1, head 2, row 4 \(here\): the weight -0.5 is negative"):
        view_of("x", weights, WORDS)


@pytest.mark.parametrize(
    ("weights", "tokens", "message"),
    [
        (torch.ones(2, 4, 4) / 4, WORDS, r"expected \[layer, head, query, key\].*weights\[None\]"),
        (torch.ones(1, 1, 3, 4) / 4, WORDS, "do not fit 4 tokens that look and 4"),
        (torch.ones(1, 1, 0, 0), ["a"], "are empty"),
        ([torch.ones(2, 4, 4) / 4, torch.ones(1, 4, 4) / 4], WORDS, r"layer 2 has weights of shape \[1, 4, 4\]"),
        ([torch.ones(2, 2, 4, 4) / 4], WORDS, r"layer 1: weights of shape \[2, 2, 4, 4\].*one text"),
        ([None, None], WORDS, "none of the 2 layers gives weights"),
        (torch.ones(1, 1, 4, 4) / 4, "pens", "must be a list of texts"),
        (torch.ones(1, 1, 4, 4) / 4, [], "there are no tokens"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, tokens, message):
    with pytest.raises(ValueError, match=message):
        view_of("x", weights, tokens)


def test_too_many_tokens_are_refused_with_the_way_out_and_a_window_shows_a_part():
    long = ["t"] * (LONGEST + 1)
    weights = torch.eye(len(long))
    with pytest.raises(ValueError, match=r"513 tokens: at most 512 .* window=\(0, 512\)"):
        view_of("x", weights, long)
    view = view_of("x", weights, long, window=(10, 20))
    assert len(view.keys) == 10
    torch.testing.assert_close(view.weights[0, 0], torch.eye(10))
    assert view.note.startswith("A window: tokens 11 to 20 of 513. Weight on tokens outside is not shown")


@pytest.mark.parametrize("window", [(-1, 3), (3, 3), (0, 5)])
def test_a_window_outside_the_text_is_refused(window):
    with pytest.raises(ValueError, match=r"does not lie in .*0 <= first < last <= 4"):
        view_of("x", random_weights(1, 1, 4, 4), WORDS, window=window)


def test_a_window_can_be_too_long_too():
    with pytest.raises(ValueError, match="holds 600 tokens; at most 512"):
        view_of("x", torch.eye(700), ["t"] * 700, window=(0, 600))


def test_rows_and_columns_of_different_tokens_have_windows_of_their_own():
    weights = torch.eye(600)[:5]
    with pytest.raises(ValueError, match=r"600 key tokens: .* key_window=\(0, 512\)"):
        view_of("x", weights, [*WORDS, "."], ["k"] * 600)
    view = view_of("x", weights, [*WORDS, "."], ["k"] * 600, key_window=(0, 3))
    assert view.weights.shape == (1, 1, 5, 3)


def test_a_dict_holds_views_with_their_tokens():
    weights = random_weights(2, 1, 4, 4)
    views = views_of({"encoder": (weights, WORDS), "cross": (weights[:, :, :3], ["a", "b", "c"], WORDS)}, None)
    assert [view.name for view in views] == ["encoder", "cross"]
    assert [view.is_self_attention for view in views] == [True, False]


@pytest.mark.parametrize(
    ("weights", "tokens", "options", "message"),
    [
        ({}, None, {}, "an empty dict"),
        ({"a": torch.eye(4)}, None, {}, r"view 'a' must be \(weights, tokens\)"),
        ({"a": (torch.eye(4), WORDS)}, WORDS, {}, "the tokens stand in it"),
        ({"a": (torch.eye(4), WORDS)}, None, {"window": (0, 2)}, "for a window, show one view"),
        (torch.eye(4), None, {}, "weights came without tokens"),
    ],
)
def test_views_given_in_a_wrong_form_are_refused(weights, tokens, options, message):
    with pytest.raises(ValueError, match=message):
        views_of(weights, tokens, **options)


def test_whole_numbers_are_weights_too():
    assert view_of("x", np.eye(4, dtype=int), WORDS).weights.dtype == torch.float32
