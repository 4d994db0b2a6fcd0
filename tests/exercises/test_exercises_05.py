"""The exercises of lesson 05, beyond what holds for all exercises: other right answers pass, other wrong ones fail."""

import contextlib
import functools
import math
import random
import zlib

import pytest
import torch
from torch.nn.functional import cross_entropy

from course_lib.data import pydocs
from course_lib.data.masking import NOT_ASKED, MaskingRule, mask_words
from course_lib.exercises.answering import AnswerSession
from course_lib.exercises.catalogue import find_exercise, load_module
from course_lib.exercises.checking import run_checks
from course_lib.models.bert import BERTConfig
from course_lib.models.blocks import BlockSizes, PostNormEncoderBlock
from course_lib.training import memory


@functools.cache
def exercise(id):
    return find_exercise(id)


@functools.cache
def checks_of(id):
    return load_module(exercise(id).master.with_name("checks.py"), f"checks_under_test_{id.replace('.', '_')}")


def report(id, **answers):
    return run_checks(exercise(id), answers)


def first_failure(id, **answers):
    """(check, mistake) of the first check that fails; (None, None) if all pass."""
    failed = [result for result in report(id, **answers).results if not result.passed]
    return (failed[0].name, failed[0].mistake) if failed else (None, None)


# 05.1 hiding words


def as_the_library(tokens, special_tokens, mask_token, vocabulary_size, seed):
    """15 % of each row's words, rounded: not each word with a lot of its own."""
    rule = MaskingRule(mask_token, vocabulary_size, tuple(special_tokens.tolist()))
    batch = mask_words(tokens, rule, torch.Generator().manual_seed(seed))
    return batch.tokens, batch.labels


def word_by_word(tokens, special_tokens, mask_token, vocabulary_size, seed, forbidden=False):
    """With Python's own lots. forbidden: a word is never replaced by itself."""
    lots, special = random.Random(seed), set(special_tokens.tolist())
    ordinary = [token for token in range(vocabulary_size) if token not in special]
    hidden, labels = tokens.tolist(), torch.full_like(tokens, NOT_ASKED)
    for row, words in enumerate(hidden):
        for place, word in enumerate(list(words)):
            if word in special or lots.random() >= 0.15:
                continue
            labels[row, place] = word
            fate = lots.random()
            if fate < 0.8:
                words[place] = mask_token
            elif fate < 0.9:
                others = [other for other in ordinary if other != word] if forbidden else ordinary
                words[place] = lots.choice(others)
    return torch.tensor(hidden), labels


def never_itself(*arguments):
    return word_by_word(*arguments, forbidden=True)


def from_one_lot(tokens, special_tokens, mask_token, vocabulary_size, seed):
    """One lot says both who is chosen and what becomes of it."""
    torch.manual_seed(seed)
    lots = torch.rand(tokens.shape).masked_fill(torch.isin(tokens, special_tokens), 1.0)
    ordinary = torch.tensor(sorted(set(range(vocabulary_size)) - set(special_tokens.tolist())))
    hidden = tokens.clone()
    hidden[lots < 0.12] = mask_token
    random_ones = (lots >= 0.12) & (lots < 0.135)
    hidden[random_ones] = ordinary[torch.randint(len(ordinary), (int(random_ones.sum()),))]
    return [hidden.int(), torch.where(lots < 0.15, tokens, NOT_ASKED)]


@pytest.mark.parametrize("hide", [as_the_library, word_by_word, never_itself, from_one_lot])
def test_other_ways_to_hide_words_pass(hide):
    checks = checks_of("05.1")
    assert first_failure("05.1", hide_words=hide) == (None, None)
    # as the hidden tests ask
    checks.fates_are_drawn(hide, words=20, padding=30, seeds=(18, 19))
    checks.words_are_chosen(hide, words=20, padding=80, seeds=(22, 23))
    checks.any_word_may_come(hide, vocabulary=40, special=(39, 1, 20, 2), seeds=(26, 27))


def test_a_right_way_passes_with_any_seed():
    """The counts have a second try, so that one way in 10^8 is refused: of some dozens none is."""
    checks = checks_of("05.1")
    for seed in range(100, 140, 2):
        checks.fates_are_drawn(as_the_library, seeds=(seed, seed + 1))
        checks.words_are_chosen(from_one_lot, seeds=(seed, seed + 1))


def hides_nothing(tokens, special_tokens, mask_token, vocabulary_size, seed):
    return tokens, torch.full_like(tokens, NOT_ASKED)


def the_first_words(tokens, special_tokens, mask_token, vocabulary_size, seed):
    """Always the first 15 % of a row."""
    first = torch.isin(tokens, special_tokens, invert=True).cumsum(1)
    asked = ~torch.isin(tokens, special_tokens) & (first <= 0.15 * first[:, -1:])
    return torch.where(asked, mask_token, tokens), torch.where(asked, tokens, NOT_ASKED)


def swapped(*arguments):
    return as_the_library(*arguments)[::-1]


def as_floats(*arguments):
    return [part.float() for part in as_the_library(*arguments)]


def only_masks(*arguments):
    _, labels = as_the_library(*arguments)
    return torch.where(labels != NOT_ASKED, arguments[2], arguments[0]), labels


def never_random(*arguments):
    hidden, labels = as_the_library(*arguments)
    return torch.where(hidden == arguments[2], hidden, arguments[0]), labels


def turned_round(*arguments):
    hidden, labels = as_the_library(*arguments)
    return hidden, torch.where(labels == NOT_ASKED, arguments[0], NOT_ASKED)


def ten_per_cent(*arguments):
    tokens, special_tokens, mask_token, vocabulary_size, seed = arguments
    rule = MaskingRule(mask_token, vocabulary_size, tuple(special_tokens.tolist()), share=0.10)
    batch = mask_words(tokens, rule, torch.Generator().manual_seed(seed))
    return batch.tokens, batch.labels


@pytest.mark.parametrize(
    ("hide", "expected"),
    [
        (hides_nothing, ("seed_decides", "nothing_asked")),
        (the_first_words, ("seed_decides", "same_each_time")),
        (swapped, ("hidden_and_labels", "wrong_order")),
        (as_floats, ("hidden_and_labels", "not_whole")),
        (only_masks, ("shares_of_the_asked", "all_masked")),
        (never_random, ("shares_of_the_asked", "no_random")),
        (turned_round, ("special_tokens_stay", "inverted_labels")),
        (ten_per_cent, ("share_of_the_words", "wrong_share")),
        (lambda *_: None, ("hidden_and_labels", "not_a_pair")),
        (lambda tokens, *_: (tokens[:, 1:], tokens[:, 1:]), ("hidden_and_labels", "wrong_shape")),
        (lambda tokens, *_: (tokens + 100, tokens), ("hidden_and_labels", "labels_everywhere")),
    ],
)
def test_other_wrong_ways_to_hide_words_fail(hide, expected):
    assert first_failure("05.1", hide_words=hide) == expected


# 05.2 the loss of the hidden words


def by_hand(states, labels, score):
    hidden = labels != NOT_ASKED
    if hidden.sum() == 0:
        raise ValueError("nothing to guess")
    scores = score(states[hidden])
    return (scores.logsumexp(-1) - scores.gather(1, labels[hidden][:, None])[:, 0]).mean()


def place_by_place(states, labels, score):
    """A loop over the hidden words, each scored by itself; a plain number comes out."""
    costs = []
    for row, place in (labels != NOT_ASKED).nonzero().tolist():
        costs.append(-score(states[row, place]).log_softmax(-1)[labels[row, place]].item())
    if not costs:
        raise ValueError("nothing to guess")
    return sum(costs) / len(costs)


def flat(states, labels, score):
    places = labels.flatten().ne(NOT_ASKED).nonzero()[:, 0]
    if not len(places):
        raise ValueError
    scores = score(states.flatten(0, 1)[places])
    return cross_entropy(scores, labels.flatten()[places], reduction="sum") / len(places)


@pytest.mark.parametrize("loss", [by_hand, place_by_place, flat])
def test_other_ways_to_write_the_masked_loss_pass(loss):
    checks = checks_of("05.2")
    assert first_failure("05.2", masked_loss=loss) == (None, None)
    further = [checks.example([[0, 5, 9], [], [3]], length=12, vocabulary=40, embedding=6, seed=12)]
    for asked in (checks.equal_to_torch, checks.repeated_rows, checks.more_padding, checks.scored_are_the_hidden):
        asked(loss, further)


def test_the_library_computes_the_same_loss():
    from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel, masked_language_loss

    torch.manual_seed(0)
    model = MaskedLanguageModel(BERT(BERTConfig(20, 8, 1, 2, 8, 16))).eval()
    tokens, labels = torch.randint(20, (2, 6)), torch.full((2, 6), NOT_ASKED)
    labels[0, 1], labels[1, 4], labels[1, 5] = 3, 0, 19
    states = model.encoder(tokens).states
    assert torch.allclose(by_hand(states, labels, model.scores), masked_language_loss(model, tokens, labels))
    with pytest.raises(ValueError, match="nothing to guess"):
        masked_language_loss(model, tokens, torch.full((2, 6), NOT_ASKED))


def one_too_many(states, labels, score):
    score(states[0])
    return by_hand(states, labels, score)


def without_a_head(states, labels, score):
    return by_hand(states, labels, lambda some: torch.cat([some, some], -1) @ torch.eye(2 * some.shape[-1], 6))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (one_too_many, ("only_hidden_words_are_scored", "others_scored")),
        (lambda *_: 1.0, ("equals_torch", None)),
        (lambda *_: None, ("equals_torch", None)),
        (lambda states, labels, score: labels.sum() / 0, ("equals_torch", None)),
    ],
)
def test_other_wrong_masked_losses_fail(loss, expected):
    assert first_failure("05.2", masked_loss=loss) == expected


def test_another_error_than_a_value_error_is_shown_as_it_is():
    def forgets_nothing(states, labels, score):
        if (labels == NOT_ASKED).all():
            raise KeyError("nothing")
        return by_hand(states, labels, score)

    failed = [result for result in report("05.2", masked_loss=forgets_nothing).results if not result.passed]
    assert [(result.name, result.verdict, result.error_kind) for result in failed] == [
        ("nothing_hidden", "raised", "KeyError")
    ]


def test_the_head_is_called_from_another_process():
    good = """
from torch.nn.functional import cross_entropy

def masked_loss(states, labels, score):
    hidden = labels != -100
    if not hidden.any():
        raise ValueError("nothing to guess")
    return cross_entropy(score(states[hidden]), labels[hidden])
"""
    with AnswerSession([good]) as session:
        results = run_checks(exercise("05.2"), session.answers).results
    assert [(result.name, result.verdict) for result in results if not result.passed] == []


# 05.3 the memory of a step


def as_the_library_counts(parameters, batch, length, blocks, heads, embedding, inner, number_bytes):
    config = BERTConfig(
        blocks=blocks, heads=heads, embedding_size=embedding, inner_size=inner, context_size=length, dropout=0.0
    )
    storage = memory.Storage(number_bytes, fused_attention=False)
    of_one = memory.block_activations(batch, length, config, storage, dropped_inside=True)
    return vars(memory.predicted_budget(parameters, blocks * of_one, number_bytes=number_bytes))


def tensor_by_tensor(parameters, batch, length, blocks, heads, embedding, inner, number_bytes):
    """Every tensor that is kept, by name."""
    states = ("input", "query", "key", "value", "joined", "first norm", "feed-forward", "second norm")
    shapes = dict.fromkeys(states, (batch, length, embedding))
    shapes |= dict.fromkeys(("before gelu", "after gelu"), (batch, length, inner))
    shapes |= dict.fromkeys(("mean 1", "deviation 1", "mean 2", "deviation 2"), (batch, length))
    shapes["looks"] = (batch, heads, length, length)
    kept = blocks * sum(map(math.prod, shapes.values())) * number_bytes
    weights = parameters * number_bytes
    return {"activations": kept, "optimizer_states": weights * 2, "gradients": weights, "weights": weights}


def by_bisection(bytes_of, memory_bytes):
    """Between nothing and a batch that no card holds."""
    low, high = 0, 2**40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bytes_of(middle) <= memory_bytes else (low, middle)
    return low


def bit_by_bit(bytes_of, memory_bytes):
    batch = 0
    for bit in reversed(range(24)):
        if bytes_of(batch + 2**bit) <= memory_bytes:
            batch += 2**bit
    return batch


@pytest.mark.parametrize("step_bytes", [as_the_library_counts, tensor_by_tensor])
@pytest.mark.parametrize("largest_batch", [by_bisection, bit_by_bit])
def test_other_ways_to_count_and_to_search_pass(step_bytes, largest_batch):
    checks = checks_of("05.3")
    assert first_failure("05.3", step_bytes=step_bytes, largest_batch=largest_batch) == (None, None)
    checks.activations_are_measured(step_bytes, [checks.case(5, 17, 2, 4, 12, 20, 2)])
    checks.largest_is_found(largest_batch, [checks.card(lambda batch: 17 + batch, 1_000_000)])


@pytest.mark.parametrize("number_bytes", [4, 2])
def test_adamw_keeps_what_the_check_says_that_it_keeps(number_bytes):
    """Beside the counter of its steps, one number for each tensor of weights."""
    sizes = BlockSizes(8, 2, 20, activation=torch.nn.functional.gelu)
    block = PostNormEncoderBlock(sizes).to(checks_of("05.3").DTYPES[number_bytes])
    optimizer = torch.optim.AdamW(block.parameters())
    texts = torch.randn(3, 6, 8).to(checks_of("05.3").DTYPES[number_bytes])
    measured = vars(memory.measured_budget(block, optimizer, lambda: block(texts, want_weights=True)[0].sum()))
    counters = sum(state["step"].nbytes for state in optimizer.state.values())
    _, right = checks_of("05.3").case(3, 6, 1, 2, 8, 20, number_bytes)
    assert {**measured, "optimizer_states": measured["optimizer_states"] - counters} == right


def budget_with(step_bytes=tensor_by_tensor, **changes):
    """The right budget with some parts changed: a number to multiply with, or a function of the arguments."""

    def changed(*arguments):
        right = step_bytes(*arguments)
        return {name: int(value * changes.get(name, 1)) for name, value in right.items()}

    return changed


@pytest.mark.parametrize(
    ("step_bytes", "expected"),
    [
        (budget_with(weights=8), ("weights_as_measured", "bits")),
        (budget_with(optimizer_states=1.5), ("weights_as_measured", "other_states")),
        (budget_with(optimizer_states=0), ("weights_as_measured", "no_states")),
        (budget_with(activations=0), ("activations_as_measured", None)),
        (lambda *_: None, ("weights_as_measured", "no_budget")),
        (lambda *_: {"weights": 1}, ("weights_as_measured", "no_budget")),
        (lambda *sizes: {k: v / 1 for k, v in tensor_by_tensor(*sizes).items()}, ("weights_as_measured", "not_whole")),
    ],
)
def test_other_wrong_budgets_fail(step_bytes, expected):
    assert first_failure("05.3", step_bytes=step_bytes, largest_batch=by_bisection) == expected


def swallowing(bytes_of, memory_bytes):
    """Counts up, and takes a refusal for an answer."""
    batch = 1
    with contextlib.suppress(ValueError):
        while bytes_of(batch) <= memory_bytes:
            batch += 1
    return batch - 1


@pytest.mark.parametrize(
    ("largest_batch", "expected"),
    [
        (swallowing, ("largest_fits", "too_many_trials")),
        (lambda bytes_of, memory_bytes: bytes_of(0), ("largest_fits", "batch_of_zero")),
        (lambda bytes_of, memory_bytes: bytes_of(1.5), ("largest_fits", "not_whole")),
        (lambda bytes_of, memory_bytes: None, ("largest_fits", "no_batch")),
        (lambda bytes_of, memory_bytes: 10**6, ("largest_fits", "too_large")),
        (lambda bytes_of, memory_bytes: {}["nothing"], ("largest_fits", None)),
    ],
)
def test_other_wrong_searches_fail(largest_batch, expected):
    assert first_failure("05.3", step_bytes=tensor_by_tensor, largest_batch=largest_batch) == expected


def test_the_lesson_says_what_the_exercise_quotes_of_it():
    storage = memory.Storage(fused_attention=False, mask_bytes=1)
    assert memory.largest_batches(memory.BERT_BASE, (512,), 16 * memory.GIBIBYTE, storage) == {512: 22}
    weights = memory.encoder_parameters(memory.BERT_BASE)

    def bytes_of(batch):
        return sum(tensor_by_tensor(weights, batch, 512, 12, 12, 768, 3_072, 4).values())

    assert by_bisection(bytes_of, 16 * memory.GIBIBYTE) == 34
    assert "22 texts instead of 34" in exercise("05.3").master.read_text(encoding="utf-8")


def test_trials_are_counted_in_another_process_too():
    endless = """
def largest_batch(bytes_of, memory_bytes):
    batch = 1
    while bytes_of(batch) <= memory_bytes:
        batch += 1
    return batch - 1
"""
    with AnswerSession([endless]) as session:
        results = run_checks(exercise("05.3"), session.answers, only="few_trials").results
    assert [result.mistake for result in results] == ["too_many_trials"]


# 05.4 the split


def leaks_with_counters(train, test):
    sides = {}
    for side, rows in (("train", train), ("test", test)):
        for row in rows:
            sides.setdefault(row["module"], set()).add(side)
    return [name for name, found in sorted(sides.items()) if len(found) == 2]


def by_checksum(rows, test_share):
    """A coarse lot, in thousandths."""
    in_test = [zlib.crc32(row["module"].encode()) % 1_000 < 1_000 * test_share for row in rows]
    train = [row for row, is_test in zip(rows, in_test, strict=True) if not is_test]
    return train, [row for row, is_test in zip(rows, in_test, strict=True) if is_test]


def by_a_seeded_lot(rows, test_share):
    """The name is the seed of its own lot; sides in another order than the rows."""
    groups = {}
    for row in rows:
        groups.setdefault(row["module"], []).append(row)
    train, test = [], []
    for name in sorted(groups):
        side = test if random.Random(name).random() < test_share else train
        side.extend(groups[name])
    return [train, test]


def as_the_course(rows, test_share):
    train, test = [], []
    for row in rows:
        (test if pydocs._stable_number(f"split {row['module']}") < test_share else train).append(dict(row))
    return train, test


@pytest.mark.parametrize("split", [by_checksum, by_a_seeded_lot, as_the_course])
def test_other_ways_to_split_pass(split):
    checks = checks_of("05.4")
    assert first_failure("05.4", leaked_modules=leaks_with_counters, split_by_module=split) == (None, None)
    checks.rows_are_kept(split, [{"rows": [], "test_share": 0.5}])
    checks.shares_are_kept(split, [checks.corpus(900, packages=9, test_share=share, seed=15) for share in (0.2, 0.75)])
    checks.names_decide(split, [checks.corpus(90, packages=4, test_share=0.3, seed=17)])


def the_last_modules(rows, test_share):
    """Alphabetical order, cut: whole packages in test."""
    names = sorted({row["module"] for row in rows})
    test = names[round(len(names) * (1 - test_share)) :]
    return [row for row in rows if row["module"] not in test], [row for row in rows if row["module"] in test]


def by_its_last_text(rows, test_share):
    """All rows of a module together, but by what they say."""
    texts = {}
    for row in rows:
        texts[row["module"]] = max(texts.get(row["module"], ""), row["text"])
    lots = {name: zlib.crc32(text.encode() + name.encode()) / 2**32 for name, text in texts.items()}
    train = [row for row in rows if lots[row["module"]] >= test_share]
    return train, [row for row in rows if lots[row["module"]] < test_share]


def with_a_side(rows, test_share):
    train, test = by_checksum(rows, test_share)
    return train, [{**row, "side": "test"} for row in test]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (the_last_modules, ("about_the_share", "by_package")),
        (by_its_last_text, ("name_alone_decides", "rows_matter")),
        (with_a_side, ("every_row_once", "rows_changed")),
        (lambda rows, test_share: rows, ("every_row_once", "not_a_pair")),
        (lambda rows, test_share: ([row["module"] for row in rows], []), ("every_row_once", "rows_changed")),
        (lambda rows, test_share: (rows, rows), ("every_row_once", "test_in_train")),
        (lambda rows, test_share: ([], rows), ("about_the_share", "one_side_empty")),
    ],
)
def test_other_wrong_splits_fail(split, expected):
    assert first_failure("05.4", leaked_modules=leaks_with_counters, split_by_module=split) == expected


def test_names_of_another_run_are_the_same_names():
    """With another hash, and so in another order in a set, but equal, and equally spelled."""
    names = [f"pack.part{number}" for number in range(50)]
    other = [checks_of("05.4")._other_run(1)(name) for name in names]
    assert other == names
    assert [name.encode() for name in other] == [name.encode() for name in names]
    assert not set(map(hash, other)) & set(map(hash, names))
    assert {str(name) for name in set(other)} == set(names)
    assert list(map(str, set(other))) != list(set(names))


def test_the_colleagues_split_leaks_and_the_repaired_one_does_not():
    """As the story says: nearly all right by memory, then about what a blind guess among ten is."""
    import jupytext

    names = {}
    for cell in jupytext.read(exercise("05.4").master).cells:
        if cell.cell_type == "code" and "check(" not in cell.source:
            exec(cell.source.replace("from course_lib.exercises import check, hint, step", ""), names)
    leaking, repaired = (names[split](names["rows"], 0.25) for split in ("broken_split", "split_by_module"))
    assert names["right_by_memory"](*leaking) > 0.95
    assert names["right_by_memory"](*repaired) < 0.25
    assert len(leaks_with_counters(*leaking)) > 60
    assert leaks_with_counters(*repaired) == []
