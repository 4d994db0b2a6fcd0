"""Are runs summarised and judged as the rule says? On tables made to a known mean and spread, and on the kept runs."""

import math
import statistics

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import Mistake, answer_to, described, recognised
from course_lib.exercises.properties.mistakes import equals

# benchmarks/results/02_bahdanau_attention_seeds.json, torch's start, seeds 0 to 2: (exact match at 4 items, alignment).
KEPT = {
    "additive": [(0.990, 0.981), (0.985, 0.930), (1.000, 0.969)],
    "general": [(0.930, 0.550), (0.805, 0.572), (0.730, 0.462)],
    "dot": [(0.895, 0.653), (0.905, 0.661), (0.930, 0.667)],
}
# Around a mean of 0, with a standard deviation (n - 1) of 1, so that mean + spread · pattern has that mean and spread.
PATTERNS = {1: [0], 2: [-(0.5**0.5), 0.5**0.5], 3: [-1, 0, 1], 5: [-1, 1, 0, 1, -1], 7: [-1, 1, -1, 0, 1, 1, -1]}


def table(**scores):
    """(rows, the summary they must have), from a score's name and its (good runs, mean, spread, failed runs).

    The failed runs, a list of None and NaN, stand first and last in turn.
    """
    rows, summary = [], {}
    for score, (runs, mean, spread, failed) in scores.items():
        values = [mean + spread * step for step in PATTERNS[runs]] if runs else []
        for number, failure in enumerate(failed):
            values.insert(0 if number % 2 == 0 else len(values), failure)
        rows += [
            {"score": score, "seed": seed, "exact_match": _other(value, seed), "alignment": value}
            for seed, value in enumerate(values)
        ]
        summary[score] = {
            "runs": runs,
            "failed": len(failed),
            "mean": mean if runs else None,
            "spread": spread if runs > 1 else None,
        }
    return rows, summary


def _other(value, seed):
    """An exact match that has nothing to do with the alignment; a failed run has none either."""
    return value if value is None or math.isnan(value) else round(0.93 - 0.02 * seed, 4)


def _good(values):
    return [value for value in values if value is not None and not math.isnan(value)]


def _summary(mean=statistics.fmean, spread=statistics.stdev, of="alignment", good=_good, failed=True, of_one=None):
    """A summary that goes another way in some point: a recogniser's formula."""

    def formula(rows):
        summary = {}
        for score in {row["score"] for row in rows}:
            found = [row[of] for row in rows if row["score"] == score]
            kept = good(found)
            summary[score] = {
                "runs": len(kept),
                "failed": (len(found) - len(kept)) if failed else 0,
                "mean": mean(kept) if kept else None,
                "spread": spread(kept) if len(kept) > 1 else of_one,
            }
        return summary

    return formula


def _with_zeros(values):
    return [0.0 if value is None or math.isnan(value) else value for value in values]


def _some_nan(example, output):
    return any(found["mean"] is not None and math.isnan(found["mean"]) for found in output.values())


def _lost(example, output):
    return set(output) < {row["score"] for row in example["rows"]}


MISTAKES = [
    Mistake("no_dict", lambda example, output: not isinstance(output, dict)),
    Mistake("nan_counted", _some_nan),
    Mistake("scores_lost", _lost),
    equals("best_seed", _summary(mean=max)),
    equals("exact_match", _summary(of="exact_match")),
    equals("standard_error", _summary(spread=lambda values: statistics.stdev(values) / len(values) ** 0.5)),
    equals("population", _summary(spread=statistics.pstdev)),
    equals("variance", _summary(spread=statistics.variance)),
    equals("range", _summary(spread=lambda values: max(values) - min(values))),
    equals("failed_as_zero", _summary(good=_with_zeros)),
    equals("failed_unreported", _summary(failed=False)),
    equals("no_spread_of_one", _summary(of_one=0.0)),
]


# The public checks try each property on some tables; the hidden tests on others.


def summaries_are_right(summarise, tables):
    for rows, summary in tables:
        example = {"rows": rows}
        output = answer_to(summarise, example)
        if differs := difference(summary, output, expected_is="as these rows were made"):
            mistake = recognised(MISTAKES, example, output)
            raise PropertyFailed("the summary is that of the rows", differs, example, output, mistake)


def _rule(mean_reaches, fewest=3, stays_below=lambda mean, spread: mean + spread < 0.90):
    """A rule that goes another way in some point: a recogniser's formula."""

    def verdict(found):
        if found["runs"] < fewest or found["spread"] is None:
            return "undecided"
        if mean_reaches(found["mean"], found["spread"]):
            return "yes"
        return "no" if stays_below(found["mean"], found["spread"]) else "undecided"

    return lambda summary: {score: verdict(found) for score, found in summary.items()}


RULE_MISTAKES = [
    Mistake("no_dict", lambda example, output: not isinstance(output, dict)),
    equals("spread_ignored", _rule(lambda mean, spread: mean >= 0.90)),
    equals("spread_ignored", _rule(lambda mean, spread: mean >= 0.90, stays_below=lambda mean, spread: mean < 0.90)),
    equals("optimistic", _rule(lambda mean, spread: mean + spread >= 0.90)),
    equals("too_few_runs", _rule(lambda mean, spread: mean - spread >= 0.90, fewest=2)),
    equals("too_few_runs", _rule(lambda mean, spread: mean - spread >= 0.90, fewest=0)),
    equals("strict_bound", _rule(lambda mean, spread: mean - spread > 0.90)),
    equals("never_no", _rule(lambda mean, spread: mean - spread >= 0.90, stays_below=lambda mean, spread: False)),
]


def summary_of(**scores):
    """A summary, from a score's name and its (good runs, mean, spread)."""
    return {
        score: {"runs": runs, "failed": 0, "mean": mean, "spread": spread}
        for score, (runs, mean, spread) in scores.items()
    }


def rule_is_kept(decide, cases):
    """cases: (summary, verdicts). Raises PropertyFailed, which does not say what the verdict should have been."""
    failed = "the verdicts follow the rule"
    for summary, verdicts in cases:
        example = {"summary": summary}
        output = answer_to(decide, example)
        if not isinstance(output, dict) or set(output) != set(verdicts):
            found = f"expected a verdict for each of {', '.join(verdicts)}, got {described(output)}"
            raise PropertyFailed(failed, found, example, output, recognised(RULE_MISTAKES, example, output))
        for score, verdict in verdicts.items():
            if output[score] != verdict:
                found = f"on {score} you say {output[score]!r:.40}"
                raise PropertyFailed(failed, found, example, output, recognised(RULE_MISTAKES, example, output))


def mean_and_spread(summarise):
    """Each score has the mean and the standard deviation of its alignment."""
    summaries_are_right(
        summarise,
        [
            table(additive=(3, 0.8, 0.1, [])),
            table(dot=(3, 0.6, 0.05, []), additive=(5, 0.9, 0.02, [])),
        ],
    )


def failed_runs(summarise):
    """A failed run is counted as failed, and nowhere else."""
    summaries_are_right(
        summarise,
        [
            table(dot=(0, 0.0, 0.0, [math.nan])),
            table(dot=(3, 0.6, 0.1, [None])),
            table(dot=(2, 0.6, 0.1, [None, math.nan]), general=(1, 0.7, 0.0, [math.nan])),
        ],
    )


def rule(decide):
    """The rule is kept to the letter: yes, no, or undecided."""
    rule_is_kept(
        decide,
        [
            (summary_of(additive=(3, 0.97, 0.02)), {"additive": "yes"}),
            (summary_of(general=(3, 0.5, 0.1)), {"general": "no"}),
            (summary_of(dot=(5, 0.88, 0.05)), {"dot": "undecided"}),
            (summary_of(dot=(5, 0.92, 0.05)), {"dot": "undecided"}),
            (summary_of(additive=(2, 0.99, 0.001)), {"additive": "undecided"}),
            (summary_of(additive=(3, 0.90, 0.0)), {"additive": "yes"}),
            (summary_of(dot=(1, 0.3, None), additive=(0, None, None)), {"dot": "undecided", "additive": "undecided"}),
        ],
    )


def recorded(verdicts, elsewhere):
    """What you recorded is what the rule gives on the kept runs."""
    rows = [
        {"score": score, "seed": seed, "exact_match": exact, "alignment": looks}
        for score, runs in KEPT.items()
        for seed, (exact, looks) in enumerate(runs)
    ]
    right = _rule(lambda mean, spread: mean - spread >= 0.90)(_summary()(rows))
    failed = "the recorded results are those of the kept runs"
    if verdicts != right:
        raise PropertyFailed(failed, "not all verdicts are", {"kept": KEPT}, verdicts, "wrong_verdicts")
    if not isinstance(elsewhere, list | tuple) or not all(score in KEPT for score in elsewhere):
        found = f"`elsewhere` should list names of scores, got {described(elsewhere)}"
        raise PropertyFailed(failed, found, {"kept": KEPT}, elsewhere)
    translate = {score for score, runs in KEPT.items() if statistics.fmean(exact for exact, _ in runs) >= 0.90}
    astray = {score for score, verdict in right.items() if verdict == "no"}
    if set(elsewhere) != translate & astray:
        mistakes = {frozenset(translate): "by_exact_match_alone", frozenset(astray): "by_looks_alone"}
        found = "`elsewhere` lists other scores"
        raise PropertyFailed(failed, found, {"kept": KEPT}, list(elsewhere), mistakes.get(frozenset(elsewhere)))


CHECKS = [mean_and_spread, failed_runs, rule, recorded]
