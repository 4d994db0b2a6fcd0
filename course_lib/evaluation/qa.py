"""Is this answer right? Exact match and F1, as the official scripts of SQuAD 2.0 and CoQA reckon them (notebook 09).

Both compare texts without capitals, punctuation, articles and extra white space. They differ in what they do with
several references: SQuAD takes the best one; CoQA leaves out each in turn and averages the best of the others, since
that is how its human answers, which are references themselves, were scored.
Sources: evaluate-v2.0.py of SQuAD (Rajpurkar et al. 2018), evaluate-v1.0.py of CoQA (Reddy et al. 2019). All scores
of single answers are from 0 to 1; those of whole sets are percentages.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
# CoQA's name of a domain -> that of its table; the last two are in the test set alone.
IN_DOMAIN = {
    "mctest": "children_stories",
    "gutenberg": "literature",
    "race": "mid-high_school",
    "cnn": "news",
    "wikipedia": "wikipedia",
}
OUT_DOMAIN = {"reddit": "reddit", "science": "science"}

Score = Callable[[str, str], float]


def normalize_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single spaces. "The U.S.-led plan" becomes "usled plan"."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the prediction equals a reference after normalisation, else 0. No reference means that "" is right."""
    return max(_equal(prediction, reference) for reference in answerable(references))


def f1(prediction: str, references: Sequence[str]) -> float:
    """The best harmonic mean of precision and recall of words, with any reference; order does not count.

    No reference means that there is no answer, and "" is right. Where one of both texts has no word, only equality
    counts.
    """
    return max(_overlap(prediction, reference) for reference in answerable(references))


def answerable(references: Sequence[str]) -> list[str]:
    """The references of which something is left after normalisation; [""] if none is."""
    return [reference for reference in references if normalize_answer(reference)] or [""]


def coqa_f1(prediction: str, references: Sequence[str]) -> float:
    """CoQA's F1: each reference left out once, the mean of the best F1 with the others. Raises ValueError for none."""
    return _left_out_in_turn(prediction, references, _overlap)


def coqa_exact_match(prediction: str, references: Sequence[str]) -> float:
    """CoQA's exact match, with the references left out as in `coqa_f1`."""
    return _left_out_in_turn(prediction, references, _equal)


def score_squad(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    no_answer: Sequence[float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """SQuAD 2.0's figures for a set: "exact", "f1", "total", the same with "HasAns_" and "NoAns_" before them.

    predictions: "" says that there is no answer. references: none for a question without an answer.
    no_answer: how sure the model is that there is none; above `threshold` its prediction counts as "". With it come
    the thresholds that would have been best: "best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh".
    Raises ValueError for lists of different lengths, or empty ones.
    """
    _same_length(predictions, references)
    if no_answer is not None:
        _same_length(predictions, no_answer)
    has_answer = [answerable(each) != [""] for each in references]
    raw = {
        "exact": [exact_match(*pair) for pair in zip(predictions, references, strict=True)],
        "f1": [f1(*pair) for pair in zip(predictions, references, strict=True)],
    }
    measured: dict[str, float] = {}
    groups = {"": None, "HasAns_": True, "NoAns_": False}
    for prefix, wanted in groups.items():
        chosen = [number for number, has in enumerate(has_answer) if wanted is None or has == wanted]
        if not chosen:
            continue
        for name, scores in raw.items():
            kept = scores
            if no_answer is not None:
                kept = [
                    float(not has_answer[number]) if no_answer[number] > threshold else score
                    for number, score in enumerate(scores)
                ]
            measured[f"{prefix}{name}"] = 100 * sum(kept[number] for number in chosen) / len(chosen)
        measured[f"{prefix}total"] = len(chosen)
    if no_answer is not None:
        for name, scores in raw.items():
            best, best_threshold = _best_threshold(predictions, scores, no_answer, has_answer)
            measured[f"best_{name}"], measured[f"best_{name}_thresh"] = best, best_threshold
    return measured


def score_coqa(
    predictions: Sequence[str], references: Sequence[Sequence[str]], domains: Sequence[str] | None = None
) -> dict[str, dict[str, float]]:
    """CoQA's table: for "overall", "in_domain", "out_domain" and each domain its "em", "f1" and "turns".

    domains: of each turn, by CoQA's names ("mctest", "reddit", ...) or any others, which count for "overall" alone.
    Domains without a turn are left out. The official script rounds to one place; this does not.
    Raises ValueError for lists of different lengths, or empty ones.
    """
    _same_length(predictions, references)
    if domains is not None:
        _same_length(predictions, domains)
    scores: dict[str, list[tuple[float, float]]] = {"overall": [], "in_domain": [], "out_domain": []}
    for number, (prediction, golds) in enumerate(zip(predictions, references, strict=True)):
        pair = coqa_exact_match(prediction, golds), coqa_f1(prediction, golds)
        for group in ("overall", *(_groups_of(domains[number]) if domains is not None else ())):
            scores.setdefault(group, []).append(pair)
    return {
        group: {
            "em": 100 * sum(em for em, _ in pairs) / len(pairs),
            "f1": 100 * sum(overlap for _, overlap in pairs) / len(pairs),
            "turns": len(pairs),
        }
        for group, pairs in scores.items()
        if pairs
    }


def _groups_of(domain: str) -> tuple[str, ...]:
    for group, names in (("in_domain", IN_DOMAIN), ("out_domain", OUT_DOMAIN)):
        known: Mapping[str, str] = names
        if domain in known or domain in known.values():
            return known.get(domain, domain), group
    return (domain,)


def _equal(prediction: str, reference: str) -> float:
    return float(normalize_answer(prediction) == normalize_answer(reference))


def _overlap(prediction: str, reference: str) -> float:
    said, wanted = normalize_answer(prediction).split(), normalize_answer(reference).split()
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _left_out_in_turn(prediction: str, references: Sequence[str], score: Score) -> float:
    if not references:
        raise ValueError("CoQA has at least one reference for each turn, 'unknown' where there is no answer; got none")
    if len(references) == 1:
        return score(prediction, references[0])
    scores = [score(prediction, reference) for reference in references]
    return sum(max(scores[:left] + scores[left + 1 :]) for left in range(len(scores))) / len(scores)


def _best_threshold(
    predictions: Sequence[str], scores: Sequence[float], no_answer: Sequence[float], has_answer: Sequence[bool]
) -> tuple[float, float]:
    """The best percentage that a threshold could have given, and the threshold.

    With threshold 0 all are taken for unanswerable; then they are let through one by one, the surest answers first.
    """
    current = best = float(sum(not has for has in has_answer))
    best_threshold = 0.0
    for number in sorted(range(len(scores)), key=lambda each: no_answer[each]):
        if has_answer[number]:
            current += scores[number]
        elif predictions[number]:
            current -= 1
        if current > best:
            best, best_threshold = current, no_answer[number]
    return 100 * best / len(scores), best_threshold


def _same_length(first: Sequence, second: Sequence) -> None:
    if len(first) != len(second) or not first:
        raise ValueError(
            f"there are {len(first)} predictions and {len(second)} references, probabilities or domains; expected as "
            "many of each, in the same order, and at least one"
        )
