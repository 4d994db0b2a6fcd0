"""Which caches are in the mutation lab? Sound ones and broken ones, known to the learner by behaviour alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from course_lib.models.gpt import GPT, GPTConfig

VOCABULARY, CAPACITY, SIZE, BLOCKS = 11, 12, 8, 2
MOST_CACHES = 1000  # of one specimen
REACH = 8  # tokens that a cache which forgets remembers


@dataclass
class Memory:
    """What one cache holds: for each block the keys and values, [batch, kept, size], and how much was read."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)  # the lengths of what was read

    @property
    def length(self) -> int:
        return sum(self.pieces)


Extend = Callable[[Memory, int, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _rows(old: Tensor, batch: int) -> Tensor:
    """The old rows for a batch of another size: round and round."""
    return old if len(old) == batch else old[torch.arange(batch) % len(old)]


def _old(memory: Memory, block: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The keys and values kept so far; none, where nothing was."""
    if block >= len(memory.keys):
        return like[:, :0], like[:, :0]
    return _rows(memory.keys[block], len(like)), _rows(memory.values[block], len(like))


def _store(memory: Memory, block: int, keys: Tensor, values: Tensor) -> None:
    if block == len(memory.keys):
        memory.keys.append(keys)
        memory.values.append(values)
    memory.keys[block], memory.values[block] = keys, values


def _appended(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _old(memory, block, key)
    keys, values = torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)
    _store(memory, block, keys, values)
    return keys, values


def _other_roundings(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    """As sums in another order give: a few millionths."""
    keys, values = _appended(memory, block, key, value, bare)
    return keys * (1 + 1e-6), values * (1 - 1e-6)


def _counted(memory: Memory, new: int) -> Tensor:
    return torch.arange(memory.length, memory.length + new)


def _causal(old: int, new: int) -> Tensor:
    return torch.ones(new, old + new, dtype=torch.bool).tril(old)


def _kept(memory: Memory, rows: Tensor) -> None:
    memory.keys = [keys[rows % len(keys)] for keys in memory.keys]
    memory.values = [values[rows % len(values)] for values in memory.values]


def _fresh(memories: list[Memory]) -> Memory:
    return Memory()


@dataclass(frozen=True)
class Way:
    """How a cache works; what is not given is as it should be.

    places: of the new tokens. may_look: from the number of kept and new ones, [new, kept + new]. extend: from the new
    keys and values (and the keys without their positions) those of all, which it keeps. keep: other rows. begin: the
    memory of a new cache, from those there are. leaks: whether a reading without a cache leaves something in the last.
    """

    places: Callable[[Memory, int], Tensor] = _counted
    may_look: Callable[[int, int], Tensor] = _causal
    extend: Extend = _appended
    keep: Callable[[Memory, Tensor], None] = _kept
    begin: Callable[[list[Memory]], Memory] = _fresh
    leaks: bool = False


SOUND = Way()


class _Decoder:
    """Two blocks of attention with one head, with numbers of their own that stay as they are."""

    def __init__(self, seed: int, sharpness: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        self.embedding, self.positions = normal(VOCABULARY, SIZE), normal(CAPACITY, SIZE)
        # Of query, key, value and output; the query's scale makes the weights sharp or flat.
        self.matrices = [[0.35 * normal(SIZE, SIZE) for _ in range(4)] for _ in range(BLOCKS)]
        for block in self.matrices:
            block[0] *= sharpness

    def read(self, tokens: Tensor, memory: Memory, way: Way) -> Tensor:
        new = tokens.shape[1]
        positions = self.positions[way.places(memory, new) % CAPACITY]
        states = self.embedding[tokens] + positions
        for block, (query, key, value, output) in enumerate(self.matrices):
            bare = (states - positions) @ key
            keys, values = way.extend(memory, block, states @ key, states @ value, bare)
            scores = (states @ query) @ keys.transpose(1, 2) / SIZE**0.5  # [batch, new, kept + new]
            weights = scores.masked_fill(~way.may_look(keys.shape[1] - new, new), -torch.inf).softmax(-1)
            states = states + 2.0 * torch.tanh(weights @ values @ output)
        memory.pieces.append(new)
        return states @ self.embedding.T / SIZE**0.5


SHARED, SHARP = _Decoder(seed=0), _Decoder(seed=1, sharpness=3.0)
Functions = tuple[Callable[[], int], Callable[..., Tensor], Callable[..., None]]


@dataclass(frozen=True)
class Specimen:
    """A decoder with a cache. symptom: what its user sees. group: sound, positions, mask, memory, rows or texts.

    needs: what a check must do to see the fault: read a "second" or a "third" piece, a later piece that is "wide", a
    "long" text, see a "faint" difference, have "neighbours" in its batch, "keep" other rows, in a "turn" that is not
    its own inverse or one of them "twice", read "two" texts, one of them "between" the pieces of the other.
    """

    symptom: str
    group: str
    way: Way
    needs: frozenset[str] = frozenset()
    hidden: bool = False
    decoder: Any = SHARED


# The faults. Each is one way to be almost right.


def _places_of_readings(memory: Memory, new: int) -> Tensor:
    return torch.arange(len(memory.pieces), len(memory.pieces) + new)


def _standing_still(memory: Memory, new: int) -> Tensor:
    return torch.arange(new) + sum(memory.pieces[:1])


def _without_position(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _old(memory, block, key)
    all_values = torch.cat([values, value], dim=1)
    _store(memory, block, torch.cat([keys, bare], dim=1), all_values)
    return torch.cat([keys, key], dim=1), all_values


def _sees_its_future(old: int, new: int) -> Tensor:
    return _causal(old, new) if not old else torch.ones(new, old + new, dtype=torch.bool)


def _as_if_at_the_beginning(old: int, new: int) -> Tensor:
    return torch.ones(new, old + new, dtype=torch.bool).tril()


def _short_sighted(old: int, new: int) -> Tensor:
    near = _causal(old, new) & ~torch.ones(new, old + new, dtype=torch.bool).tril(old - REACH)
    return near if old else _causal(old, new)


def _each_by_itself(old: int, new: int) -> Tensor:
    if not old:
        return _causal(old, new)
    return torch.cat([torch.ones(new, old, dtype=torch.bool), torch.eye(new, dtype=torch.bool)], dim=1)


def _written_over(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _old(memory, block, key)
    _store(memory, block, key, value)
    return torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)


def _rounded(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _old(memory, block, key)
    kept = [torch.cat([old, (new * 32).round() / 32], dim=1) for old, new in ((keys, key), (values, value))]
    _store(memory, block, *kept)
    return torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)


def _first_blocks_keys(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _appended(memory, block, key, value, bare)
    old = keys.shape[1] - key.shape[1]
    return torch.cat([memory.keys[0][:, :old], key], dim=1), values


def _ring(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _appended(memory, block, key, value, bare)
    _store(memory, block, keys[:, -REACH:], values[:, -REACH:])
    return keys, values


def _values_in_front(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _old(memory, block, key)
    _store(memory, block, torch.cat([keys, key], dim=1), torch.cat([value, values], dim=1))
    return memory.keys[block], memory.values[block]


def _first_row_for_all(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _appended(memory, block, key, value, bare)
    old = keys.shape[1] - key.shape[1]
    return torch.cat([keys[:1, :old].expand(len(key), -1, -1), key], dim=1), values


def _first_token_lost(memory: Memory, block: int, key: Tensor, value: Tensor, bare: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = _appended(memory, block, key, value, bare)
    if len(memory.pieces) == 1:
        _store(memory, block, keys[:, 1:], values[:, 1:])
    return keys, values


def _keep_in(
    order: Callable[[Tensor, int], Tensor], keys: bool = True, values: bool = True, blocks: int = BLOCKS
) -> Any:
    """A `keep` in a wrong order, from the rows and the size of the batch; or of some things in the right one."""

    def changed(parts: list[Tensor], rows: Tensor, right: bool) -> list[Tensor]:
        stays = torch.arange(len(rows))
        return [
            part[order(rows, len(part)) % len(part)] if right and block < blocks else part[stays % len(part)]
            for block, part in enumerate(parts)
        ]

    def keep(memory: Memory, rows: Tensor) -> None:
        memory.keys, memory.values = changed(memory.keys, rows, keys), changed(memory.values, rows, values)

    return keep


def _inverse(rows: Tensor, batch: int) -> Tensor:
    order = torch.arange(len(rows))
    order[rows % len(rows)] = torch.arange(len(rows))
    return order


def _once(rows: Tensor, batch: int) -> Tensor:
    """A row that was kept before gives way to its neighbour."""
    seen: list[int] = []
    for row in rows.tolist():
        seen.append(row if row not in seen else (row + 1) % batch)
    return torch.tensor(seen)


def _same_again(memories: list[Memory]) -> Memory:
    return memories[-1] if memories else Memory()


def _emptying(memories: list[Memory]) -> Memory:
    for memory in memories:
        memory.keys, memory.values = [], []
    return Memory()


def _forgetting_places(memories: list[Memory]) -> Memory:
    for memory in memories:
        memory.pieces.clear()
    return Memory()


def _fault(group: str, symptom: str, needs: str, way: Way, hidden: bool = False) -> Specimen:
    return Specimen(symptom, group, way, frozenset(["second", *needs.split(", ")]) - {""}, hidden)


class _Library:
    """The course's own GPT with its own cache."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            config = GPTConfig(VOCABULARY, CAPACITY, blocks=BLOCKS, heads=2, embedding_size=SIZE)
            self.model = GPT(config).eval().requires_grad_(False)
            for parameter in self.model.parameters():
                parameter.add_(0.4 * torch.randn(parameter.shape))


SPECIMENS = [
    Specimen("sound", "sound", SOUND),
    Specimen("sound, with other roundings", "sound", Way(extend=_other_roundings)),
    Specimen("sound, with sharp weights", "sound", SOUND, hidden=True, decoder=SHARP),
    Specimen("sound, the course's own", "sound", SOUND, hidden=True, decoder=_Library()),
    # Where does a new token stand?
    _fault(
        "positions",
        "each piece begins at the first position again",
        "",
        Way(places=lambda memory, new: torch.arange(new)),
    ),
    _fault("positions", "positions count the pieces read, not the tokens", "pieces", Way(places=_places_of_readings)),
    _fault(
        "positions",
        "from the third piece on, the position stands still",
        "third",
        Way(places=_standing_still),
        hidden=True,
    ),
    _fault("positions", "keys are kept without their position", "", Way(extend=_without_position), hidden=True),
    # What may it look at?
    _fault("mask", "in a later piece, each token sees those that follow", "wide", Way(may_look=_sees_its_future)),
    _fault("mask", "a later piece sees no more than if it were the first", "", Way(may_look=_as_if_at_the_beginning)),
    _fault("mask", "a token looks back eight tokens, no further", "long", Way(may_look=_short_sighted)),
    _fault(
        "mask", "the tokens of a later piece do not see each other", "wide", Way(may_look=_each_by_itself), hidden=True
    ),
    # What was kept?
    _fault("memory", "each piece is written over the one before", "third", Way(extend=_written_over)),
    _fault("memory", "what is kept is rounded: a faint difference", "faint", Way(extend=_rounded)),
    _fault("memory", "the second block goes on with the first block's keys", "", Way(extend=_first_blocks_keys)),
    _fault("memory", "only the newest eight tokens are kept", "long", Way(extend=_ring), hidden=True),
    _fault("memory", "new values are kept in front of the old ones", "", Way(extend=_values_in_front), hidden=True),
    _fault(
        "memory", "with the second piece the first token is lost", "third", Way(extend=_first_token_lost), hidden=True
    ),
    # Whose is it?
    _fault("rows", "all rows look at what the first one said", "neighbours", Way(extend=_first_row_for_all)),
    _fault(
        "rows",
        "keep() leaves the rows where they are",
        "neighbours, keep",
        Way(keep=_keep_in(lambda rows, batch: torch.arange(len(rows)))),
    ),
    _fault("rows", "keep() turns the rows the other way round", "neighbours, keep, turn", Way(keep=_keep_in(_inverse))),
    _fault(
        "rows",
        "keep() moves the keys, and leaves the values",
        "neighbours, keep",
        Way(keep=_keep_in(lambda rows, batch: rows, values=False)),
        hidden=True,
    ),
    _fault(
        "rows",
        "keep() works on the first block alone",
        "neighbours, keep",
        Way(keep=_keep_in(lambda rows, batch: rows, blocks=1)),
        hidden=True,
    ),
    _fault(
        "rows",
        "a row that is kept twice is there once",
        "neighbours, keep, twice",
        Way(keep=_keep_in(_once)),
        hidden=True,
    ),
    # Of which text?
    _fault("texts", "a new cache still holds the text before", "two", Way(begin=_same_again)),
    _fault("texts", "beginning another text empties all caches", "two, between", Way(begin=_emptying)),
    _fault(
        "texts",
        "beginning another text sends all back to the first position",
        "two, between",
        Way(begin=_forgetting_places),
        hidden=True,
    ),
    _fault("texts", "what is read without a cache is kept, too", "two, between", Way(leaks=True), hidden=True),
]


def specimens(group: str, *, hidden: bool = False) -> list[Specimen]:
    """The specimens of a group: those of the public checks, or those kept for grading."""
    return [specimen for specimen in SPECIMENS if specimen.group == group and specimen.hidden == hidden]


def functions_of(specimen: Specimen) -> Functions:
    """The specimen as the learner gets it: (begin, read, keep). They raise ValueError for what cannot be."""
    memories: list[Any] = []
    batches: list[int] = []
    lengths: list[int] = []

    def read_plainly(tokens: Tensor, memory: Any, way: Way) -> Tensor:
        if isinstance(specimen.decoder, _Library):
            return specimen.decoder.model(tokens, cache=memory).logits
        return specimen.decoder.read(tokens, Memory() if memory is None else memory, way)

    def begin() -> int:
        """A new, empty cache: the number that stands for it."""
        if len(memories) == MOST_CACHES:
            raise ValueError(f"at most {MOST_CACHES} caches")
        if isinstance(specimen.decoder, _Library):
            memories.append(specimen.decoder.model.empty_cache())
        else:
            memories.append(specimen.way.begin(memories))
        batches.append(0)
        lengths.append(0)
        return len(memories) - 1

    def number(cache: Any) -> int:
        if type(cache) is not int or not 0 <= cache < len(memories):
            raise ValueError(f"a cache is what begin() gave, got {cache!r:.40}")
        return cache

    @torch.no_grad()
    def read(tokens: Tensor, cache: int | None = None) -> Tensor:
        """The logits of these tokens, [batch, new, vocabulary]."""
        before = 0 if cache is None else lengths[number(cache)]
        _refuse(tokens, before)
        if cache is None:
            if specimen.way.leaks and memories and batches[-1]:
                specimen.decoder.read(tokens[:, :1], memories[-1], SOUND)
                memories[-1].pieces.pop()
            return read_plainly(tokens, None, SOUND)
        if batches[cache] not in (0, len(tokens)):
            raise ValueError(f"this cache holds {batches[cache]} rows, got {len(tokens)}")
        batches[cache], lengths[cache] = len(tokens), before + tokens.shape[1]
        return read_plainly(tokens, memories[cache], specimen.way)

    @torch.no_grad()
    def keep(cache: int, rows: Sequence[int] | Tensor) -> None:
        """Go on with these rows of the cache, in this order; a row may come several times."""
        chosen = torch.as_tensor(rows)
        known = batches[number(cache)]
        whole = chosen.ndim == 1 and len(chosen) and not chosen.is_floating_point() and chosen.dtype != torch.bool
        if not whole or not 0 <= int(chosen.min()) <= int(chosen.max()) < known:
            raise ValueError(f"rows are numbers from 0 to {known - 1}, got {rows!r:.60}")
        if isinstance(specimen.decoder, _Library):
            memories[cache].keep(chosen)
        else:
            specimen.way.keep(memories[cache], chosen)
        batches[cache] = len(chosen)

    return begin, read, keep


def _refuse(tokens: Any, before: int) -> None:
    if not isinstance(tokens, Tensor) or tokens.ndim != 2 or tokens.dtype != torch.long or not tokens.numel():
        raise ValueError("tokens are a tensor of whole numbers, [batch, new], with one at least")
    if not 0 <= int(tokens.min()) <= int(tokens.max()) < VOCABULARY:
        raise ValueError(f"tokens are from 0 to {VOCABULARY - 1}, got {int(tokens.min())} to {int(tokens.max())}")
    if before + tokens.shape[1] > CAPACITY:
        raise ValueError(f"a text has at most {CAPACITY} tokens, this one would have {before + tokens.shape[1]}")
    if len(tokens) > 256:
        raise ValueError(f"at most 256 rows, got {len(tokens)}")
