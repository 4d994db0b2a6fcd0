"""What heads must do: take slices, attend each by itself, lie side by side again; in all, what torch's module does."""

from itertools import product

import torch
from torch import nn

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.batches import padding_changes_nothing, permutation_equivariance
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    answer_to,
    copy_of,
    expect_function,
    expect_tensor,
    recognised,
    smallest_first,
)
from course_lib.exercises.properties.mistakes import equals
from course_lib.exercises.properties.parity import same_as

# Split and join. The numbers tell batch, place and feature: 213 is feature 3 of place 1 in sentence 2.


def whole_states(batch, length, embedding, heads):
    """States to be split into so many heads."""
    digits = [torch.arange(batch) * 100, torch.arange(length) * 10, torch.arange(embedding)]
    states = digits[0][:, None, None] + digits[1][:, None] + digits[2]
    return {"states": states.float(), "heads": heads}


def wholes():
    """From one sentence in two heads to two sentences in three. There are never as many places as heads."""
    return [whole_states(1, 3, 4, 2), whole_states(2, 3, 6, 2), whole_states(2, 4, 6, 3)]


def parts(batch, heads, length, size):
    """States of heads, to be joined."""
    return {"states": _slices(**whole_states(batch, length, heads * size, heads))}


def all_parts():
    return [parts(1, 2, 3, 2), parts(2, 2, 3, 3), parts(2, 3, 4, 2)]


def _slices(states, heads):
    """Head 0 has the first features of each place, head 1 the next ones, and so on: number by number."""
    size = states.shape[2] // heads
    found = torch.empty(len(states), heads, states.shape[1], size)
    for head, feature in product(range(heads), range(size)):
        found[:, head, :, feature] = states[:, :, head * size + feature]
    return found


def _side_by_side(states):
    """The features of head 0 first, at each place, then those of head 1, and so on: number by number."""
    _, heads, length, size = states.shape
    found = torch.empty(len(states), length, heads * size)
    for head, feature in product(range(heads), range(size)):
        found[:, :, head * size + feature] = states[:, head, :, feature]
    return found


SPLIT_MISTAKES = [
    equals("places_mixed", lambda states, heads: states.view(len(states), heads, states.shape[1], -1)),
    equals("interleaved", lambda states, heads: torch.stack([states[..., head::heads] for head in range(heads)], 1)),
    equals("heads_behind_places", lambda states, heads: _slices(states, heads).transpose(1, 2)),
]
JOIN_MISTAKES = [
    equals("join_mixed", lambda states: states.view(len(states), states.shape[2], -1)),
    equals("join_interleaved", lambda states: torch.stack(states.unbind(1), -1).flatten(2)),
    equals("heads_added", lambda states: states.sum(1)),
    equals("heads_added", lambda states: states.mean(1)),
    equals("heads_as_places", lambda states: states.flatten(1, 2)),
]


def split_is_right(split_heads, examples):
    same_as(split_heads, _slices, examples, reference_name="slices taken number by number", mistakes=SPLIT_MISTAKES)


def join_is_right(join_heads, examples):
    same_as(join_heads, _side_by_side, examples, reference_name="heads laid side by side", mistakes=JOIN_MISTAKES)


def join_is_the_way_back(split_heads, join_heads, examples):
    failed = "joining what was split gives the states back"
    for example in smallest_first(examples):
        expect_function(split_heads, example)
        expect_function(join_heads, example)
        split = answer_to(split_heads, example)
        output = answer_to(join_heads, {"states": copy_of(split)})
        states = expect_tensor(output, example["states"].shape, example, failed, JOIN_MISTAKES)
        if differs := difference(example["states"], states, expected_is="before"):
            mistake = recognised(SPLIT_MISTAKES, example, split)
            mistake = mistake or recognised(JOIN_MISTAKES, {"states": split}, output)
            raise PropertyFailed(failed, differs, example, {"split": split, "joined": output}, mistake)


# The whole.


def example(target, lengths, embedding, heads, seed, scale=1.0):
    """States of target places and of sentences of so many words, and four matrices for so many heads."""
    generator = torch.Generator().manual_seed(seed)
    batch, source = len(lengths), max(lengths) + 1

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    matrices = {f"W_{name}": normal(embedding, embedding) * embedding**-0.5 for name in "qkvo"}
    return {
        "target": scale * normal(batch, target, embedding),
        "source": scale * normal(batch, source, embedding),
        "is_word": torch.arange(source) < torch.tensor(lengths).unsqueeze(1),
        **matrices,
        "heads": heads,
    }


def examples():
    """From one sentence in two heads to two sentences in three. The smallest has as many targets as sources."""
    yield example(3, [2], 4, 2, seed=0, scale=2.0)
    yield example(4, [3, 2], 4, 2, seed=1, scale=2.0)
    yield example(3, [4, 2], 6, 3, seed=2)


def _ask_torch(target, source, is_word, W_q, W_k, W_v, W_o, heads, hidden_targets=None):
    """Torch's module with these matrices. It keeps the first three in one, one below the other."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # it draws matrices of its own first
        module = nn.MultiheadAttention(len(W_q), heads, bias=False, batch_first=True).requires_grad_(False)
        module.in_proj_weight.copy_(torch.cat([W_q, W_k, W_v]))
        module.out_proj.weight.copy_(W_o)
        context, _ = module(
            target, source, source, key_padding_mask=~is_word, need_weights=False, attn_mask=hidden_targets
        )
    return context


def _plain(target, source, is_word, W_q, W_k, W_v, W_o, heads):
    """One attention over all features, without heads, by the formula."""
    query, key, value = target @ W_q.T, source @ W_k.T, source @ W_v.T
    scores = torch.einsum("btd,bsd->bts", query, key) / query.shape[-1] ** 0.5
    return scores.masked_fill(~is_word.unsqueeze(1), -torch.inf).softmax(-1) @ value @ W_o.T


def _but(change):
    """Torch's answer to another question: `change(example)` gives the arguments that are different in it."""
    return lambda **given: _ask_torch(**{**given, **change(given)})


def _wrong(key, change):
    asked = _but(change)
    names = ("target", "source", "is_word", "W_q", "W_k", "W_v", "W_o", "heads")
    return equals(key, lambda *given: asked(**dict(zip(names, given, strict=True))))


def _words_and_targets_confused(given):
    hidden = ~given["is_word"][:, :, None].expand(-1, -1, given["source"].shape[1])  # [batch, target, source]
    everywhere = torch.ones_like(given["is_word"])
    return {"is_word": everywhere, "hidden_targets": hidden.repeat_interleave(given["heads"], 0)}


def _of_other_matrices(names):
    return lambda given: {f"W_{role}": given[f"W_{name}"] for role, name in zip("qkv", names, strict=True)}


MISTAKES = [
    _wrong("one_head", lambda given: {"heads": 1}),
    _wrong("no_output_matrix", lambda given: {"W_o": torch.eye(len(given["W_o"]))}),
    _wrong("transposed", lambda given: {name: given[name].T for name in ("W_q", "W_k", "W_v")}),
    _wrong("transposed", lambda given: {name: given[name].T for name in ("W_q", "W_k", "W_v", "W_o")}),
    _wrong("transposed", lambda given: {"W_o": given["W_o"].T}),
    _wrong("unused_mask", lambda given: {"is_word": torch.ones_like(given["is_word"])}),
    _wrong("inverted_mask", lambda given: {"is_word": ~given["is_word"]}),
    _wrong("mask_on_targets", _words_and_targets_confused),
    _wrong("scaled_by_embedding", lambda given: {"W_q": given["W_q"] / given["heads"] ** 0.5}),
    _wrong("no_scale", lambda given: {"W_q": given["W_q"] * (len(given["W_q"]) / given["heads"]) ** 0.5}),
    _wrong("target_unread", lambda given: {"target": given["source"]}),
    _wrong("source_unread", lambda given: {"source": given["target"]}),
    *(_wrong("wrong_matrix", _of_other_matrices(names)) for names in product("qkv", repeat=3) if names != tuple("qkv")),
]


def equals_torch(multi_head, examples):
    same_as(multi_head, _ask_torch, examples, tolerance=1e-4, mistakes=MISTAKES)


def equals_plain_attention(multi_head, examples):
    same_as(
        multi_head,
        _plain,
        examples,
        reference_name="one attention over all features",
        tolerance=1e-4,
        mistakes=MISTAKES,
    )


def _with_heads_in(example, order):
    """The same heads, numbered otherwise: their rows of three matrices, and their columns of the fourth."""
    size = len(example["W_q"]) // example["heads"]
    features = torch.cat([torch.arange(head * size, (head + 1) * size) for head in order.tolist()])
    rows = {name: example[name][features] for name in ("W_q", "W_k", "W_v")}
    return {**example, **rows, "W_o": example["W_o"][:, features]}


def heads_are_equals(multi_head, examples):
    permutation_equivariance(
        multi_head,
        examples,
        permute=_with_heads_in,
        length=lambda example: example["heads"],
        permute_output=lambda output, order: output,
        tolerance=1e-4,
        mistakes=MISTAKES,
    )


def _pad(example, places):
    """More places without a word, with states all the same."""
    batch, _, embedding = example["source"].shape
    rubbish = torch.randn(batch, places, embedding, generator=torch.Generator().manual_seed(places))
    nothing = torch.zeros(batch, places, dtype=torch.bool)
    return {
        **example,
        "source": torch.cat([example["source"], 3 * rubbish], dim=1),
        "is_word": torch.cat([example["is_word"], nothing], dim=1),
    }


def padding_is_harmless(multi_head, examples):
    padding_changes_nothing(multi_head, examples, pad=_pad, tolerance=1e-4, mistakes=MISTAKES)


def each_head_has_its_slice(split_heads):
    """Each head gets its own slice of every place's features."""
    split_is_right(split_heads, wholes())


def heads_lie_side_by_side(join_heads):
    """The heads' features lie side by side again, at their place."""
    join_is_right(join_heads, all_parts())


def join_undoes_split(split_heads, join_heads):
    """Joining what was split gives the states back."""
    join_is_the_way_back(split_heads, join_heads, wholes())


def one_head_is_plain(multi_head):
    """A single head is plain attention."""
    equals_plain_attention(multi_head, [example(3, [2], 4, 1, seed=3), example(2, [4, 3], 3, 1, seed=4)])


def same_as_torch(multi_head):
    """With the same matrices it gives what torch's module gives."""
    equals_torch(multi_head, examples())


def heads_may_change_places(multi_head):
    """Heads numbered in another order give the same answer."""
    heads_are_equals(multi_head, examples())


def padding_changes_no_answer(multi_head):
    """More padding in the source changes nothing."""
    padding_is_harmless(multi_head, examples())


CHECKS = [
    each_head_has_its_slice,
    heads_lie_side_by_side,
    join_undoes_split,
    one_head_is_plain,
    same_as_torch,
    heads_may_change_places,
    padding_changes_no_answer,
]
