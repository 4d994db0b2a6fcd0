"""What nats, perplexity and bits a byte must be: of the next token, of words alone, and of bytes."""

import math

import torch
from torch.nn.functional import cross_entropy, nll_loss, pad

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.batches import padding_changes_nothing
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import Mistake, answer_to, expect_data, recognised
from course_lib.exercises.properties.means import mean_not_sum
from course_lib.exercises.properties.mistakes import equals, right_times
from course_lib.exercises.properties.parity import same_as

BYTES = 256


def example(lengths, vocabulary, seed, scale=1.0):
    """Scores, tokens and mask of texts of so many tokens. Padding holds token 0, which may be a true token too."""
    generator = torch.Generator().manual_seed(seed)
    batch, length = len(lengths), max(lengths)
    is_word = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    logits = scale * torch.randn(batch, length, vocabulary, generator=generator)
    tokens = torch.randint(0, vocabulary, (batch, length), generator=generator) * is_word
    return {"logits": logits, "tokens": tokens, "is_word": is_word}


def examples():
    """From one text of three tokens to three texts of two to six."""
    return [example([3], 3, seed=3), example([4, 2], 4, seed=2), example([6, 2, 4], 5, seed=4)]


def blind(lengths, vocabulary):
    """Every token has the same score."""
    given = example(lengths, vocabulary, seed=5)
    return {**given, "logits": torch.full_like(given["logits"], 0.5)}


def sure(lengths, vocabulary, seed):
    """At each place the true next token has all the probability."""
    given = example(lengths, vocabulary, seed)
    following = torch.cat([given["tokens"][:, 1:], given["tokens"][:, :1]], dim=1)
    return {**given, "logits": 60.0 * torch.nn.functional.one_hot(following, vocabulary).float()}


def with_texts(texts, lengths, vocabulary, seed):
    """Texts that some tokenizer cut into so many tokens, the mark at the beginning included."""
    return {**example(lengths, vocabulary, seed), "texts": texts}


def _guessed(texts, width):
    """A blind guess of the texts, cut into tokens of `width` bytes."""
    pieces = [text.encode() for text in texts]
    rows = [[0, *(int.from_bytes(row[at : at + width], "big") for at in range(0, len(row), width))] for row in pieces]
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    is_word = torch.arange(longest) < torch.tensor([len(row) for row in rows]).unsqueeze(1)
    logits = torch.zeros(1, 1, 1).expand(len(texts), longest, BYTES**width).contiguous()
    return {"logits": logits, "tokens": tokens, "is_word": is_word, "texts": texts}


def blind_bytes(texts):
    """Each token is a byte, and all 256 have the same score."""
    return _guessed(texts, 1)


def blind_pairs(texts):
    """Each token is two bytes, of which there are 65,536; the texts have an even number of bytes."""
    return _guessed(texts, 2)


# The trusted numbers, by torch's own loss.


def costs_by_place(logits, tokens):
    """[batch, length - 1], padding included."""
    return cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")


def torchs_costs(logits, tokens, is_word):
    return costs_by_place(logits, tokens)[is_word[:, 1:]]


def torchs_perplexity(logits, tokens, is_word):
    return torchs_costs(logits, tokens, is_word).double().mean().exp().float()


def torchs_bits(logits, tokens, is_word, texts):
    return torchs_costs(logits, tokens, is_word).sum() / math.log(2) / sum(len(text.encode()) for text in texts)


# Known wrong answers to each of the three, by their own formulas.


def _costs(logits, tokens):
    return cross_entropy(logits.transpose(1, 2), tokens, reduction="none")


def _not_shifted(logits, tokens, is_word):
    return _costs(logits[:, :-1], tokens[:, :-1])[is_word[:, 1:]]


def _not_shifted_at_all(logits, tokens, is_word):
    return _costs(logits, tokens)[is_word]


def _backwards(logits, tokens, is_word):
    return _costs(logits[:, 1:], tokens[:, :-1])[is_word[:, 1:]]


def _backwards_masked_alike(logits, tokens, is_word):
    return _costs(logits[:, 1:], tokens[:, :-1])[is_word[:, :-1]]


def _over_axis(axis):
    def costs(logits, tokens, is_word):
        said = logits[:, :-1].log_softmax(axis)
        return nll_loss(said.transpose(1, 2), tokens[:, 1:], reduction="none")[is_word[:, 1:]]

    return costs


def _means(logits, tokens, is_word):
    """The mean of each text."""
    counts = is_word[:, 1:]
    return (costs_by_place(logits, tokens) * counts).sum(1) / counts.sum(1)


def _not_finite(example, output):
    return example["logits"].abs().max() > 80 and not torch.as_tensor(output).isfinite().all()


NATS_MISTAKES = [
    Mistake("overflow", _not_finite),
    equals("not_shifted", _not_shifted),
    equals("not_shifted", _not_shifted_at_all),
    equals("backwards", _backwards),
    equals("backwards", _backwards_masked_alike),
    right_times("log_probabilities", torchs_costs, factor=lambda example: -1.0),
    right_times("bits_for_nats", torchs_costs, factor=lambda example: 1 / math.log(2)),
    equals("mask_not_shifted", lambda logits, tokens, is_word: costs_by_place(logits, tokens)[is_word[:, :-1]]),
    equals("counts_padding", lambda logits, tokens, is_word: costs_by_place(logits, tokens).flatten()),
    equals("counts_padding", lambda logits, tokens, is_word: costs_by_place(logits, tokens)),
    equals("zeros_for_padding", lambda logits, tokens, is_word: costs_by_place(logits, tokens) * is_word[:, 1:]),
    equals(
        "zeros_for_padding", lambda logits, tokens, is_word: (costs_by_place(logits, tokens) * is_word[:, 1:]).flatten()
    ),
    equals(
        "padding_by_number",
        lambda logits, tokens, is_word: costs_by_place(logits, tokens)[tokens[:, 1:] != 0],
    ),
    equals("wrong_axis", _over_axis(1)),
    equals("wrong_axis", _over_axis(0)),
    equals("one_number", lambda *given: torchs_costs(*given).mean()),
    equals("one_number", lambda *given: torchs_costs(*given).sum()),
]

PERPLEXITY_MISTAKES = [
    Mistake("still_a_row", lambda example, output: output.ndim > 0),
    equals("wrong_base", lambda *given: 2 ** torchs_costs(*given).mean()),
    equals("wrong_base", lambda *given: (torchs_costs(*given).mean() / math.log(2)).exp()),
    equals("no_exp", lambda *given: torchs_costs(*given).mean()),
    equals("summed", lambda *given: torchs_costs(*given).sum().exp()),
    equals("mean_of_perplexities", lambda *given: _means(*given).exp().mean()),
    equals("mean_of_exponentials", lambda *given: torchs_costs(*given).exp().mean()),
    equals("mean_of_texts", lambda *given: _means(*given).mean().exp()),
    equals("negative_exponent", lambda *given: (-torchs_costs(*given).mean()).exp()),
    equals("counts_padding", lambda logits, tokens, is_word: costs_by_place(logits, tokens).mean().exp()),
    equals("zeros_for_padding", lambda logits, tokens, w: (costs_by_place(logits, tokens) * w[:, 1:]).mean().exp()),
    equals("not_shifted", lambda *given: _not_shifted(*given).mean().exp()),
    equals("not_shifted", lambda *given: _not_shifted_at_all(*given).mean().exp()),
]


def _bits(*given):
    return torchs_costs(*given).sum() / math.log(2)


def _bits_over(count):
    return lambda logits, tokens, is_word, texts: _bits(logits, tokens, is_word) / count(logits, tokens, is_word, texts)


def _byte_count(texts):
    return sum(len(text.encode()) for text in texts)


def _mean_over_texts(logits, tokens, is_word, texts):
    totals = (costs_by_place(logits, tokens) * is_word[:, 1:]).sum(1) / math.log(2)
    return (totals / torch.tensor([len(text.encode()) for text in texts])).mean()


BITS_MISTAKES = [
    Mistake("still_a_row", lambda example, output: output.ndim > 0),
    equals("characters", _bits_over(lambda logits, tokens, is_word, texts: sum(map(len, texts)))),
    equals("per_token", _bits_over(lambda logits, tokens, is_word, texts: is_word[:, 1:].sum())),
    equals("nats_for_bits", lambda *given: torchs_bits(*given) * math.log(2)),
    equals("multiplied", lambda *given: torchs_bits(*given) * math.log(2) ** 2),
    equals("mean_nats", lambda *given: torchs_costs(*given[:3]).mean() / math.log(2) / _byte_count(given[3])),
    equals("mean_of_ratios", _mean_over_texts),
    equals("not_divided", lambda *given: _bits(*given[:3])),
]


# The public checks try each property on the examples above; the hidden tests on others.


def costs_equal_torchs(nats_of_next, examples):
    same_as(nats_of_next, torchs_costs, examples, reference_name="torch's cross_entropy", mistakes=NATS_MISTAKES)


def first_and_last_do_not_matter(nats_of_next, examples):
    """Other scores at the last place and another first token leave all as it is; other scores before them do not."""
    for example in examples:
        before = answer_to(nats_of_next, example)
        failed = "the last place's scores and the first token are not used"
        expect_data(before, example, failed, NATS_MISTAKES)
        logits, tokens = example["logits"].clone(), example["tokens"].clone()
        logits[:, -1] = logits[:, -1].flip(-1) + torch.arange(logits.shape[-1])
        tokens[:, 0] = (tokens[:, 0] + 1) % logits.shape[-1]
        for name, changed, what in (("logits", logits, "scores at the last place"), ("tokens", tokens, "first token")):
            other = {**example, name: changed}
            after = answer_to(nats_of_next, other)
            if differs := difference(before, after, expected_is="before"):
                mistake = recognised(NATS_MISTAKES, example, before)
                shown = {**example, f"other {name}": changed}
                both = {"before": before, "after": after}
                raise PropertyFailed(failed, f"with other {what}, {differs}", shown, both, mistake)


def _pad(example, places):
    """Further places without a word; a model gives scores there all the same."""
    batch, _, vocabulary = example["logits"].shape
    scores = 3 * torch.randn(batch, places, vocabulary, generator=torch.Generator().manual_seed(places))
    return {
        "logits": torch.cat([example["logits"], scores], dim=1),
        "tokens": pad(example["tokens"], (0, places)),
        "is_word": pad(example["is_word"], (0, places)),
    }


def more_padding(function, examples):
    padding_changes_nothing(function, examples, pad=_pad, mistakes=[*NATS_MISTAKES, *PERPLEXITY_MISTAKES])


def perplexity_equals_torchs(perplexity, examples):
    name = "exp of torch's mean cross_entropy"
    same_as(perplexity, torchs_perplexity, examples, reference_name=name, mistakes=PERPLEXITY_MISTAKES)


def repeated_rows(perplexity, examples):
    mean_not_sum(perplexity, examples, repeat=("logits", "tokens", "is_word"), mistakes=PERPLEXITY_MISTAKES)


def known_perplexities(perplexity, cases):
    """cases: (example, perplexity)."""
    for example, known in cases:
        name = "a blind guess among so many tokens" if known > 1 else "a model that is sure and right"
        same_as(
            perplexity,
            lambda *_, known=known: float(known),
            [example],
            reference_name=name,
            tolerance=1e-4,
            mistakes=PERPLEXITY_MISTAKES,
        )


def bits_equal_torchs(bits_per_byte, examples):
    name = "torch's summed cross_entropy / ln 2 / bytes"
    same_as(bits_per_byte, torchs_bits, examples, reference_name=name, mistakes=BITS_MISTAKES)


def eight_bits(bits_per_byte, examples):
    name = "a blind guess of a byte"
    same_as(bits_per_byte, lambda *_: 8.0, examples, reference_name=name, tolerance=1e-4, mistakes=BITS_MISTAKES)


def next_token_is_scored(nats_of_next):
    """Each token is scored by the logits of the place before it, as by torch's loss."""
    costs_equal_torchs(nats_of_next, [*examples(), example([3, 3], 3, seed=6, scale=200.0)])


def ends_are_idle(nats_of_next):
    """The last place's scores and the first token change nothing."""
    first_and_last_do_not_matter(nats_of_next, [example([3], 3, seed=3), example([4, 4], 4, seed=7)])


def padding_counts_nothing(nats_of_next, perplexity):
    """More padding changes neither the nats nor the perplexity."""
    more_padding(nats_of_next, examples())
    more_padding(perplexity, examples())


def perplexity_is_exp_of_mean(perplexity):
    """The perplexity is e to the mean of all tokens' nats, each counting the same."""
    perplexity_equals_torchs(perplexity, examples())
    repeated_rows(perplexity, examples())


def blind_and_sure(perplexity):
    """A blind guess among V tokens has perplexity V, a model that is sure and right has 1."""
    known_perplexities(perplexity, [(blind([2], 2), 2), (blind([5, 3], 8), 8), (sure([3, 5], 4, seed=8), 1)])


def bits_are_per_byte(bits_per_byte):
    """The bits of all tokens, divided by the bytes of all texts."""
    bits_equal_torchs(
        bits_per_byte,
        [
            with_texts(["né à"], [4], 4, seed=9),
            with_texts(["naïve", "ab"], [4, 2], 5, seed=10),
            with_texts(["Ελλάδα", "Übermut", "x"], [6, 4, 2], 6, seed=11),
        ],
    )


def eight_bits_for_a_blind_guess(bits_per_byte):
    """A blind guess costs 8 bits a byte, in any script, and whatever a token holds."""
    eight_bits(bits_per_byte, [blind_bytes(["né"]), blind_bytes(["naïve", "ab"]), blind_pairs(["été!"])])


CHECKS = [
    next_token_is_scored,
    ends_are_idle,
    padding_counts_nothing,
    perplexity_is_exp_of_mean,
    blind_and_sure,
    bits_are_per_byte,
    eight_bits_for_a_blind_guess,
]
