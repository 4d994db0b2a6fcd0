"""What happens in one step of decoding? Energies, weights, context and the chosen word, one step after the other.

Notebook 02 takes the formulas apart; here they are read off a model while it writes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.vocabulary import BEGIN, END, Vocabulary
from course_lib.generation.translate import Writer, longest_target
from course_lib.models.attention import AdditiveAttention, DotAttention, GeneralAttention, dot_energies
from course_lib.models.modes import evaluating
from course_lib.models.seq2seq import AttentionDecoder, EncoderDecoder

LONGEST_SOURCE, MOST_STEPS = 64, 192
TOLERANCE = 2e-3  # of a sum of weights, and of softmax(energies); float16 keeps it


@dataclass(frozen=True)
class Step:
    """One target word and how it came about.

    energies, weights: one for each source word; the energies are None where only the weights are known.
    context: the weighted sum of the annotations, as many of its numbers as are shown.
    others: the words that came next in likelihood, with their probabilities.
    """

    word: str
    probability: float
    weights: tuple[float, ...]
    energies: tuple[float, ...] | None = None
    context: tuple[float, ...] = ()
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Decoding:
    """A whole sentence: the source words, what the encoder made of each (the numbers that are shown), and the steps."""

    source: tuple[str, ...]
    steps: tuple[Step, ...]
    annotations: tuple[tuple[float, ...], ...] = ()  # [source, feature]
    features: tuple[int, ...] = ()  # which of the annotations' numbers are shown
    annotation_size: int = 0
    finished: bool = True


@torch.no_grad()
def decode(
    model: EncoderDecoder,
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    sentence: str,
    *,
    features: int = 6,
    others: int = 4,
    maximum_length: int | None = None,
) -> Decoding:
    """Translate greedily, and keep all that each step computed.

    features: of the annotations' many numbers, those that differ most from word to word are kept.
    Raises ValueError for a sentence that is empty or longer than can be shown, and for a model that looks nowhere.
    """
    if not isinstance(model, EncoderDecoder) or not isinstance(model.decoder, AttentionDecoder):
        kind = type(getattr(model, "decoder", model)).__name__
        raise ValueError(
            f"{kind} has no alignment to step through; give an encoder-decoder with attention, as "
            "course_lib.models.seq2seq.attention_model makes (for a Transformer: AttentionExplorer)"
        )
    words = sentence.split()
    _refuse_bad_source(words)
    device = next(model.parameters()).device
    ids = torch.tensor([source_vocabulary.encode(sentence)], device=device)  # [batch=1, source]
    is_word = torch.ones_like(ids, dtype=torch.bool)
    with evaluating(model):
        annotations = model.encoder(ids, is_word)
        writer = Writer(model, annotations)
        states = annotations.states[0]  # h_j: [source, annotation]
        shown = _most_varied(states, features)
        steps: list[Step] = []
        word = torch.tensor([BEGIN], device=device)
        limit = min(maximum_length or int(longest_target(is_word)), MOST_STEPS)
        while len(steps) < limit and int(word) != END:
            energies = energies_of(model.decoder.attention, writer.state, writer.prepared)[0]  # [source]
            logits, weights = writer.read(word)
            assert weights is not None  # refused above: a decoder without attention
            context = weights[0] @ states  # c_i = sum_j a_ij h_j: [annotation]
            best = logits[0].softmax(dim=-1).topk(min(1 + others, logits.shape[-1]))
            word = best.indices[:1]
            ranked = [
                (target_vocabulary.token_of(number), probability)
                for number, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
            steps.append(
                Step(
                    word=ranked[0][0],
                    probability=ranked[0][1],
                    weights=tuple(weights[0].tolist()),
                    energies=tuple(energies.tolist()),
                    context=tuple(context[shown].tolist()),
                    others=tuple(ranked[1:]),
                )
            )
    return checked(
        Decoding(
            source=tuple(words),
            steps=tuple(steps),
            annotations=tuple(map(tuple, states[:, shown].tolist())),
            features=tuple(shown),
            annotation_size=states.shape[-1],
            finished=int(word) == END,
        )
    )


def energies_of(
    attention: AdditiveAttention | GeneralAttention | DotAttention,
    state: Float[Tensor, "batch query"],
    projected_keys: Float[Tensor, "batch source key"],
) -> Float[Tensor, "batch source"]:
    """e_ij of any of the three scores, before the softmax."""
    if isinstance(attention, AdditiveAttention):
        return attention.energies(state, projected_keys)
    return dot_energies(state, projected_keys)


def _most_varied(states: Float[Tensor, "source annotation"], count: int) -> list[int]:
    spread = states.std(dim=0, unbiased=False)
    return sorted(spread.topk(min(count, spread.shape[0])).indices.tolist())


def plain_steps(
    source_tokens: Sequence[str],
    steps: Sequence[Mapping[str, Any]],
    annotations: Sequence[Sequence[float]] | None = None,
) -> Decoding:
    """The same from plain data: each step a mapping with `word`, `weights`, and, if known, `probability` (else 1),
    `energies`, `others` and `context`; the context is computed where annotations are given.

    Raises ValueError for data that cannot be, naming the step.
    """
    _refuse_bad_source(source_tokens)
    known = ("word", "probability", "weights", "energies", "context", "others")
    rows = [tuple(map(float, row)) for row in annotations or ()]
    if rows and (len(rows) != len(source_tokens) or len({len(row) for row in rows}) != 1 or not rows[0]):
        raise ValueError(
            f"annotations must be one row of numbers for each of the {len(source_tokens)} source words, all rows of "
            f"one length, got rows of {[len(row) for row in rows][:8]}"
        )
    if bad := [place for place, row in enumerate(rows) if not all(map(math.isfinite, row))]:
        raise ValueError(f"annotations of source word {bad[0] + 1} ({source_tokens[bad[0]]!r}) hold NaN or infinity")
    made = []
    for number, given in enumerate(steps, start=1):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"step {number} has {unknown[0]!r}; a step has {', '.join(known)}")
        if missing := [name for name in ("word", "weights") if name not in given]:
            raise ValueError(f"step {number} has no {missing[0]!r}")
        weights, energies = tuple(map(float, given["weights"])), given.get("energies")
        context = given.get("context")
        if context is None and rows and len(weights) == len(rows):
            context = [sum(w * row[k] for w, row in zip(weights, rows, strict=True)) for k in range(len(rows[0]))]
        made.append(
            Step(
                word=str(given["word"]),
                probability=float(given.get("probability", 1.0)),
                weights=weights,
                energies=None if energies is None else tuple(map(float, energies)),
                context=tuple(map(float, context if context is not None else ())),
                others=tuple((str(word), float(share)) for word, share in given.get("others", ())),
            )
        )
    width = len(rows[0]) if rows else 0
    return checked(Decoding(tuple(map(str, source_tokens)), tuple(made), tuple(rows), tuple(range(width)), width))


def checked(decoding: Decoding) -> Decoding:
    """The decoding itself. Raises ValueError, naming the step and its word, for numbers that cannot be."""
    if not 1 <= len(decoding.steps) <= MOST_STEPS:
        raise ValueError(f"an alignment stepper shows 1 to {MOST_STEPS} steps, got {len(decoding.steps)}")
    for number, step in enumerate(decoding.steps, start=1):
        where = f"step {number} ({step.word[:40]!r})"
        for name, values in (("weights", step.weights), ("energies", step.energies)):
            if values is not None and len(values) != len(decoding.source):
                raise ValueError(f"{where} has {len(values)} {name} for {len(decoding.source)} source words")
        for place, weight in enumerate(step.weights):
            if not 0 <= weight <= 1 + TOLERANCE:  # NaN fails both
                raise ValueError(f"{where}: weight {place + 1} is {weight}, expected 0 to 1")
        if abs(sum(step.weights) - 1) > TOLERANCE:
            raise ValueError(
                f"{where}: the weights sum to {sum(step.weights):.4f}, expected 1; take the softmax over source words"
            )
        if step.energies is not None:
            _refuse_other_weights(where, step.energies, step.weights)
        if not all(map(math.isfinite, step.context)):
            raise ValueError(f"{where}: the context holds NaN or infinity")
        if decoding.annotations and len(step.context) != len(decoding.annotations[0]):
            raise ValueError(
                f"{where}: the context has {len(step.context)} numbers, the annotations {len(decoding.annotations[0])}"
            )
        for word, probability in ((step.word, step.probability), *step.others):
            if not 0 <= probability <= 1 + TOLERANCE:
                raise ValueError(f"{where}: the probability of {word[:40]!r} is {probability}, expected 0 to 1")
    return decoding


def softmax(energies: Sequence[float]) -> list[float]:
    """exp(e_j) / sum_k exp(e_k); an energy of -inf gives exactly 0."""
    highest = max(energies)
    parts = [math.exp(energy - highest) for energy in energies]
    return [part / sum(parts) for part in parts]


def _refuse_other_weights(where: str, energies: Sequence[float], weights: Sequence[float]) -> None:
    if any(math.isnan(energy) or energy == math.inf for energy in energies) or max(energies) == -math.inf:
        raise ValueError(f"{where}: the energies hold NaN or inf, or only -inf; expected numbers (-inf for padding)")
    for place, (made, given) in enumerate(zip(softmax(energies), weights, strict=True)):
        if abs(made - given) > TOLERANCE:
            raise ValueError(
                f"{where}: softmax(energies) gives source word {place + 1} the weight {made:.4f}, but weights has "
                f"{given:.4f}; give the energies as they go into the softmax, or leave them out"
            )


def _refuse_bad_source(words: Sequence[str]) -> None:
    if not words:
        raise ValueError("the source sentence is empty; give at least one word")
    if len(words) > LONGEST_SOURCE:
        raise ValueError(
            f"the source sentence has {len(words)} words, at most {LONGEST_SOURCE} can be shown; shorten it"
        )
