import random

import pytest
import torch
from datasets import Dataset, DatasetDict

from course_lib.evaluation.classification import (
    accuracy,
    bag_of_words_baseline,
    majority_baseline,
    matthews_correlation,
)


def dataset(train: list[tuple[str, int]], test: list[tuple[str, int]]) -> DatasetDict:
    return DatasetDict(
        {
            split: Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
            for split, rows in (("train", train), ("test", test))
        }
    )


def rows(count: int, seed: int) -> list[tuple[str, int]]:
    """Texts in which one word of ten tells the label, and the others are the same for all."""
    generator = random.Random(seed)
    made = []
    for _ in range(count):
        label = generator.randrange(3)
        words = [*generator.choices(["the", "of", "and", "a", "is"], k=9), ("tensor", "graph", "axis")[label]]
        generator.shuffle(words)
        made.append((" ".join(words), label))
    return made


def test_accuracy_is_the_share_of_right_answers():
    assert accuracy([1, 0, 2, 2], [1, 1, 2, 0]) == 0.5
    with pytest.raises(ValueError, match="one prediction for each label"):
        accuracy([1], [1, 2])
    with pytest.raises(ValueError, match="at least one"):
        accuracy([], [])


def test_the_majority_is_that_of_train_not_of_test():
    data = dataset([("a", 1), ("b", 1), ("c", 0)], [("a", 0), ("b", 0), ("c", 1), ("d", 0)])
    assert majority_baseline(data) == 0.25
    assert majority_baseline(data, "train") == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="train split is empty"):
        majority_baseline(dataset([], [("a", 0)]))


def test_of_equally_frequent_labels_the_first_is_said():
    assert majority_baseline(dataset([("a", 2), ("b", 1)], [("c", 1), ("d", 0)])) == 0.5


def test_a_telling_word_is_learned():
    data = dataset(rows(600, seed=1), rows(200, seed=2))
    assert majority_baseline(data) < 0.45
    assert bag_of_words_baseline(data) > 0.98


def test_the_order_of_words_is_lost():
    generator = random.Random(0)
    pairs = [("yes no", 0), ("no yes", 1)]
    train = [generator.choice(pairs) for _ in range(300)]
    assert bag_of_words_baseline(dataset(train, pairs)) == 0.5


def test_the_same_seed_gives_the_same_answer():
    noise = [(text, random.Random(i).randrange(3)) for i, (text, _) in enumerate(rows(300, seed=3))]
    data = dataset(noise[:200], noise[200:])
    assert bag_of_words_baseline(data, seed=4) == bag_of_words_baseline(data, seed=4)


def test_texts_without_a_known_word_are_given_an_answer_too():
    data = dataset([*rows(50, seed=5), ("", 1)], [("", 1), ("entirely new", 2)])
    assert 0 <= bag_of_words_baseline(data) <= 1


@pytest.mark.parametrize(
    ("predictions", "labels", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([0, 0, 1, 1], [1, 1, 0, 0], -1.0),
        ([1, 1, 1, 1], [1, 1, 1, 0], 0.0),  # always the same: three of four right, and nothing learned
        ([1, 0, 1, 0], [1, 1, 0, 0], 0.0),
        # 6 true positives, 3 true negatives, 1 false positive, 2 false negatives: 16 / sqrt(7 x 8 x 4 x 5)
        ([1] * 6 + [0] * 3 + [1] + [0] * 2, [1] * 6 + [0] * 3 + [0] + [1] * 2, 16 / 1120**0.5),
    ],
)
def test_matthews_correlation_is_its_formula(predictions, labels, expected):
    assert matthews_correlation(predictions, labels) == pytest.approx(expected)


def test_matthews_correlation_is_the_correlation_of_two_columns():
    columns = torch.randint(0, 2, (2, 50), generator=torch.Generator().manual_seed(0))
    expected = torch.corrcoef(columns.float())[0, 1].item()
    assert matthews_correlation(*columns.tolist()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [([2, 0], [1, 0], "of two labels, 0 and 1"), ([], [], "at least one"), ([1], [1, 0], "one prediction for each")],
)
def test_matthews_correlation_refuses_what_it_cannot_compare(predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        matthews_correlation(predictions, labels)
