"""Which decoder layers are in the leak lab? Sound ones and leaking ones, known to the learner by behaviour alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

SIZE, HEADS, INNER = 8, 2, 16
MOST_PLACES, LONGEST = 4096, 64  # sentences times places in one call, places in one sentence

Layer = Callable[[Tensor, Tensor], Tensor]  # states [batch, length, 8] and is_word [batch, length] to new states
Masks = Callable[[Tensor], Tensor]  # is_word to may_look, [batch, 1 or head, length, length]


@dataclass(frozen=True)
class Specimen:
    """A layer. symptom: what its user sees. group: sound, mask, sums, path or length.

    needs: what a check must do to see the leak: have "padding", "neighbours" or a "long" sentence in its batch, see a
    "faint" difference, change what stands "near" the compared place, compare the first place after a change at the
    last ("ends"), or take places away ("length"). The last bits of a sound one with "rounding" may depend on the batch.
    """

    symptom: str
    group: str
    layer: Layer
    needs: frozenset[str] = frozenset()
    hidden: bool = False


class _Weights:
    """The matrices of a layer, which stay as they are."""

    def __init__(self, seed: int, sharpness: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def matrix(rows: int, columns: int) -> Tensor:
            return torch.randn(rows, columns, generator=generator) * rows**-0.5

        self.query, self.key, self.value, self.output = (matrix(SIZE, SIZE) for _ in range(4))
        self.query *= 2.0 * sharpness
        self.expand, self.contract = matrix(SIZE, INNER), matrix(INNER, SIZE)


SHARED = _Weights(seed=0)


def _heads(states: Tensor) -> Tensor:
    return states.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def _scores(weights: _Weights, asking: Tensor, asked: Tensor) -> Tensor:
    query, key = _heads(asking @ weights.query), _heads(asked @ weights.key)
    return query @ key.mT / (SIZE // HEADS) ** 0.5  # [batch, head, length, length]


def _seen(weights: _Weights, looks: Tensor, asked: Tensor) -> Tensor:
    context = looks @ _heads(asked @ weights.value)  # [batch, head, length, size]
    return context.transpose(1, 2).flatten(2) @ weights.output


def _norm(states: Tensor) -> Tensor:
    return layer_norm(states, (SIZE,))


def _feed_forward(weights: _Weights, states: Tensor) -> Tensor:
    return (states @ weights.expand).relu() @ weights.contract


# Masks: who may look where?


def _causal(is_word: Tensor) -> Tensor:
    return _before(is_word, 0) & _words(is_word)


def _words(is_word: Tensor) -> Tensor:
    return is_word[:, None, None, :].expand(-1, 1, is_word.shape[1], -1)


def _before(is_word: Tensor, diagonal: int) -> Tensor:
    length = is_word.shape[1]
    return torch.ones(length, length, dtype=torch.bool).tril(diagonal)


def _next_too(is_word: Tensor) -> Tensor:
    return _before(is_word, 1) & _words(is_word)


def _later_only(is_word: Tensor) -> Tensor:
    return ~_before(is_word, -1) & _words(is_word)


def _last_three(is_word: Tensor) -> Tensor:
    return _causal(is_word) & ~_before(is_word, -3)


def _lost_with_padding(is_word: Tensor) -> Tensor:
    return _causal(is_word) if is_word.all() else _words(is_word)


def _made_for(places: int, beyond: Masks) -> Masks:
    """The causal mask for the first places; those behind them get another."""
    return lambda is_word: torch.cat([_causal(is_word)[:, :, :places], beyond(is_word)[:, :, places:]], dim=2)


def _for_sentences(causal: Callable[[Tensor], Tensor]) -> Masks:
    """The causal mask for those sentences of which `causal(number)` is true, that of words for the others."""
    return lambda is_word: torch.where(
        causal(torch.arange(len(is_word)))[:, None, None, None], _causal(is_word), _words(is_word)
    )


def _in_one_head(is_word: Tensor) -> Tensor:
    return torch.cat([_causal(is_word), _words(is_word)], dim=1)


# Looks: how is the weight shared out? Each takes scores and is_word.


def _soft(scores: Tensor, may_look: Tensor, axis: int = -1) -> Tensor:
    # A place that may look nowhere, as some of padding, gets zeros.
    return scores.masked_fill(~may_look, torch.finfo(scores.dtype).min).softmax(axis) * may_look


def _behind(mask: Masks) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda scores, is_word: _soft(scores, mask(is_word))


_causally = _behind(_causal)


def _struck_out_with(number: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda scores, is_word: _soft(scores.clamp(-1, 1) + number * ~_causal(is_word), _words(is_word))


def _late(scores: Tensor, is_word: Tensor) -> Tensor:
    return _soft(scores, _words(is_word)) * _causal(is_word)


def _late_but_whole(scores: Tensor, is_word: Tensor) -> Tensor:
    left = _late(scores, is_word)
    return left / left.sum(-1, keepdim=True).clamp(min=1e-30)


def _over_the_targets(scores: Tensor, is_word: Tensor) -> Tensor:
    return _soft(scores, _causal(is_word), axis=-2)


def _over_the_sentence(scores: Tensor, is_word: Tensor) -> Tensor:
    low = scores.masked_fill(~_causal(is_word), torch.finfo(scores.dtype).min)
    return low.flatten(2).softmax(-1).view_as(scores) * scores.shape[-1]


def _by_the_largest(scores: Tensor, is_word: Tensor) -> Tensor:
    largest = (scores * _words(is_word)).amax(-1, keepdim=True)
    return _soft(3 * scores / largest.clamp(min=0.5), _causal(is_word))


def _by_the_number_of_words(scores: Tensor, is_word: Tensor) -> Tensor:
    return _soft(scores * is_word.sum(1)[:, None, None, None].log(), _causal(is_word))


# Whole layers: x + attention(norm(x)), then x + feed_forward(norm(x)).


def _layer(
    look: Callable[[Tensor, Tensor], Tensor] = _causally,
    weights: _Weights = SHARED,
    norm: Callable[[Tensor], Tensor] = _norm,
    asking: Callable[[Tensor], Tensor] = lambda states: states,
    more: Callable[[Tensor, Tensor], Tensor] = lambda states, is_word: torch.zeros_like(states),
    share: Callable[[Tensor, Tensor], Tensor] = lambda seen, is_word: seen,
) -> Layer:
    """A pre-norm layer. asking: whose queries these are. more: what is added. share: what becomes of what was seen."""

    def layer(states: Tensor, is_word: Tensor) -> Tensor:
        normed = norm(states)
        looks = look(_scores(weights, asking(normed), normed), is_word)
        seen = _seen(weights, looks, normed)
        states = states + share(seen, is_word) + more(states, is_word)
        return states + _feed_forward(weights, norm(states))

    return layer


def _post_norm(states: Tensor, is_word: Tensor) -> Tensor:
    weights = _Weights(seed=3)
    looks = _soft(_scores(weights, states, states), _causal(is_word))
    states = _norm(states + _seen(weights, looks, states))
    return _norm(states + _feed_forward(weights, states))


def _each_by_itself(states: Tensor, is_word: Tensor) -> Tensor:
    return states + states.relu()  # not rounded at all: exact in every batch


def _running_mean(states: Tensor, is_word: Tensor) -> Tensor:
    return states + states.cumsum(1) / torch.arange(1, states.shape[1] + 1).unsqueeze(1)


def _norm_of_the_sentence(states: Tensor) -> Tensor:
    return layer_norm(states, tuple(states.shape[1:]))


def _norm_of_the_batch(states: Tensor) -> Tensor:
    return (states - states.mean((0, 1))) / (states.var((0, 1), unbiased=False) + 1e-5).sqrt()


def _next_one(states: Tensor) -> Tensor:
    """Each place gets the state of the next one; the last keeps its own."""
    return torch.cat([states[:, 1:], states[:, -1:]], dim=1)


def _half_of_the_next(states: Tensor, is_word: Tensor) -> Tensor:
    return 0.5 * torch.nn.functional.pad(states[:, 1:], (0, 0, 0, 1))


def _half_of_the_one_before(states: Tensor, is_word: Tensor) -> Tensor:
    return 0.5 * states.roll(1, dims=1)  # which goes round: the first place gets the last one's


def _last_to_first(states: Tensor, is_word: Tensor) -> Tensor:
    added = torch.zeros_like(states)
    added[:, 0] = 0.5 * states[torch.arange(len(states)), is_word.sum(1) - 1]
    return added


def _mean_of_words(states: Tensor, is_word: Tensor) -> Tensor:
    return ((states * is_word.unsqueeze(-1)).sum(1) / is_word.sum(1, keepdim=True)).unsqueeze(1).expand_as(states)


def _places_from_the_end(states: Tensor, is_word: Tensor) -> Tensor:
    left = is_word.sum(1, keepdim=True) - torch.arange(is_word.shape[1])  # [batch, length]
    return (left.unsqueeze(-1) * torch.linspace(1.0, 0.1, SIZE)).sin()


def _divided_by_words(seen: Tensor, is_word: Tensor) -> Tensor:
    return 4 * seen / is_word.sum(1)[:, None, None]


def _leak(group: str, symptom: str, needs: str, layer: Layer, hidden: bool = False) -> Specimen:
    return Specimen(symptom, group, layer, frozenset(needs.split(", ")) if needs else frozenset(), hidden)


def _mask(symptom: str, needs: str, mask: Masks, hidden: bool = False) -> Specimen:
    return _leak("mask", symptom, needs, _layer(_behind(mask)), hidden)


SPECIMENS = [
    Specimen("sound", "sound", _layer(), needs=frozenset({"rounding"})),
    Specimen(
        "sound, though its mask comes late: it divides by what is left",
        "sound",
        _layer(_late_but_whole),
        needs=frozenset({"rounding"}),
    ),
    Specimen("sound, each place by itself", "sound", _each_by_itself),
    Specimen("sound, with sharp weights", "sound", _layer(weights=_Weights(seed=1, sharpness=3.0)), hidden=True),
    Specimen("sound, looks at three places only", "sound", _layer(_behind(_last_three)), hidden=True),
    Specimen("sound, with its norms behind", "sound", _post_norm, hidden=True),
    Specimen("sound, a running mean", "sound", _running_mean, hidden=True),
    # Who may look where?
    _mask("each place sees the next one, too", "near", _next_too),
    _mask("each place sees what comes later, and not what came before", "", _later_only),
    _mask("padding is hidden, and the future is not", "", _words),
    _mask("the mask hides the future until there is padding in the batch", "padding", _lost_with_padding),
    _mask("the mask was made for eight places; those behind see all", "long", _made_for(8, _words)),
    _mask("the first sentence of a batch is masked, the others are not", "neighbours", _for_sentences(lambda n: n < 1)),
    _leak("mask", "the future gets a faint share, a few thousandths", "faint", _layer(_struck_out_with(-7.0))),
    _mask("one head of two has a mask", "", _in_one_head, hidden=True),
    _mask("from the ninth place on, each sees the next one", "near, long", _made_for(8, _next_too), hidden=True),
    _mask("every second sentence is not masked", "neighbours", _for_sentences(lambda n: n % 2 == 0), hidden=True),
    _leak("mask", "the future gets a share, about a thousandth", "faint", _layer(_struck_out_with(-7.5)), hidden=True),
    # How is the weight shared out?
    _leak("sums", "the future gets no weight, but its share is lost to the past", "", _layer(_late)),
    _leak("sums", "the places that look compete for each place that is looked at", "", _layer(_over_the_targets)),
    _leak("sums", "all weights of a sentence sum to one number", "", _layer(_over_the_sentence), hidden=True),
    _leak("sums", "scores are divided by the sentence's largest", "", _layer(_by_the_largest), hidden=True),
    # Is there a way around the attention?
    _leak("path", "each place asks with the query of the next one", "near", _layer(asking=_next_one)),
    _leak("path", "the norm is taken over the whole sentence", "", _layer(norm=_norm_of_the_sentence)),
    _leak("path", "the state of the place before is added, going round", "ends", _layer(more=_half_of_the_one_before)),
    _leak("path", "half of the next state is added", "near", _layer(more=_half_of_the_next), hidden=True),
    _leak("path", "the mean of all words is added", "", _layer(more=_mean_of_words), hidden=True),
    _leak("path", "the norm is taken over the batch", "", _layer(norm=_norm_of_the_batch), hidden=True),
    _leak("path", "the last word is added to the first", "ends", _layer(more=_last_to_first), hidden=True),
    # Is it known how much comes later?
    _leak("length", "places are counted from the last word back", "length", _layer(more=_places_from_the_end)),
    _leak(
        "length",
        "the more words in a sentence, the sharper its weights",
        "length",
        _layer(_by_the_number_of_words),
        hidden=True,
    ),
    _leak(
        "length",
        "what is seen is divided by the number of words",
        "length",
        _layer(share=_divided_by_words),
        hidden=True,
    ),
]


def specimens(group: str, *, hidden: bool = False) -> list[Specimen]:
    """The specimens of a group: those of the public checks, or those kept for grading."""
    return [specimen for specimen in SPECIMENS if specimen.group == group and specimen.hidden == hidden]


def callable_of(specimen: Specimen) -> Layer:
    """The specimen as the learner gets it; all look alike. It raises ValueError for arguments that it cannot take."""

    @torch.no_grad()
    def layer(states: Tensor, is_word: Tensor) -> Tensor:
        if not all(isinstance(given, Tensor) for given in (states, is_word)):
            raise ValueError("layer(states, is_word) takes two tensors")
        batch, length = is_word.shape if is_word.ndim == 2 else (0, 0)
        if list(states.shape) != [batch, length, SIZE] or not batch * length:
            raise ValueError(
                f"layer(states, is_word) takes [batch, length, {SIZE}] and [batch, length], "
                f"got {list(states.shape)}, {list(is_word.shape)}"
            )
        if length > LONGEST or batch * length > MOST_PLACES:
            raise ValueError(
                f"at most {LONGEST} places in a sentence and {MOST_PLACES} in a call, got {batch} × {length}"
            )
        if is_word.dtype != torch.bool or not is_word[:, 0].all() or (is_word[:, 1:] & ~is_word[:, :-1]).any():
            raise ValueError("is_word is True for the words of each sentence, one at least, and False for the rest")
        if not states.isfinite().all():
            raise ValueError("states must be finite: a weight of 0 times infinity gives NaN, in a sound layer too")
        return specimen.layer(states.float(), is_word)

    return layer
