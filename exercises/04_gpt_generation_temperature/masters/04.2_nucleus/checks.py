"""What top-k and top-p must do: keep the likeliest, as few as asked for, exactly those that transformers keeps."""

import torch
from transformers.generation import TopKLogitsWarper, TopPLogitsWarper

from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.arguments import leaves_arguments_alone
from course_lib.exercises.properties.batches import batch_of_one_equals_batch
from course_lib.exercises.properties.examples import Mistake, answer_to, expect_tensor, recognised
from course_lib.exercises.properties.mistakes import equals
from course_lib.exercises.properties.parity import same_as

CUT = float("-inf")
MARGIN = 1e-3  # no running sum of an example lies nearer to p, so that no rounding decides who stays
TOLERANCE = 1e-5


def random_k(batch, vocabulary, k, seed):
    """Logits in no order."""
    return {"logits": 2 * torch.randn(batch, vocabulary, generator=torch.Generator().manual_seed(seed)), "k": k}


def random_p(batch, vocabulary, p, seed, scale=1.5, cut_off=0):
    """Logits in no order, the first `cut_off` of a row already cut. Raises ValueError where rounding would decide."""
    logits = scale * torch.randn(batch, vocabulary, generator=torch.Generator().manual_seed(seed))
    logits[:, :cut_off] = CUT
    return _decided({"logits": logits, "p": p})


def shares_p(rows, p):
    """Logits of these probabilities, plus a constant that the softmax takes away again."""
    return _decided({"logits": torch.tensor(rows).log() + 2.0, "p": p})


def _decided(example):
    running = example["logits"].double().sort(dim=-1, descending=True).values.softmax(-1).cumsum(-1)
    if example["p"] < 1 and (running - example["p"]).abs().min() < MARGIN * example["p"]:
        raise ValueError("a running sum lies too near p; take another seed")
    return example


def transformers_top_k(logits, k):
    return TopKLogitsWarper(k)(None, logits)


def transformers_top_p(logits, p):
    return TopPLogitsWarper(p)(None, logits)


# Known wrong answers, by formulas around the probabilities in descending order.


def _kept(is_kept):
    """The logits where `is_kept(shares, running, p)` holds: both likeliest first, running with each token's own."""

    def formula(logits, p):
        descending, order = logits.sort(dim=-1, descending=True)
        shares = descending.softmax(-1)
        kept = is_kept(shares, shares.cumsum(-1), p)
        return logits.masked_fill(~torch.zeros_like(kept).scatter(1, order, kept), CUT)

    return formula


def _unsorted(logits, p):
    shares = logits.softmax(-1)
    return logits.masked_fill(shares.cumsum(-1) - shares >= p, CUT)


def _unsorted_to_the_border(logits, p):
    return logits.masked_fill(logits.softmax(-1).cumsum(-1) > p, CUT)


def _mask_in(find):
    """The right mask, in the wrong order."""

    def formula(logits, p):
        descending, order = logits.sort(dim=-1, descending=True)
        shares = descending.softmax(-1)
        return logits.masked_fill(find(shares.cumsum(-1) - shares >= p, order), CUT)

    return formula


def _likeliest_last(logits, p):
    ascending, order = logits.sort(dim=-1)
    shares = ascending.softmax(-1)
    cut = shares.cumsum(-1) - shares >= p
    return logits.masked_fill(cut.scatter(1, order, cut), CUT)


def _of_logits(logits, p):
    descending, order = logits.sort(dim=-1, descending=True)
    cut = descending.cumsum(-1) - descending >= p
    return logits.masked_fill(cut.scatter(1, order, cut), CUT)


def _shares_over_batch(logits, p):
    descending, order = logits.sort(dim=-1, descending=True)
    shares = descending.softmax(0)
    cut = shares.cumsum(-1) - shares >= p
    return logits.masked_fill(cut.scatter(1, order, cut), CUT)


def _one_more(shares, running, p):
    return torch.cat([torch.ones_like(running[:, :1], dtype=torch.bool), (running - shares < p)[:, :-1]], dim=1)


def _all_cut(_, output):
    return bool((output == CUT).all(-1).any())


def _first_count(shares, running, p):
    return (running - shares < p)[:1].expand_as(running)


def _as_shares(logits, p):
    kept = transformers_top_p(logits, p) > CUT
    return logits.softmax(-1) * kept


TOP_P_MISTAKES = [
    equals("probabilities", _as_shares),
    equals("probabilities", lambda logits, p: transformers_top_p(logits, p).softmax(-1)),
    equals("not_infinite", lambda logits, p: logits.masked_fill(transformers_top_p(logits, p) == CUT, 0.0)),
    equals("border_dropped", _kept(lambda shares, running, p: running <= p)),
    equals("threshold", _kept(lambda shares, running, p: shares >= p)),
    equals("threshold", _kept(lambda shares, running, p: shares >= 1 - p)),
    equals("one_minus_p", _kept(lambda shares, running, p: running - shares < 1 - p)),
    equals("likeliest_last", _likeliest_last),
    equals("not_scattered", _mask_in(lambda cut, order: cut)),
    equals("not_scattered", _mask_in(lambda cut, order: cut.gather(1, order))),
    equals("unsorted", _unsorted),
    equals("unsorted", _unsorted_to_the_border),
    equals("logits_summed", _of_logits),
    equals("one_too_many", _kept(_one_more)),
    equals("first_row", _kept(_first_count)),
    equals("over_the_batch", _shares_over_batch),
    equals("nothing_cut", lambda logits, p: logits),
    Mistake("nothing_left", _all_cut),
]


def _smallest_k(logits, k):
    return logits.masked_fill(logits > logits.topk(min(k, logits.shape[-1]), largest=False).values[:, -1:], CUT)


def _at_least_smallest(logits, k):
    return logits.masked_fill(logits < logits.topk(min(k, logits.shape[-1]), largest=False).values[:, -1:], CUT)


def _of_whole_batch(logits, k):
    return logits.masked_fill(logits < logits.flatten().topk(min(k, logits.numel())).values[-1], CUT)


def _without_ties(logits, k):
    best = logits.topk(min(k, logits.shape[-1]))
    return torch.full_like(logits, CUT).scatter(1, best.indices, best.values)


TOP_K_MISTAKES = [
    equals("probabilities", lambda logits, k: transformers_top_k(logits, k).softmax(-1)),
    equals("probabilities", lambda logits, k: logits.softmax(-1) * (transformers_top_k(logits, k) > CUT)),
    equals("not_infinite", lambda logits, k: logits.masked_fill(transformers_top_k(logits, k) == CUT, 0.0)),
    equals("last_dropped", lambda logits, k: logits.masked_fill(logits <= logits.topk(k).values[:, -1:], CUT)),
    equals("ties_dropped", _without_ties),
    equals("smallest_kept", _smallest_k),
    equals("smallest_kept", _at_least_smallest),
    equals("whole_batch", _of_whole_batch),
    equals("nothing_cut", lambda logits, k: logits),
]


# The public checks try each property on the examples below; the hidden tests on others.


def equals_transformers_top_k(only_top_k, examples):
    for example in examples:
        try:
            same_as(
                only_top_k,
                transformers_top_k,
                [example],
                reference_name="transformers' TopKLogitsWarper",
                mistakes=TOP_K_MISTAKES,
            )
        except AnswerRaised as raised:
            if example["k"] <= example["logits"].shape[-1]:
                raise
            found = f"k = {example['k']} of {example['logits'].shape[-1]} tokens raised {raised.kind}: {raised.error}"
            failed = "a k beyond the vocabulary keeps everything"
            raise PropertyFailed(failed, found, example, None, "k_too_large") from raised


def equals_transformers_top_p(only_top_p, examples):
    name = "transformers' TopPLogitsWarper"
    same_as(only_top_p, transformers_top_p, examples, reference_name=name, mistakes=TOP_P_MISTAKES)


def _explained(only_top_p, examples):
    """The mistake that explains the answers to all examples: on a small one, several mistakes give the same."""

    def explains(mistake):
        return Mistake(mistake.key, lambda _, outputs: all(map(mistake.recognises, examples, outputs)))

    outputs = [answer_to(only_top_p, example) for example in examples]
    return recognised(map(explains, TOP_P_MISTAKES), {}, outputs)


def is_a_nucleus(only_top_p, examples):
    """What stays keeps its logit, is the likeliest, reaches p, and would not without its least likely token."""
    for example in examples:
        logits, p = example.values()
        output = answer_to(only_top_p, example)
        failed = "what stays keeps its logit, what goes gets -inf"
        left = expect_tensor(output, logits.shape, example, failed, TOP_P_MISTAKES)

        def refuse(failed, found, example=example, output=output):
            mistake = _explained(only_top_p, examples) or recognised(TOP_P_MISTAKES, example, output)
            raise PropertyFailed(failed, found, example, output, mistake)

        stays = left > CUT
        if changed := int((stays & (left != logits)).sum()):
            refuse(failed, f"{changed} logits are neither as before nor -inf")
        shares = logits.double().softmax(-1)
        for row, kept in enumerate(stays):
            reached, gone = shares[row, kept].sum().item(), shares[row, ~kept]
            where = f"in row {row}, {int(kept.sum())} tokens stay, with {reached:.4g} together"
            if reached < p - TOLERANCE:
                refuse(f"what stays reaches p = {p:g}", where)
            least = shares[row, kept].min().item()
            if len(gone) and gone.max() > least + TOLERANCE:
                refuse("nothing that goes is likelier than what stays", f"{gone.max():.4g} goes, {least:.4g} stays")
            if reached - least >= p + TOLERANCE:
                refuse(f"with one token less it would not reach p = {p:g}", where)


def rows_do_not_matter(cut, examples):
    mistakes = TOP_K_MISTAKES if "k" in examples[0] else TOP_P_MISTAKES
    batch_of_one_equals_batch(cut, examples, batched=("logits",), mistakes=mistakes)


def changes_nothing(cut, examples):
    leaves_arguments_alone(cut, examples, mistakes=[Mistake("in_place", lambda *_: True)])


def k_likeliest_stay(only_top_k):
    """Of each row the k likeliest stay, as in transformers."""
    equals_transformers_top_k(
        only_top_k, [random_k(1, 4, 2, seed=0), random_k(2, 5, 1, seed=1), random_k(3, 6, 4, seed=2)]
    )


def ties_and_large_k(only_top_k):
    """Tokens that tie with the last stay, and a k beyond the vocabulary keeps all."""
    tied = {"logits": torch.tensor([[1.0, 3.0, 2.0, 2.0], [0.0, 0.5, 0.5, 0.0]]), "k": 2}
    equals_transformers_top_k(only_top_k, [tied, random_k(2, 3, 5, seed=3)])


def nucleus_is_smallest(only_top_p):
    """What stays is the smallest set of likeliest tokens that reaches p."""
    is_a_nucleus(
        only_top_p,
        [
            shares_p([[0.1, 0.5, 0.15, 0.25]], 0.7),
            shares_p([[0.3, 0.05, 0.45, 0.2]], 0.9),
            shares_p([[0.2, 0.1, 0.4, 0.25, 0.05], [0.05, 0.1, 0.02, 0.8, 0.03]], 0.75),
            {"logits": torch.zeros(1, 4), "p": 0.6},
        ],
    )


def same_as_transformers(only_top_p):
    """The same tokens stay as in transformers."""
    equals_transformers_top_p(
        only_top_p,
        [
            shares_p([[0.1, 0.5, 0.15, 0.25]], 0.7),
            shares_p([[0.2, 0.1, 0.4, 0.25, 0.05], [0.05, 0.1, 0.02, 0.8, 0.03]], 0.75),
            random_p(3, 8, 0.6, seed=4, cut_off=2),
            random_p(2, 8, 1.0, seed=5),
        ],
    )


def one_token_stays(only_top_p):
    """At least one token stays, however small p is, and however sure the row."""
    equals_transformers_top_p(only_top_p, [shares_p([[0.3, 0.6, 0.1]], 0.05), random_p(2, 4, 0.5, seed=6, scale=30.0)])


def each_row_by_itself(only_top_k, only_top_p):
    """A row keeps the same tokens alone and in a batch."""
    rows_do_not_matter(only_top_k, [random_k(3, 5, 2, seed=7)])
    rows_do_not_matter(only_top_p, [random_p(3, 5, 0.7, seed=8)])


def logits_are_left(only_top_k, only_top_p):
    """The logits that you were given stay as they were."""
    changes_nothing(only_top_k, [random_k(1, 4, 2, seed=9)])
    changes_nothing(only_top_p, [random_p(1, 4, 0.5, seed=10)])


CHECKS = [
    k_likeliest_stay,
    ties_and_large_k,
    nucleus_is_smallest,
    same_as_transformers,
    one_token_stays,
    each_row_by_itself,
    logits_are_left,
]
