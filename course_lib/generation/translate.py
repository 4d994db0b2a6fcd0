"""How does a trained decoder write? Word by word, greedily or with a beam (notebooks 01, 02)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.data.batching import Pair, make_batch
from course_lib.data.vocabulary import BEGIN, END, Vocabulary
from course_lib.models.recurrent import Annotations
from course_lib.models.seq2seq import EncoderDecoder


@dataclass
class Translation:
    """One translated sentence: its words without BEGIN and END, its log-probability, and where it looked."""

    ids: list[int]
    log_probability: float  # of all words, END included, in nats
    weights: Float[Tensor, "target source"] | None  # one row for each word, END's last; None without attention
    finished: bool  # False: cut off at the longest length allowed


Search = Callable[[EncoderDecoder, Tensor, Tensor], list[Translation]]


def longest_target(source_is_word: Bool[Tensor, "batch source"]) -> Int[Tensor, " batch"]:
    """Three words for each source word, as GroundHog's sampler allows, and room for END."""
    return 3 * source_is_word.sum(dim=-1) + 1


class Writer:
    """One step of writing for a batch of unfinished sentences: the scores of every next word.

    Keeps the decoder's state, so that each step costs one word.
    """

    def __init__(self, model: EncoderDecoder, annotations: Annotations) -> None:
        self.decoder = model.decoder
        self.annotations = annotations
        self.prepared = model.decoder.prepare(annotations)
        self.state = model.decoder.start(annotations)

    def read(
        self, words: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch vocabulary"], Float[Tensor, "batch source"] | None]:
        """Reads one word for each sentence; returns the logits of the next one, and the attention weights."""
        output, self.state = self.decoder(words.unsqueeze(1), self.state, self.annotations, self.prepared)
        return output.logits[:, 0], None if output.weights is None else output.weights[:, 0]

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Goes on with these rows only (a row may be kept several times)."""
        self.annotations = self.annotations.select(rows)
        self.prepared = None if self.prepared is None else self.prepared[rows]
        self.state = self.state[rows]


@torch.no_grad()
def greedy(
    model: EncoderDecoder,
    source: Int[Tensor, "batch source"],
    source_is_word: Bool[Tensor, "batch source"],
    maximum_length: int | None = None,
) -> list[Translation]:
    """The likeliest word at every step, until END or `maximum_length` words (default: `longest_target`).

    Raises ValueError if a source sentence has no word.
    """
    return _write(model, source, source_is_word, maximum_length, choose=lambda logits: logits.argmax(dim=-1))


def translate(
    model: EncoderDecoder,
    sentences: Sequence[str],
    source_vocabulary: Vocabulary,
    target_vocabulary: Vocabulary,
    search: Search = greedy,
    batch_size: int = 200,
) -> list[str]:
    """The translations of tokenised sentences, in their order; words unknown to the vocabulary are read as UNKNOWN.

    Raises ValueError, naming it, if a sentence is empty.
    """
    device = next(model.parameters()).device
    translations = []
    for first in range(0, len(sentences), batch_size):
        pairs: list[Pair] = [
            (source_vocabulary.encode(sentence), []) for sentence in sentences[first : first + batch_size]
        ]
        batch = make_batch(pairs).to(device)
        written = search(model, batch.source, batch.source_is_word)
        translations += [target_vocabulary.decode(translation.ids) for translation in written]
    return translations


@torch.no_grad()
def sample(
    model: EncoderDecoder,
    source: Int[Tensor, "batch source"],
    source_is_word: Bool[Tensor, "batch source"],
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    maximum_length: int | None = None,
) -> list[Translation]:
    """A word drawn from softmax(scores / temperature) at every step.

    Raises ValueError if the temperature is not positive, or if a source sentence has no word.
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature must be > 0, got {temperature}; for the likeliest word at every step use greedy(...)"
        )

    def draw(logits: Float[Tensor, "batch vocabulary"]) -> Int[Tensor, " batch"]:
        return torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator).squeeze(1)

    return _write(model, source, source_is_word, maximum_length, choose=draw)


def _write(
    model: EncoderDecoder,
    source: Int[Tensor, "batch source"],
    source_is_word: Bool[Tensor, "batch source"],
    maximum_length: int | None,
    choose: Callable[[Tensor], Tensor],
) -> list[Translation]:
    """The one loop of `greedy` and `sample`: `choose` picks the next word of each sentence from its logits."""
    limits = longest_target(source_is_word)
    if maximum_length is not None:
        limits = torch.full_like(limits, maximum_length)
    writer = Writer(model, model.encoder(source, source_is_word))
    batch_size = len(source)
    words = source.new_full((batch_size,), BEGIN)
    done = torch.zeros(batch_size, dtype=torch.bool, device=source.device)
    log_probability = torch.zeros(batch_size, device=source.device)
    written, looked = [], []
    for length in range(1, int(limits.max()) + 1):
        logits, weights = writer.read(words)
        words = choose(logits)
        word_log_probability = logits.log_softmax(dim=-1).gather(1, words.unsqueeze(1)).squeeze(1)
        log_probability += word_log_probability.masked_fill(done, 0.0)
        written.append(words)
        if weights is not None:
            looked.append(weights)
        done = done | (words == END) | (limits <= length)  # each sentence has its own limit, whatever its neighbours
        if done.all():
            break
    all_weights = torch.stack(looked, dim=1) if looked else None  # [batch, target, source]
    translations = []
    for row, (ids, limit) in enumerate(zip(torch.stack(written, dim=1).tolist(), limits.tolist(), strict=True)):
        ids = ids[:limit]
        ended = END in ids
        length = ids.index(END) if ended else len(ids)
        row_weights = None if all_weights is None else all_weights[row, : length + ended]
        translations.append(Translation(ids[:length], float(log_probability[row]), row_weights, ended))
    return translations


@torch.no_grad()
def beam_search(
    model: EncoderDecoder,
    source: Int[Tensor, " source"],
    beam_size: int = 5,
    maximum_length: int | None = None,
    length_normalisation: float = 0.0,
) -> list[Translation]:
    """The `beam_size` best translations found for one sentence, best first.

    At each step every unfinished candidate is continued by every word, and the best `beam_size` go on.
    Candidates are ranked by log-probability / length ** `length_normalisation`: 0 ranks by probability,
    which favours short sentences; 1 by the mean log-probability of a word. The search ends when
    `beam_size` candidates have ended, or at `maximum_length` words (default: `longest_target`).

    Source: Sutskever, Vinyals, Le 2014, section 3.2; division by length as in GroundHog's `--normalize`.
    Raises ValueError if the beam is smaller than 1 or the sentence has no word.
    """
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1, got {beam_size}")
    is_word = torch.ones_like(source, dtype=torch.bool).unsqueeze(0)
    limit = int(longest_target(is_word)) if maximum_length is None else maximum_length
    writer = Writer(model, model.encoder(source.unsqueeze(0), is_word))
    candidates = [Translation([], 0.0, None, finished=False)]
    ended: list[Translation] = []
    for _ in range(limit):
        words = source.new_tensor([candidate.ids[-1] if candidate.ids else BEGIN for candidate in candidates])
        logits, weights = writer.read(words)
        scores = logits.log_softmax(dim=-1) + logits.new_tensor([c.log_probability for c in candidates]).unsqueeze(1)
        wanted = beam_size - len(ended)
        best, places = scores.flatten().topk(min(wanted, scores.numel()))
        rows, next_words = places // scores.shape[1], places % scores.shape[1]
        continued, kept_rows = [], []
        for score, row, word in zip(best.tolist(), rows.tolist(), next_words.tolist(), strict=True):
            before = candidates[row]
            looked = None if weights is None else _append(before.weights, weights[row])
            if word == END:
                ended.append(Translation(before.ids, score, looked, finished=True))
            else:
                continued.append(Translation([*before.ids, word], score, looked, finished=False))
                kept_rows.append(row)
        candidates = continued
        if not candidates:
            break
        writer.keep(source.new_tensor(kept_rows))

    def rank(translation: Translation) -> float:
        length = len(translation.ids) + translation.finished
        return translation.log_probability / max(length, 1) ** length_normalisation

    return sorted(ended or candidates, key=rank, reverse=True)


def _append(rows: Float[Tensor, "target source"] | None, row: Float[Tensor, " source"]) -> Float[Tensor, "more source"]:
    return row.unsqueeze(0) if rows is None else torch.cat([rows, row.unsqueeze(0)])
