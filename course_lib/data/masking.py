"""What does a masked language model read, and what must it guess? Words hidden at random (notebooks 05, 06).

Of 15 % of a text's words, 80 % become [MASK], 10 % another word, 10 % stay as they are; all of them must be guessed.
The words that stay, or lie, keep the model honest about words that are not masked: later it reads texts without masks.
Source: Devlin et al. 2019, section 3.1 and appendix A.1; drawn anew for each reading: Liu et al. 2019, section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

NOT_ASKED = -100  # the label of a place that is not guessed: torch's cross-entropy leaves it out


@dataclass(frozen=True)
class MaskingRule:
    """How words are hidden. `special_tokens` (marks, padding) are never chosen, and never put in another's place.

    share: of the words, chosen to be guessed. masked, random: of the chosen; the rest stay.
    Raises ValueError for shares that are none.
    """

    mask_token: int
    vocabulary_size: int
    special_tokens: tuple[int, ...]
    share: float = 0.15
    masked: float = 0.8
    random: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}; BERT's is 0.15")
        if self.masked < 0 or self.random < 0 or self.masked + self.random > 1 + 1e-9:
            raise ValueError(
                f"masked and random are shares of the chosen words and may not exceed 1 together, got {self.masked} "
                f"and {self.random}; BERT's are 0.8 and 0.1"
            )
        if not 0 <= self.mask_token < self.vocabulary_size:
            raise ValueError(
                f"mask_token must be from 0 to {self.vocabulary_size - 1}, the vocabulary's last, got {self.mask_token}"
            )
        if len({*self.special_tokens}) >= self.vocabulary_size:
            raise ValueError("all tokens are special ones, so there is no word to hide")

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, **shares: float) -> "MaskingRule":
        """BERT's rule for a tokenizer; `shares` may set share, masked and random. Raises ValueError without a mask."""
        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no mask token; make it with course_lib.data.byte_pairs.bert_tokenizer")
        return cls(tokenizer.mask_token_id, len(tokenizer), tuple(sorted(tokenizer.all_special_ids)), **shares)


@dataclass
class MaskedBatch:
    """Texts with hidden words, the words themselves where they are to be guessed (else NOT_ASKED), and what is word."""

    tokens: Int[Tensor, "batch length"]
    labels: Int[Tensor, "batch length"]
    is_word: Bool[Tensor, "batch length"] | None = None


def mask_words(
    tokens: Int[Tensor, "batch length"], rule: MaskingRule, generator: torch.Generator | None = None
) -> MaskedBatch:
    """Hide words: in each row `share` of its words, rounded, at least one if it has any.

    Without a generator, torch's global one draws.
    """
    special = torch.isin(tokens, tokens.new_tensor(rule.special_tokens))
    words = (~special).sum(dim=1, keepdim=True)
    wanted = (words * rule.share).round().clamp(min=1).minimum(words)
    # Drawn on the CPU, so that the same seed hides the same words on every device.
    lots = torch.rand(tokens.shape, generator=generator).to(tokens.device)
    # The words with the smallest lots are chosen; special tokens come last of all.
    chosen = lots.masked_fill(special, 2.0).argsort(dim=1).argsort(dim=1) < wanted
    return hide(tokens, chosen, rule, generator)


def hide(
    tokens: Int[Tensor, "batch length"],
    chosen: Bool[Tensor, "batch length"],
    rule: MaskingRule,
    generator: torch.Generator | None = None,
) -> MaskedBatch:
    """Hide these words; each one's fate (masked, random, kept) is drawn by itself."""
    fate = torch.rand(tokens.shape, generator=generator).to(tokens.device)
    ordinary = ordinary_tokens(rule)
    others = ordinary[torch.randint(len(ordinary), tokens.shape, generator=generator)].to(tokens.device)
    hidden = torch.where(chosen & (fate < rule.masked), rule.mask_token, tokens)
    hidden = torch.where(chosen & (fate >= rule.masked) & (fate < rule.masked + rule.random), others, hidden)
    return MaskedBatch(hidden, torch.where(chosen, tokens, NOT_ASKED))


class DynamicMasking:
    """A collate function that hides other words at each reading of a row (RoBERTa's way).

    Rows of different lengths are padded at the end. Within the course's training loop the drawing depends on the seed
    and the place in the data alone, so that a resumed run sees what an undisturbed one would.
    Raises ValueError for padding that the rule takes for a word.
    """

    def __init__(self, rule: MaskingRule, pad_token: int = 0) -> None:
        if pad_token not in rule.special_tokens:
            raise ValueError(f"the padding, token {pad_token}, must be one of the special tokens {rule.special_tokens}")
        self.rule, self.pad_token = rule, pad_token

    def __call__(self, rows: Sequence[Int[Tensor, " _"]]) -> MaskedBatch:
        tokens, is_word = padded(rows, self.pad_token)
        return replace(mask_words(tokens, self.rule), is_word=is_word)


class StaticMasking(Dataset):
    """Rows whose hidden words are drawn once, by a row's number and the seed: the same at each reading.

    BERT's way, there with ten copies of each text; also what an evaluation needs, to ask each model the same.
    `collate` makes a batch of its rows.
    """

    def __init__(self, rows: Sequence[Int[Tensor, " _"]] | Dataset, rule: MaskingRule, seed: int = 0) -> None:
        self.rows, self.rule, self.seed = rows, rule, seed

    def __len__(self) -> int:
        return len(self.rows)  # type: ignore[arg-type]

    def __getitem__(self, number: int) -> tuple[Int[Tensor, " length"], Int[Tensor, " length"]]:
        """The row with hidden words, and its labels."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} rows, got {number}")
        number %= len(self)
        # Hashed of both numbers: with a sum, row 1 of seed 0 would be hidden like row 0 of seed 1.
        mixed = int(numpy.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        batch = mask_words(self.rows[number][None], self.rule, generator)
        return batch.tokens[0], batch.labels[0]

    def collate(self, rows: Sequence[tuple[Int[Tensor, " _"], Int[Tensor, " _"]]], pad_token: int = 0) -> MaskedBatch:
        tokens, is_word = padded([row for row, _ in rows], pad_token)
        labels, _ = padded([label for _, label in rows], NOT_ASKED)
        return MaskedBatch(tokens, labels, is_word)


def padded(
    rows: Sequence[Int[Tensor, " _"]], pad_token: int
) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"] | None]:
    """The rows as one batch, padded at the end, and where there are words; None if there is no padding at all.

    Raises ValueError if there is no row.
    """
    if not rows:
        raise ValueError("a batch needs at least one row")
    tokens = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=pad_token)
    lengths = torch.tensor([len(row) for row in rows])
    is_word = torch.arange(tokens.shape[1]) < lengths[:, None]
    return tokens, None if bool(is_word.all()) else is_word


def shares_of(batch: MaskedBatch, rule: MaskingRule, original: Int[Tensor, "batch length"]) -> dict[str, float]:
    """What was done to the words, counted: "chosen" of all words; "masked", "random" and "kept" of the chosen.

    A random word that happens to be the right one counts as kept. Raises ValueError if nothing was chosen.
    """
    chosen = batch.labels != NOT_ASKED
    if not chosen.any():
        raise ValueError("no word was chosen in this batch")
    words = ~torch.isin(original, original.new_tensor(rule.special_tokens))
    masked, kept = batch.tokens[chosen] == rule.mask_token, batch.tokens[chosen] == original[chosen]
    total = int(chosen.sum())
    fates = {"masked": masked, "random": ~masked & ~kept, "kept": kept}
    return {"chosen": total / int(words.sum())} | {name: int(which.sum()) / total for name, which in fates.items()}


@lru_cache(maxsize=8)  # made anew for each batch, it would take as long as all the rest
def ordinary_tokens(rule: MaskingRule) -> Int[Tensor, " words"]:
    """All tokens but the special ones: what may stand in another word's place. Shared: do not change it."""
    return torch.tensor([token for token in range(rule.vocabulary_size) if token not in rule.special_tokens])
