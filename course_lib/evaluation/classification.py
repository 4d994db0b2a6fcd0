"""What does a classifier have to beat? The majority's label, and a bag of words."""

import math
import re
from collections import Counter
from collections.abc import Sequence

import torch
from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

WORD = re.compile(r"[^\W\d_]+|[^\w\s]")  # words are runs of letters; a sign is a word too


def accuracy(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """The share of predictions that are right, from 0 to 1. Raises ValueError for none, or not as many as labels."""
    if len(predictions) != len(labels) or not labels:
        raise ValueError(
            f"needs one prediction for each label, and at least one; got {len(predictions)} predictions and "
            f"{len(labels)} labels"
        )
    return sum(int(p == label) for p, label in zip(predictions, labels, strict=True)) / len(labels)


def majority_baseline(dataset: DatasetDict, split: str = "test") -> float:
    """The accuracy on a split of always saying the most frequent `label` of train."""
    labels = list(dataset["train"]["label"])
    if not labels:
        raise ValueError("The train split is empty; there is no most frequent label.")
    counts = Counter(labels)
    majority = min(counts, key=lambda label: (-counts[label], label))
    expected = list(dataset[split]["label"])
    return accuracy([majority] * len(expected), expected)


def matthews_correlation(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """Matthews' correlation of two-valued predictions and labels, CoLA's measure: from -1 over 0 (chance) to 1.

    (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)), and 0 where a factor is 0: always saying the same earns
    nothing, however frequent that label is. Source: Matthews 1975.
    Raises ValueError for other values than 0 and 1, none at all, or not as many predictions as labels.
    """
    accuracy(predictions, labels)  # refuses what cannot be compared
    if not {*predictions, *labels} <= {0, 1}:
        raise ValueError("Matthews' correlation is of two labels, 0 and 1; take accuracy for more")
    counts = Counter(zip(predictions, labels, strict=True))
    tp, tn, fp, fn = counts[1, 1], counts[0, 0], counts[1, 0], counts[0, 1]
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0


def bag_of_words_baseline(
    dataset: DatasetDict,
    split: str = "test",
    *,
    vocabulary_size: int = 20_000,
    epochs: int = 5,
    batch_size: int = 64,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> float:
    """The accuracy on a split of logistic regression on a bag of words, as `bag_of_words_predictions` trains it."""
    predictions = bag_of_words_predictions(
        dataset,
        split,
        vocabulary_size=vocabulary_size,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    return accuracy(predictions, list(dataset[split]["label"]))


def bag_of_words_predictions(
    dataset: DatasetDict,
    split: str = "test",
    *,
    vocabulary_size: int = 20_000,
    epochs: int = 5,
    batch_size: int = 64,
    learning_rate: float = 0.02,
    seed: int = 0,
) -> list[int]:
    """What logistic regression on the words of `text`, trained on train's `label`s, says of a split.

    Each text is a vector of log(1 + count) × inverse document frequency over the most frequent words, of length one:
    their order is lost. The learning rate falls linearly to zero. Takes seconds on one core for 20,000 texts.
    """
    bags = _Bags(dataset["train"]["text"], vocabulary_size)
    labels = torch.tensor(dataset["train"]["label"])
    classes = int(labels.max()) + 1
    weight = torch.zeros(len(bags.index), classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=learning_rate)
    texts = [bags.of(text) for text in dataset["train"]["text"]]
    steps = epochs * -(-len(texts) // batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(texts), generator=generator).split(batch_size):
            loss = F.cross_entropy(_logits([texts[row] for row in rows], weight, bias), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        logits = _logits([bags.of(text) for text in dataset[split]["text"]], weight, bias)
    return logits.argmax(-1).tolist()


Bag = tuple[Int[Tensor, "_"], Float[Tensor, "_"]]  # the numbers of a text's words, and their weights


class _Bags:
    """Turns texts into bags."""

    def __init__(self, texts: Sequence[str], vocabulary_size: int) -> None:
        occurs_in = Counter(word for text in texts for word in set(WORD.findall(text.lower())))
        frequent = sorted(occurs_in, key=lambda word: (-occurs_in[word], word))[:vocabulary_size]
        self.index = {word: number for number, word in enumerate(frequent)}
        share = torch.tensor([occurs_in[word] for word in frequent]) / max(len(texts), 1)
        self.rarity = 1 - share.log()

    def of(self, text: str) -> Bag:
        counts = Counter(self.index[word] for word in WORD.findall(text.lower()) if word in self.index)
        words = torch.tensor(sorted(counts), dtype=torch.long)
        weights = torch.tensor([float(counts[word]) for word in sorted(counts)]).log1p() * self.rarity[words]
        return words, F.normalize(weights, dim=0)


def _logits(
    bags: Sequence[Bag], weight: Float[Tensor, "vocabulary classes"], bias: Float[Tensor, "classes"]
) -> Float[Tensor, "texts classes"]:
    lengths = torch.tensor([0, *(len(words) for words, _ in bags[:-1])])
    return bias + F.embedding_bag(
        torch.cat([words for words, _ in bags]),
        weight,
        offsets=lengths.cumsum(0),
        per_sample_weights=torch.cat([weights for _, weights in bags]),
        mode="sum",
    )
