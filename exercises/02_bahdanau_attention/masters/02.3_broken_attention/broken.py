"""Which attentions are in the mutation lab? Sound ones and broken ones, known to the learner by behaviour alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.models.attention import AdditiveAttention, masked_softmax, weigh

QUERY_SIZE, KEY_SIZE, ATTENTION_SIZE = 4, 6, 5
MOST_PLACES = 4096  # sentences times places in one call

Attend = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Specimen:
    """An attention. symptom: what its user sees. group: sound, mask, softmax, context or state.

    needs: what a check must do to see the fault: have "padding" or "neighbours" in its batch, see a "faint" difference,
    look at "sums" of weights or at the "context", ask with another "state", or in another "order".
    """

    symptom: str
    group: str
    attend: Attend
    needs: frozenset[str] = frozenset()
    hidden: bool = False


class _Weights:
    """The additive attention that all of them share, with matrices of its own that stay as they are."""

    def __init__(self, seed: int, sharpness: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.attention = AdditiveAttention(QUERY_SIZE, KEY_SIZE, ATTENTION_SIZE).requires_grad_(False)
        for matrix in self.attention.parameters():
            matrix.copy_(torch.randn(matrix.shape, generator=generator) * 0.6)
        self.attention.energy.weight.mul_(2.5 * sharpness)

    def energies(self, query: Tensor, keys: Tensor) -> Tensor:
        return self.attention.energies(query, self.attention.project_keys(keys))


SHARED = _Weights(seed=0)


def _mix(weights: Tensor, keys: Tensor) -> Tensor:
    return torch.bmm(weights.unsqueeze(1), keys).squeeze(1)


def _struck_out(energies: Tensor, is_word: Tensor) -> Tensor:
    return energies.masked_fill(~is_word, float("-inf"))


def _sound(weights: _Weights) -> Attend:
    return lambda query, keys, is_word: weigh(weights.energies(query, keys), keys, is_word)


def _sound_one_by_one(query: Tensor, keys: Tensor, is_word: Tensor) -> tuple[Tensor, Tensor]:
    """The same with other roundings: sentence by sentence, word by word, with twice the digits."""
    energies, keys = SHARED.energies(query, keys).double(), keys.double()
    weights, context = torch.zeros_like(energies), torch.zeros_like(keys[:, 0])
    for sentence, words in enumerate(is_word):
        weights[sentence, words] = energies[sentence, words].softmax(0)
        for place in words.nonzero().flatten():
            context[sentence] += weights[sentence, place] * keys[sentence, place]
    return context.float(), weights.float()


def _from_energies(make: Callable[[Tensor, Tensor], Tensor]) -> Attend:
    """Wrong weights, `make(energies, is_word)`, and the context that follows from them."""

    def attend(query: Tensor, keys: Tensor, is_word: Tensor) -> tuple[Tensor, Tensor]:
        weights = make(SHARED.energies(query, keys), is_word)
        return _mix(weights, keys), weights

    return attend


def _from_context(make: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Attend:
    """Right weights, and a wrong context, `make(weights, keys, is_word, energies)`."""

    def attend(query: Tensor, keys: Tensor, is_word: Tensor) -> tuple[Tensor, Tensor]:
        energies = SHARED.energies(query, keys)
        weights = masked_softmax(energies, is_word)
        return make(weights, keys, is_word, energies), weights

    return attend


def _from_query(make: Callable[[Tensor], Tensor]) -> Attend:
    """Right in all, but for a query that was changed before."""
    return lambda query, keys, is_word: weigh(SHARED.energies(make(query), keys), keys, is_word)


def _shifted(is_word: Tensor) -> Tensor:
    """Everything counts as a word that is one, or stands right after one."""
    return is_word | torch.cat([is_word[:, :1], is_word[:, :-1]], dim=1)


def _shortened(is_word: Tensor) -> Tensor:
    """The last word is struck out, unless it is the only one."""
    last = is_word.shape[1] - 1 - is_word.flip(1).int().argmax(dim=1)
    shorter = is_word.clone()
    shorter[torch.arange(len(is_word)), last] = False
    return torch.where(shorter.any(1, keepdim=True), shorter, is_word)


def _earlier_first(energies: Tensor) -> Tensor:
    return energies - 0.4 * torch.arange(energies.shape[1])


def _largest_only(weights: Tensor, keys: Tensor, *_: Tensor) -> Tensor:
    return keys[torch.arange(len(keys)), weights.argmax(dim=1)]


def _fault(group: str, symptom: str, needs: str, attend: Attend, hidden: bool = False) -> Specimen:
    return Specimen(symptom, group, attend, frozenset(needs.split(", ")) if needs else frozenset(), hidden)


def _soft(energies: Tensor, is_word: Tensor) -> Tensor:
    return _struck_out(energies, is_word).softmax(-1)


# In the lambdas, e are the energies and q is the query.
SPECIMENS = [
    Specimen("sound", "sound", _sound(SHARED)),
    Specimen("sound, with sharp weights", "sound", _sound(_Weights(seed=1, sharpness=3.0))),
    Specimen("sound, with nearly equal weights", "sound", _sound(_Weights(seed=2, sharpness=0.4)), hidden=True),
    Specimen("sound, with other roundings", "sound", _sound_one_by_one, hidden=True),
    # Who gets weight at all?
    _fault("mask", "padding gets its share of the weight", "padding", _from_energies(lambda e, _: e.softmax(-1))),
    _fault(
        "mask",
        "padding gets none, but its share is lost",
        "padding, sums",
        _from_energies(lambda e, is_word: e.softmax(-1) * is_word),
    ),
    _fault(
        "mask",
        "padding gets a faint share, a few hundredths",
        "padding, faint",
        _from_energies(lambda e, is_word: (e.clamp(-2, 2) - 4.0 * ~is_word).softmax(-1)),
    ),
    _fault(
        "mask",
        "the place right after the last word counts as a word",
        "padding",
        _from_energies(lambda e, is_word: _soft(e, _shifted(is_word))),
        hidden=True,
    ),
    _fault(
        "mask",
        "the last word never gets any weight",
        "order",
        _from_energies(lambda e, is_word: _soft(e, _shortened(is_word))),
        hidden=True,
    ),
    _fault(
        "mask",
        "short sentences are masked as the longest of their batch",
        "padding, neighbours",
        _from_energies(lambda e, is_word: _soft(e, is_word.any(0).expand_as(is_word))),
        hidden=True,
    ),
    # How is it shared out?
    _fault(
        "softmax",
        "the sentences of the batch compete for each place",
        "sums",
        _from_energies(lambda e, is_word: _struck_out(e, is_word).softmax(0)),
    ),
    _fault(
        "softmax",
        "each word is weighed by itself, between 0 and 1",
        "sums",
        _from_energies(lambda e, is_word: e.sigmoid() * is_word),
    ),
    _fault(
        "softmax",
        "the squares of the weights sum to one",
        "sums",
        _from_energies(lambda e, is_word: torch.nn.functional.normalize(_soft(e, is_word), dim=-1)),
        hidden=True,
    ),
    _fault(
        "softmax",
        "the weights of the whole batch sum to one",
        "sums, neighbours",
        _from_energies(lambda e, is_word: _struck_out(e, is_word).flatten().softmax(0).view_as(e)),
        hidden=True,
    ),
    _fault(
        "softmax",
        "all words get the same weight",
        "state",
        _from_energies(lambda e, is_word: _soft(torch.zeros_like(e), is_word)),
        hidden=True,
    ),
    # What is made of it?
    _fault(
        "context",
        "the weights are right, but the context is made from the energies",
        "context",
        _from_context(lambda weights, keys, is_word, e: _mix(e * is_word, keys)),
    ),
    _fault(
        "context",
        "the weights are right, but the context is the plain mean of the words",
        "context",
        _from_context(lambda weights, keys, is_word, e: _mix(is_word / is_word.sum(-1, keepdim=True), keys)),
    ),
    _fault(
        "context",
        "each sentence gets the context of its neighbour",
        "context, neighbours",
        _from_context(lambda weights, keys, is_word, e: _mix(weights, keys).roll(1, dims=0)),
    ),
    _fault(
        "context",
        "the context holds only the word with the largest weight",
        "context",
        _from_context(_largest_only),
        hidden=True,
    ),
    _fault(
        "context",
        "the weights are right, but padding has a share in the context",
        "context, padding",
        _from_context(lambda weights, keys, is_word, e: _mix(e.softmax(-1), keys)),
        hidden=True,
    ),
    _fault(
        "context",
        "the weights meet the words from the wrong end",
        "context",
        _from_context(lambda weights, keys, is_word, e: _mix(weights.flip(1), keys)),
        hidden=True,
    ),
    # With whose eyes does it look?
    _fault(
        "state",
        "all sentences are scored with the first one's state",
        "neighbours",
        _from_query(lambda q: q[:1].expand_as(q)),
    ),
    _fault("state", "the decoder's state makes no difference", "state", _from_query(torch.zeros_like)),
    _fault(
        "state",
        "earlier places get more weight, whatever they hold",
        "order",
        _from_energies(lambda e, is_word: _soft(_earlier_first(e), is_word)),
    ),
    _fault(
        "state",
        "all sentences are scored with the mean of their states",
        "neighbours",
        _from_query(lambda q: q.mean(0).expand_as(q)),
        hidden=True,
    ),
    _fault(
        "state",
        "the weights tell places apart, but not words",
        "order, state",
        _from_energies(lambda e, is_word: _soft(_earlier_first(torch.zeros_like(e)), is_word)),
        hidden=True,
    ),
]


def specimens(group: str, *, hidden: bool = False) -> list[Specimen]:
    """The specimens of a group: those of the public checks, or those kept for grading."""
    return [specimen for specimen in SPECIMENS if specimen.group == group and specimen.hidden == hidden]


def callable_of(specimen: Specimen) -> Attend:
    """The specimen as the learner gets it; all look alike. It raises ValueError for arguments of wrong shapes."""

    @torch.no_grad()
    def attention(query: Tensor, keys: Tensor, is_word: Tensor) -> tuple[Tensor, Tensor]:
        if not all(isinstance(given, Tensor) for given in (query, keys, is_word)):
            raise ValueError("attention(query, keys, is_word) takes three tensors")
        batch, source = is_word.shape if is_word.ndim == 2 else (0, 0)
        shapes = [list(given.shape) for given in (query, keys, is_word)]
        if shapes != [[batch, QUERY_SIZE], [batch, source, KEY_SIZE], [batch, source]] or not batch * source:
            raise ValueError(
                f"attention(query, keys, is_word) takes [batch, {QUERY_SIZE}], [batch, source, {KEY_SIZE}] and "
                f"[batch, source], got {', '.join(map(str, shapes))}"
            )
        if batch * source > MOST_PLACES:
            raise ValueError(f"at most {MOST_PLACES} places in one call, got {batch} × {source}")
        if is_word.dtype != torch.bool or not is_word.any(dim=1).all():
            raise ValueError("is_word is a tensor of True and False, with a word in each sentence")
        return specimen.attend(query.float(), keys.float(), is_word)

    return attention
