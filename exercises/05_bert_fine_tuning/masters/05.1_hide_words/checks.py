"""Are words hidden as BERT hides them? What must hold of each text, and of the counts of many, by chi-square."""

import torch

from course_lib.data.masking import NOT_ASKED
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.arguments import leaves_arguments_alone
from course_lib.exercises.properties.distributions import chi_square_p_value
from course_lib.exercises.properties.examples import (
    Mistake,
    answer_to,
    described,
    expect_tensor,
    recognised,
    smallest_first,
)

SPECIAL = (0, 3, 7, 4)  # padding, beginning, end, mask: words stand between them
SIGNIFICANCE = 1e-4  # of one count; a second one, with another seed, must be as odd


def example(words, *, vocabulary=40, special=SPECIAL, seed=0):
    """A text for each number of `words`, between a beginning and an end, padded; special as in SPECIAL."""
    padding, begin, end, mask = special
    lots = torch.Generator().manual_seed(seed)
    ordinary = torch.tensor([token for token in range(vocabulary) if token not in special])
    rows = []
    for count in words:
        drawn = ordinary[torch.randint(len(ordinary), (count,), generator=lots)].tolist()
        rows.append([begin, *drawn, end] + [padding] * (max(words) - count))
    return {
        "tokens": torch.tensor(rows),
        "special_tokens": torch.tensor(special),
        "mask_token": mask,
        "vocabulary_size": vocabulary,
        "seed": seed,
    }


def as_many(words, padding):
    """How many such texts to count: within 32,768 numbers torch works in one thread, quickly also where it is busy."""
    return 32_000 // (words + 2 + padding)


def many(rows, words, padding, *, vocabulary, seed, special=SPECIAL):
    """So many texts of so many words, each followed by so many places of padding."""
    one = example([words] * rows, vocabulary=vocabulary, special=special, seed=seed)
    one["tokens"] = torch.nn.functional.pad(one["tokens"], (0, padding), value=special[0])
    return one


def examples():
    """From one text of four words to four texts of up to sixty."""
    yield example([4], seed=0)
    yield example([12, 5], seed=1)
    yield example([60, 40, 60, 55], seed=2)
    yield example([60, 60, 60, 60], seed=3)


def _special(example):
    return torch.isin(example["tokens"], example["special_tokens"])


def _labels_first(example, output):
    hidden, labels = output
    return (hidden == NOT_ASKED).any() and not (labels == NOT_ASKED).any()


def _labels_everywhere(example, output):
    return torch.equal(output[1], example["tokens"])


def _asked_and_unasked_changed_places(example, output):
    labels, special = output[1], _special(example)
    return torch.equal(labels[special], example["tokens"][special]) and (labels == NOT_ASKED).any()


def _another_number(example, output):
    """All places that hold no label of their own hold one and the same number, which is not NOT_ASKED."""
    elsewhere = output[1][output[1] != example["tokens"]].unique()
    return len(elsewhere) == 1 and elsewhere != NOT_ASKED and (output[1][_special(example)] == elsewhere).any()


def _special_touched(example, output):
    hidden, labels = output
    special = _special(example)
    return (labels[special] != NOT_ASKED).any() or (hidden[special] != example["tokens"][special]).any()


def _labels_of_hidden(example, output):
    hidden, labels = output
    asked = labels != NOT_ASKED
    return asked.any() and torch.equal(labels[asked], hidden[asked]) and not torch.equal(labels, example["tokens"])


def _unasked_changed(example, output):
    hidden, labels = output
    return ((hidden != example["tokens"]) & (labels == NOT_ASKED)).any()


# Asked in this order: what explains every label comes before what explains one.
MISTAKES = [
    Mistake("wrong_order", _labels_first),
    Mistake("labels_everywhere", _labels_everywhere),
    Mistake("inverted_labels", _asked_and_unasked_changed_places),
    Mistake("another_number", _another_number),
    Mistake("special_hidden", _special_touched),
    Mistake("unasked_changed", _unasked_changed),
    Mistake("labels_of_hidden", _labels_of_hidden),
]


def _hidden(hide_words, example, failed):
    """(hidden, labels, the whole output), of the right form. Raises PropertyFailed."""
    output = answer_to(hide_words, example)
    if not isinstance(output, tuple | list) or len(output) != 2:
        found = f"expected (hidden, labels), got {described(output)}"
        raise PropertyFailed(failed, found, example, output, "not_a_pair")
    parts = [expect_tensor(part, example["tokens"].shape, example, failed, MISTAKES) for part in output]
    if any(part.is_floating_point() for part in parts):
        found = "expected whole numbers, since tokens are used as indices"
        raise PropertyFailed(failed, found, example, output, "not_whole")
    return (*(part.long() for part in parts), output)


# The public checks try each property on some texts; the hidden tests on others.


def is_a_pair(hide_words, examples):
    failed = "the answer is (hidden, labels), each [batch, length]"
    for example in smallest_first(examples):
        hidden, labels, output = _hidden(hide_words, example, failed)
        if _labels_first(example, (hidden, labels)):
            raise PropertyFailed(failed, "the labels come first", example, output, "wrong_order")
        if not 0 <= hidden.min() <= hidden.max() < example["vocabulary_size"]:
            found = f"what the model reads goes from {hidden.min()} to {hidden.max()}: not all are tokens"
            raise PropertyFailed(failed, found, example, output, recognised(MISTAKES, example, (hidden, labels)))


def tokens_stay(hide_words, examples):
    leaves_arguments_alone(hide_words, examples, mistakes=[Mistake("changed_in_place", lambda *_: True)])


def special_is_left_alone(hide_words, examples):
    failed = "special tokens are never chosen"
    for example in smallest_first(examples):
        hidden, labels, output = _hidden(hide_words, example, failed)
        special = _special(example)
        for what, wrong in (
            ("is asked", labels != NOT_ASKED),
            ("was replaced", hidden != example["tokens"]),
        ):
            if len(places := (wrong & special).nonzero()):
                row, place = places[0].tolist()
                found = f"token {example['tokens'][row, place]}, row {row}, place {place}, is special and {what}"
                raise PropertyFailed(failed, found, example, output, recognised(MISTAKES, example, (hidden, labels)))


def labels_hold_the_words(hide_words, examples):
    failed = "a label is the word that stood there, and only words that are asked are changed"
    for example in smallest_first(examples):
        hidden, labels, output = _hidden(hide_words, example, failed)
        tokens = example["tokens"]
        for what, wrong in (
            ("has the label {label}, but {token} stood there", (labels != tokens) & (labels != NOT_ASKED)),
            ("was {token} and is now {hidden}, but is not asked", (hidden != tokens) & (labels == NOT_ASKED)),
        ):
            if len(places := wrong.nonzero()):
                row, place = places[0].tolist()
                values = {"label": labels[row, place], "token": tokens[row, place], "hidden": hidden[row, place]}
                found = f"row {row}, place {place} " + what.format(**values)
                raise PropertyFailed(failed, found, example, output, recognised(MISTAKES, example, (hidden, labels)))


def other_words_each_time(hide_words, seeds=(0, 1)):
    """One text of sixty words, six times in a batch."""
    failed = "the seed decides what is hidden: the same one hides the same, another one hides other words"
    one = many(6, 60, 0, vocabulary=40, seed=seeds[0])
    one["tokens"] = one["tokens"][:1].expand(6, -1).clone()
    _, labels, output = _hidden(hide_words, one, failed)
    if (labels == NOT_ASKED).all():
        raise PropertyFailed(failed, "no word is asked at all", one, output, "nothing_asked")
    _, again, repeated = _hidden(hide_words, one, failed)
    if not torch.equal(labels, again):
        both = {"first": output[1], "second": repeated[1]}
        raise PropertyFailed(failed, "asked twice with one seed, it chooses other words", one, both, "seed_ignored")
    _, elsewhere, repeated = _hidden(hide_words, {**one, "seed": seeds[1]}, failed)
    if torch.equal(labels, elsewhere):
        both = {f"seed {seeds[0]}": output[1], f"seed {seeds[1]}": repeated[1]}
        raise PropertyFailed(failed, "another seed chooses the very same words", one, both, "same_each_time")
    if (labels == labels[0]).all():
        found = "all rows hold one text, and in all of them the same places are chosen"
        raise PropertyFailed(failed, found, one, output, "same_in_each_row")


def _counted(hide_words, example, failed):
    """How many words there are, are asked, and what became of those: a dict by name; and the labels."""
    hidden, labels, output = _hidden(hide_words, example, failed)
    asked = labels != NOT_ASKED
    if mistake := recognised(MISTAKES, example, (hidden, labels)):
        raise PropertyFailed(failed, "not even one text is right; see the checks above", example, output, mistake)
    masked, kept = hidden[asked] == example["mask_token"], hidden[asked] == example["tokens"][asked]
    counts = {
        "words": int((~_special(example)).sum()),
        "asked": int(asked.sum()),
        "masked": int(masked.sum()),
        "random": int((~masked & ~kept).sum()),
        "kept": int(kept.sum()),
    }
    return counts, asked


def _likely(counts, probabilities):
    """Whether these counts are drawn with such probabilities, as far as one can tell."""
    return chi_square_p_value(torch.tensor(counts).double(), torch.tensor(probabilities).double()) >= SIGNIFICANCE


def _fates_mistake(counts):
    """Which mistake makes such fates, or None."""
    fates = [counts["masked"], counts["random"], counts["kept"]]
    chosen = [counts["asked"], counts["words"] - counts["asked"]]
    few = counts["asked"] // 100  # a random word may be the right one by chance
    if counts["kept"] <= few < counts["random"]:
        return "no_kept" if _likely(chosen, [0.15, 0.85]) else "kept_not_asked"
    if counts["kept"] == counts["random"] == 0:
        return "all_masked"
    for mistake, probabilities in (
        ("no_random", [0.8, 0.0, 0.2]),
        ("tenth_of_the_rest", [0.8, 0.02, 0.18]),
        ("share_twice", [0.12, 0.015, 0.865]),
        ("share_twice", [0.12, 0.1, 0.78]),
    ):
        if _likely(fates, probabilities) and not (mistake == "no_random" and counts["random"]):
            return mistake
    return "wrong_fates"


# Odd counts get a second try with another seed, so that a right answer fails once in 10^8 times.


def fates_are_drawn(hide_words, words=60, padding=20, seeds=(1, 2)):
    failed = "of the words that are asked, 80 % are masked, 10 % replaced, 10 % kept"
    for seed in seeds:
        one = many(as_many(words, padding), words, padding, vocabulary=1_000, seed=seed)
        counts, _ = _counted(hide_words, one, failed)
        fates = [counts["masked"], counts["random"], counts["kept"]]
        if counts["asked"] and _likely(fates, [0.8, 0.1, 0.1]):
            return
    if not counts["asked"]:
        raise PropertyFailed(failed, "no word is asked at all", counts, fates, "nothing_asked")
    shares = ", ".join(f"{count / counts['asked']:.1%} {name}" for name, count in list(counts.items())[2:])
    raise PropertyFailed(failed, f"of {counts['asked']} asked, {shares}", counts, fates, _fates_mistake(counts))


def words_are_chosen(hide_words, words=60, padding=20, seeds=(3, 4)):
    failed = "15 % of the words are asked, at every place alike"
    for seed in seeds:
        one = many(as_many(words, padding), words, padding, vocabulary=1_000, seed=seed)
        counts, asked = _counted(hide_words, one, failed)
        share = counts["asked"] / counts["words"]
        by_place = asked.sum(dim=0)[1 : words + 1]
        good_share = _likely([counts["asked"], counts["words"] - counts["asked"]], [0.15, 0.85])
        good_places = _likely(by_place.tolist(), [1 / words] * words)
        if good_share and good_places:
            return
    if good_share:
        found = f"of {len(asked)} texts, place {by_place.argmin() + 1} was asked {by_place.min()} times, "
        found += f"place {by_place.argmax() + 1} {by_place.max()} times"
        raise PropertyFailed(failed, found, {"asked, by place": by_place}, counts, "some_places")
    of_places = asked.numel() / counts["words"] * 0.15  # what a share of all places is of the words
    mistake = "share_of_places" if abs(share / of_places - 1) < 0.1 else "wrong_share"
    if counts["kept"] <= counts["asked"] // 100 and abs(share / 0.135 - 1) < 0.05:
        mistake = "kept_not_asked"
    raise PropertyFailed(failed, f"{share:.1%} of {counts['words']} words are asked", counts, counts["asked"], mistake)


def any_word_may_come(hide_words, vocabulary=30, special=SPECIAL, seeds=(5, 6)):
    failed = "another word is drawn from all words that are not special, each as often"
    for seed in seeds:
        one = many(as_many(100, 0), 100, 0, vocabulary=vocabulary, special=special, seed=seed)
        hidden, labels, _ = _hidden(hide_words, one, failed)
        replaced = (labels != NOT_ASKED) & (hidden != one["tokens"]) & (hidden != one["mask_token"])
        came = hidden[replaced].bincount(minlength=vocabulary)  # [vocabulary]
        if came[list(special)].any():
            token = next(token for token in special if came[token])
            found = f"token {token} is special and stands {came[token]} times in a word's place"
            raise PropertyFailed(failed, found, {"special": list(special)}, came, "random_special")
        ordinary = torch.tensor([token for token in range(vocabulary) if token not in special])
        if not came.any():
            found = "no word is ever replaced by another one"
            raise PropertyFailed(failed, found, {"special": list(special)}, came, "no_random")
        if _likely(came[ordinary].tolist(), [1 / len(ordinary)] * len(ordinary)):
            return
    least, most = came[ordinary].min(), came[ordinary].max()
    found = f"of {int(came.sum())}, some words came {least} times and some {most} times"
    raise PropertyFailed(failed, found, {"special": list(special)}, came, "few_random")


def hidden_and_labels(hide_words):
    """It gives what the model reads and the labels, and leaves the tokens as they were."""
    is_a_pair(hide_words, examples())
    tokens_stay(hide_words, examples())


def special_tokens_stay(hide_words):
    """Special tokens and padding are never chosen."""
    special_is_left_alone(hide_words, examples())


def labels_are_the_words(hide_words):
    """A label is the word that stood there; what is not asked is not changed."""
    labels_hold_the_words(hide_words, [*examples(), example([60] * 8, seed=4)])


def seed_decides(hide_words):
    """The same seed hides the same words, another seed others, and each row its own."""
    other_words_each_time(hide_words)


def shares_of_the_asked(hide_words):
    """Of the words that are asked, 80 % are masked, 10 % replaced, 10 % kept."""
    fates_are_drawn(hide_words)


def share_of_the_words(hide_words):
    """Of all words 15 % are asked, at every place alike."""
    words_are_chosen(hide_words)


def random_words(hide_words):
    """Any word that is not special may come in another's place."""
    any_word_may_come(hide_words)


CHECKS = [
    hidden_and_labels,
    special_tokens_stay,
    labels_are_the_words,
    seed_decides,
    shares_of_the_asked,
    share_of_the_words,
    random_words,
]
